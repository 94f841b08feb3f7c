"""Fixtures of all tests."""

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
