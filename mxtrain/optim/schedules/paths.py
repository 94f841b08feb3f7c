"""Paths of the numbers that the field `schedules` of a rule names, such as `β2` or `ema.decay`."""

from collections.abc import Iterator, Mapping
from typing import Any

from mxtrain.names import display_name, field_name
from mxtrain.optim.schedules.rate_schedule import RateSchedule
from mxtrain.types import field_error


def canonical_schedules(data: Any, fields: Mapping[str, Any]) -> Any:
    """Return the value of `schedules` with the paths of numbers as keys: nested mappings are flattened, null removed.

    >>> canonical_schedules({"beta2": {"kind": "exp"}, "ema": {"decay": {"kind": "exp"}}}, {"β2": 0, "ema": 0})
    {'β2': {'kind': 'exp'}, 'ema.decay': {'kind': 'exp'}}
    """
    if not isinstance(data, Mapping):
        return data
    found: dict[Any, Any] = {}
    typed: dict[Any, Any] = {}
    for key, value in _flat_items(data, fields):
        if key in found:
            message = f"{typed[key]} and {value[0]} are two names of one value; keep one"
            raise field_error(str(key), message)
        typed[key], found[key] = value
    return {key: value for key, value in found.items() if value is not None}


def _flat_items(data: Mapping[Any, Any], fields: Mapping[str, Any]) -> Iterator[tuple[Any, tuple[Any, Any]]]:
    """Yield each canonical path, with the path as it was typed and the value."""
    for key, value in data.items():
        if not isinstance(key, str):
            yield key, (key, value)
            continue
        first, *rest = key.split(".")
        path = ".".join((field_name(first, fields), *(field_name(name, _Everything()) for name in rest)))
        if isinstance(value, Mapping) and value and "kind" not in value and all(map(_is_mapping, value.values())):
            yield from ((f"{path}.{below}", (f"{key}.{name}", item)) for below, (name, item) in _flat_items(value, {}))
        else:
            yield path, (key, value)


def _is_mapping(value: object) -> bool:
    return value is None or isinstance(value, Mapping | RateSchedule) or callable(value)


class _Everything(frozenset[str]):
    """A collection that contains the letter of every ASCII name, but not the ASCII name."""

    def __contains__(self, name: object) -> bool:
        return not (isinstance(name, str) and name.isascii())


def display_path(path: str) -> str:
    """Return a path as the documentation prints it."""
    return ".".join(map(display_name, path.split(".")))
