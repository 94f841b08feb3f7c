"""Fixtures of all tests."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def arrays() -> Callable[..., Any]:
    """Return a function `arrays(shape, dtype, count)` that makes seeded arrays of normal deviates."""

    def make(shape: Any, dtype: str = "float32", count: int = 2, seed: int = 0) -> list[np.ndarray]:
        generator = np.random.default_rng(seed)
        return [generator.standard_normal(shape).astype(dtype).reshape(shape) for _ in range(count)]

    return make


@pytest.fixture
def hide_packages(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that simulates missing packages; modules whose names start with `importers` are imported again."""

    def hide(*packages: str, importers: tuple[str, ...] = ()) -> None:
        for name in [*sys.modules]:
            if name.split(".")[0] in packages or name.startswith(importers):
                monkeypatch.delitem(sys.modules, name)
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)

    return hide
