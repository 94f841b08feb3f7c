"""Matching of gradients to parameters, by their names."""

from collections.abc import Hashable, Mapping
from typing import Any

from mxtrain.errors import ArrayError, ArrayTypeError
from mxtrain.optim.inputs.trees import FlatTree
from mxtrain.types import describe

_MAX_NAMES = 3
"""Largest number of names that an error lists."""


def match_gradients(params: FlatTree, grads: FlatTree) -> tuple[dict[Hashable, Any], list[Any]]:
    """Return the parameters by name, and the gradient of each, None if the parameter is to stay unchanged.

    Parameters that are None, such as the bias of a layer without one, are ignored. A gradient that is None leaves its
    parameter unchanged; None in place of a container leaves all parameters in it unchanged. The types of the containers
    may differ; the names decide.

    Raises:
        ArrayError: a parameter has no gradient, or a gradient no parameter.
    """
    if params.names == grads.names and all(leaf is not None for leaf in params.leaves):
        return dict(zip(params.names, params.leaves, strict=True)), grads.leaves
    weights = {name: leaf for name, leaf in zip(params.names, params.leaves, strict=True) if leaf is not None}
    gradients = dict(zip(grads.names, grads.leaves, strict=True))
    frozen = tuple(f"{name}." for name, leaf in gradients.items() if leaf is None)
    found = {name: gradients.get(name) for name in weights if name in gradients or _is_inside(name, frozen)}
    missing = [name for name in weights if name not in found]
    extra = [name for name, leaf in gradients.items() if name not in weights and leaf is not None]
    if missing or extra:
        _raise_if_container(missing, gradients, "grads", "params")
        _raise_if_container(extra, weights, "params", "grads")
        raise names_error(missing, extra)
    return weights, list(found.values())


def names_error(missing: list[Hashable], extra: list[Hashable]) -> ArrayError:
    """Return the error of parameters without a gradient, and of gradients without a parameter."""
    problems = [f"no gradient for {_list_names(missing)}"] if missing else []
    problems += [f"no parameter {_list_names(extra)}"] if extra else []
    return ArrayError(f"params and grads must have the same names: {'; '.join(problems)}")


def _list_names(names: list[Hashable]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(map(repr, names[:_MAX_NAMES])) + more


def _is_inside(name: Hashable, prefixes: tuple[str, ...]) -> bool:
    return isinstance(name, str) and name.startswith(prefixes)


def _raise_if_container(
    unmatched: list[Hashable], leaves: Mapping[Hashable, Any], leaf_argument: str, container_argument: str
) -> None:
    """Raise if one tree has a container where the other has a leaf."""
    for name in unmatched:
        parts = str(name).split(".")
        for end in range(1, len(parts)):
            prefix = ".".join(parts[:end])
            if prefix in leaves:
                leaf = leaves[prefix]
                got = "an array" if hasattr(leaf, "shape") else describe(leaf)
                raise ArrayTypeError(
                    f"{prefix!r} is a container in {container_argument} and {got} in {leaf_argument}; "
                    "pass trees with the same names"
                )
