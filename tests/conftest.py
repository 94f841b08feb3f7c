"""What every test may rely on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def arrays() -> Callable[..., Any]:
    """Seeded arrays: `arrays(shape, dtype, count)` returns that many, of normal deviates."""

    def make(shape: Any, dtype: str = "float32", count: int = 2, seed: int = 0) -> list[np.ndarray]:
        generator = np.random.default_rng(seed)
        return [generator.standard_normal(shape).astype(dtype).reshape(shape) for _ in range(count)]

    return make
