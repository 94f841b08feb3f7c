"""Nested parameters: dicts, lists, tuples, named tuples and dataclasses, flattened to names by path."""

import copy
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mxtrain.errors import ArrayError, ArrayTypeError
from mxtrain.types import describe_argument

_MAX_DEPTH = 100
"""Largest depth of containers; a deeper one probably contains itself."""


class Structure(NamedTuple):
    """A container without its leaves: its type, its keys, and the structure of each value, None for a leaf."""

    kind: type
    keys: tuple[Any, ...]
    children: "tuple[Structure | None, ...]"

    @property
    def is_flat(self) -> bool:
        """True if the container is a mapping of leaves."""
        return issubclass(self.kind, Mapping) and not any(self.children)

    def leaves(self, tree: Any) -> list[Any] | None:
        """Return the leaves of a tree in order; None if it has another structure."""
        found: list[Any] = []
        return found if self._collect(tree, found) else None

    def _collect(self, tree: Any, found: list[Any]) -> bool:
        if type(tree) is not self.kind:
            return False
        keys, values = _items(tree)
        if tuple(keys) != self.keys:
            return False
        for child, value in zip(self.children, values, strict=True):
            if child is not None:
                if not child._collect(value, found):
                    return False
            elif type(value) is np.ndarray or not is_container(type(value)):
                found.append(value)
            else:
                return False
        return True


class FlatTree(NamedTuple):
    """A flattened tree.

    Attributes:
        structure: the structure of the tree.
        names: the name of each leaf. A leaf directly in the outermost mapping keeps its key.
        leaves: the leaves, which may be anything that is not a container, None included.
    """

    structure: Structure
    names: tuple[Hashable, ...]
    leaves: list[Any]

    def without_leaves(self) -> "FlatTree":
        """Return the structure and the names only, which keep no array alive."""
        return self._replace(leaves=[])


def flatten(argument: str, tree: Any, known: FlatTree | None = None) -> FlatTree:
    """Flatten nested containers.

    Args:
        argument: the name of the argument in messages.
        tree: the outermost container.
        known: an earlier result, whose names are used again if the structure is the same.

    Raises:
        ArrayTypeError: it is not a container, or has a key that is neither a string nor a whole number.
        ArrayError: two leaves have one name.

    >>> flat = flatten("params", {"layers": [{"W": 1.0}, {"W": 2.0}], "scale": 3.0})
    >>> flat.names, flat.leaves
    (('layers.0.W', 'layers.1.W', 'scale'), [1.0, 2.0, 3.0])
    """
    if known is not None and (leaves := known.structure.leaves(tree)) is not None:
        return FlatTree(known.structure, known.names, leaves)
    check_container(argument, tree)
    paths: list[tuple[str, Hashable, Any]] = []
    structure = _walk(argument, tree, "", 0, paths)
    seen: dict[Hashable, str] = {}
    for place, name, _ in paths:
        if name in seen:
            raise ArrayError(f"{seen[name]} and {place} have one name, {name!r}; rename one of them")
        seen[name] = place
    return FlatTree(structure, tuple(seen), [leaf for _, _, leaf in paths])


def check_container(argument: str, value: object) -> None:
    """Check that an argument is a container of parameters; raise an ArrayTypeError otherwise."""
    if not is_container(type(value)):
        raise ArrayTypeError(
            f"{argument} must be a mapping of arrays by name, or a list, tuple or dataclass, "
            f"got {_describe_root(argument, value)}"
        )


def map_leaves(tree: Any, leaves: Iterable[Any]) -> Any:
    """Return a tree of the same containers with other leaves, given in the order of `flatten`.

    Mappings that are not dicts, such as `MappingProxyType`, become dicts.

    >>> map_leaves({"a": (1.0, [2.0]), "b": 3.0}, [10.0, 20.0, 30.0])
    {'a': (10.0, [20.0]), 'b': 30.0}
    """
    return _rebuild(tree, iter(leaves))


def _is_container(kind: type) -> bool:
    if issubclass(kind, Mapping | list | tuple):
        return True
    return is_dataclass(kind) and not any(hasattr(kind, name) for name in ("__array__", "__dlpack__"))


def _field_names(kind: type) -> tuple[str, ...] | None:
    """Return the names of the fields of a named tuple or a dataclass that hold parameters; None for other types.

    Fields that JAX, Equinox or Flax treat as static, by their metadata, hold none.
    """
    if issubclass(kind, tuple):
        return getattr(kind, "_fields", None)
    if not is_dataclass(kind):
        return None
    return tuple(
        each.name
        for each in fields(kind)
        if not each.metadata.get("static", False) and each.metadata.get("pytree_node", True)
    )


is_container: Callable[[Any], bool] = lru_cache(maxsize=1024)(_is_container)
"""Return whether objects of a type are containers of parameters; a dataclass that is an array is not one."""

_names_of_fields: Callable[[Any], tuple[str, ...] | None] = lru_cache(maxsize=1024)(_field_names)


def _items(tree: Any) -> tuple[Iterable[Any], Iterable[Any]]:
    """Return the keys and the values of a container."""
    if type(tree) is dict:  # tested first, because an isinstance of Mapping takes as long as the rest
        return tree, tree.values()
    if type(tree) is list:
        return range(len(tree)), tree
    if isinstance(tree, Mapping):
        return tree.keys(), tree.values()
    names = _names_of_fields(type(tree))
    if names is None:
        return range(len(tree)), tree
    return names, tree if isinstance(tree, tuple) else [getattr(tree, name) for name in names]


def _walk(place: str, tree: Any, prefix: str, depth: int, paths: list[tuple[str, Hashable, Any]]) -> Structure:
    """Append the place, name and value of each leaf to `paths`, and return the structure."""
    if depth > _MAX_DEPTH:
        raise ArrayError(f"{place[:40]}... has more than {_MAX_DEPTH} levels; does a container contain itself?")
    children: list[Structure | None] = []
    keys, values = _items(tree)
    keys = tuple(keys)
    has_fields = _names_of_fields(type(tree)) is not None and not isinstance(tree, Mapping)
    for key, value in zip(keys, values, strict=True):
        inner = f"{place}.{key}" if has_fields else f"{place}[{key!r}]"
        is_leaf = not is_container(type(value)) or _is_list_of_numbers(value)
        if is_leaf and depth == 0 and isinstance(tree, Mapping):
            name = key
        elif isinstance(key, str | int | np.integer) and not isinstance(key, bool):
            name = f"{prefix}{key}"
        else:
            raise ArrayTypeError(f"the names in {place} must be strings or whole numbers, got {describe_argument(key)}")
        if is_leaf:
            paths.append((inner, name, value))
            children.append(None)
        else:
            children.append(_walk(inner, value, f"{name}.", depth + 1, paths))
    return Structure(type(tree), keys, tuple(children))


def _is_list_of_numbers(value: Any) -> bool:
    """Return whether a list was probably meant as an array, so that messages name it, not its first number."""
    for _ in range(_MAX_DEPTH):
        if not isinstance(value, list | tuple) or not value:
            return False
        value = value[0]
        if isinstance(value, int | float):
            return True
    return False


def _rebuild(tree: Any, leaves: Iterator[Any]) -> Any:
    if not is_container(type(tree)):
        return next(leaves)
    keys, values = _items(tree)
    rebuilt = [_rebuild(value, leaves) for value in values]
    kind = type(tree)
    if isinstance(tree, Mapping):
        result = copy.copy(tree) if isinstance(tree, dict) else {}
        result.update(zip(keys, rebuilt, strict=True))
        return result
    if is_dataclass(kind):
        result = copy.copy(tree)
        for name, value in zip(keys, rebuilt, strict=True):
            object.__setattr__(result, name, value)  # also if it is frozen
        return result
    make: Callable[[list[Any]], Any] = getattr(kind, "_make", kind)
    return make(rebuilt)


def _describe_root(argument: str, value: Any) -> str:
    """Describe an argument that is not a container, with a remedy."""
    if value is None or isinstance(value, bool | int | float | str):
        return describe_argument(value)
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if hasattr(value, "named_parameters"):
        return f"{name}; pass dict({argument}.named_parameters())"
    if hasattr(value, "shape"):
        return f"{name}; pass it under a name, as in {{'W': {argument}}}, or call optimizer.update"
    if isinstance(value, set | frozenset):
        return f"{name}, which has no order; pass a list or a dict"
    if isinstance(value, Iterator):
        return f"{name}; pass list({argument}) or dict({argument})"
    return name
