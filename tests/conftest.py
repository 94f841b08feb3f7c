"""Fixtures of all tests."""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session", autouse=True)
def _fsync_without_waiting() -> Iterator[None]:
    """Let `os.fsync` only check its descriptor in this process, unless MXTRAIN_TEST_FSYNC is 1.

    No test can observe whether the disk has written a file, and waiting for it takes most of the time of the tests of
    checkpoints. The processes that tests start wait.
    """
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("MXTRAIN_TEST_FSYNC") != "1":
            patch.setattr(os, "fsync", lambda descriptor: os.fstat(descriptor) and None)
        yield


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
