"""Python values to nodes, for configs that are given as a dict."""

import os
import sys
from collections.abc import Iterator, Mapping
from math import inf
from numbers import Integral, Real
from pathlib import PurePath

from mxtrain.config.nodes import (
    MAX_DEPTH,
    MAX_NODES,
    Entry,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    broken,
    canonical,
    clipped,
    dotted,
    is_unicode,
)
from mxtrain.config.report import Report
from mxtrain.types import Config, describe

_Path = tuple[str | int, ...]
_MOST_BITS = 10_000
"""Bits of the longest integer; Python does not print much longer ones."""


class _Foreign:
    """Placeholder for an object that no file can hold: not equal to any value, and printed as the object is."""

    def __init__(self, value: object) -> None:
        self._text = describe(value)

    def __repr__(self) -> str:
        return self._text


def from_python(value: object, report: Report, path: _Path = ()) -> Node:
    """The nodes of a value, which stays as it is; what no YAML file could hold is reported."""
    return _node(value, report, path, 0, iter(range(MAX_NODES)))


def _node(value: object, report: Report, path: _Path, level: int, room: Iterator[int]) -> Node:
    if next(room, None) is None:
        report.fail("", f"more than {MAX_NODES:,} values")
    if level > MAX_DEPTH:
        report.fail("", f"nested deeper than {MAX_DEPTH} levels, or inside of itself")
    match value:
        case Config():
            return _node(value.to_dict(), report, path, level, room)
        case Mapping():
            return _mapping(value, report, path, level + 1, room)
        case list() | tuple():
            items = (_node(item, report, (*path, i), level + 1, room) for i, item in enumerate(value))
            return ListNode(tuple(items))
        case bool() | None:
            return ScalarNode(value)
        case Integral():
            whole = int(value)
            return ScalarNode(whole if whole.bit_length() <= _MOST_BITS else _Foreign(whole))
        case Real():
            return _real(value, report, path)
        case str():
            return _text(str.__str__(value), report, path)
        case PurePath():
            return _text(os.fspath(value), report, path)
    if _is_numpy_bool(value):
        return ScalarNode(bool(value))
    return ScalarNode(_Foreign(value))


def _is_numpy_bool(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.bool_)


def _text(value: str, report: Report, path: _Path) -> ScalarNode:
    if is_unicode(value):
        return ScalarNode(value)
    report.add(dotted(path), "must be a Unicode string, got half of a surrogate pair")
    return broken(None)


def _mapping(value: Mapping[object, object], report: Report, path: _Path, level: int, room: Iterator[int]) -> MapNode:
    entries: dict[str, Entry] = {}
    whole = True
    for key, item in value.items():
        if not isinstance(key, str) or not is_unicode(key):
            report.add(dotted(path), f"a key must be a string, got {describe(key)}")
            whole = False
            continue
        key = str.__str__(key)  # of NumPy's strings and of enumerations, the text alone
        name = canonical(key)
        node = _node(item, report, (*path, name), level, room)
        if name in entries:
            message = f"{clipped(key)} and {clipped(entries[name].key)} are two names of one value; keep one"
            report.add(dotted((*path, name)), message)
        else:
            entries[name] = Entry(key, node)
    return MapNode(entries, broken=not whole)


def _real(value: Real, report: Report, path: _Path) -> ScalarNode:
    if value != value or abs(value) == inf:  # noqa: PLR0124 - NaN alone differs from itself
        report.add(dotted(path), f"must be a finite number, got {float(value)}")
        return broken(None)
    try:
        return ScalarNode(float(value))
    except OverflowError:
        report.add(dotted(path), "must be a number that fits in float64")
        return broken(None)
