"""Nested mappings flattened to dotted paths."""

import json
from collections.abc import Mapping
from typing import Any

from mxtrain.types import describe


def flatten(mapping: Mapping[str, Any], separator: str = ".", above: str = "") -> dict[str, Any]:
    """Every value that is no mapping, or an empty one, under the path that leads to it.

    >>> flatten({"seed": 0, "fit": {"epochs": 3, "metrics": ["r2"]}})
    {'seed': 0, 'fit.epochs': 3, 'fit.metrics': ['r2']}
    """
    found: dict[str, Any] = {}
    for name, value in mapping.items():
        path = f"{above}{name}"
        is_mapping = isinstance(value, Mapping) and value
        found |= flatten(value, separator, f"{path}{separator}") if is_mapping else {path: value}
    return found


def first_difference(path: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Where two flattened mappings that differ at a path begin to: at the kind above it, or where one has nothing.

    >>> first_difference("rule.γ", {"rule.kind": "exp", "rule.γ": 0.9}, {"rule.kind": "step"})
    'rule.kind'
    >>> first_difference("rule.kind", {"rule": None}, {"rule.kind": "step"})
    'rule'
    """
    names = path.split(".")
    for above in (".".join(names[:depth]) for depth in range(1, len(names))):
        if (above in before) != (above in now):
            return above
        if before.get(kind := f"{above}.kind") != now.get(kind):
            return kind
    return path


def describe_at(flat: Mapping[str, Any], path: str) -> str:
    """The value at a path as a message shows it, a list with its items.

    >>> describe_at({"rule.kind": "exp", "hidden": [8]}, "rule"), describe_at({"hidden": [8]}, "hidden")
    ('a mapping', '[8]')
    """
    if path not in flat and any(other.startswith(f"{path}.") for other in flat):
        return describe({})
    value = flat.get(path)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else describe(value)
