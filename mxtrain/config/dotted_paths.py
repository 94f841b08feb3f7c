"""Flatten nested mappings to dotted paths, and compare them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mxtrain.types import describe


def flatten(mapping: Mapping[str, Any], separator: str = ".", above: str = "") -> dict[str, Any]:
    """Return all values, and all empty mappings, by their dotted paths.

    >>> flatten({"seed": 0, "fit": {"epochs": 3, "metrics": ["r2"]}})
    {'seed': 0, 'fit.epochs': 3, 'fit.metrics': ['r2']}
    """
    found: dict[str, Any] = {}
    for name, value in mapping.items():
        path = f"{above}{name}"
        is_mapping = isinstance(value, Mapping) and value
        found |= flatten(value, separator, f"{path}{separator}") if is_mapping else {path: value}
    return found


def first_differences(
    paths: Iterable[str], before: Mapping[str, Any], now: Mapping[str, Any]
) -> dict[str, tuple[str, str]]:
    """Return both values, as `describe_at` shows them, of each setting that makes two flattened mappings differ.

    Args:
        paths: paths at which the mappings differ; another `kind` accounts for all differences below it.
        before: the first mapping.
        now: the second mapping.

    >>> before, now = {"rule.kind": "exp", "rule.γ": 0.9}, {"rule.kind": "step", "rule.drop": 2}
    >>> first_differences(["rule.kind", "rule.γ", "rule.drop"], before, now)
    {'rule.kind': ("'exp'", "'step'")}
    """
    causes = dict.fromkeys(_first_difference(path, before, now) for path in paths)
    return {path: (describe_at(before, path), describe_at(now, path)) for path in causes}


def describe_at(flat: Mapping[str, Any], path: str) -> str:
    """Return the value at a path as error messages show it, with the items of a list.

    >>> describe_at({"rule.kind": "exp", "hidden": [8]}, "rule"), describe_at({"hidden": [8]}, "hidden")
    ('a mapping', '[8]')
    """
    if path not in flat and any(other.startswith(f"{path}.") for other in flat):
        return describe({})
    value = flat.get(path)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else describe(value)


def _first_difference(path: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the first path at which two flattened mappings that differ at `path` differ: a kind, or a missing value.

    >>> _first_difference("rule.γ", {"rule.kind": "exp", "rule.γ": 0.9}, {"rule.kind": "step"})
    'rule.kind'
    >>> _first_difference("rule.kind", {"rule": None}, {"rule.kind": "step"})
    'rule'
    """
    names = path.split(".")
    for above in (".".join(names[:depth]) for depth in range(1, len(names))):
        if (above in before) != (above in now):
            return above
        if before.get(kind := f"{above}.kind") != now.get(kind):
            return kind
    return path
