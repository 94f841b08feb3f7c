"""Nested mappings on one level, each value under its dotted path."""

from collections.abc import Mapping
from typing import Any


def flattened(mapping: Mapping[str, Any], separator: str = ".", above: str = "") -> dict[str, Any]:
    """Every value that is no mapping, or an empty one, under the path that leads to it.

    >>> flattened({"seed": 0, "fit": {"epochs": 3, "metrics": ["r2"]}})
    {'seed': 0, 'fit.epochs': 3, 'fit.metrics': ['r2']}
    """
    found: dict[str, Any] = {}
    for name, value in mapping.items():
        path = f"{above}{name}"
        is_mapping = isinstance(value, Mapping) and value
        found |= flattened(value, separator, f"{path}{separator}") if is_mapping else {path: value}
    return found
