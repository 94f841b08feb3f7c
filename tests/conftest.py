"""What every test may rely on: the golden numbers, and one small config for each rule."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("mxnet.json").read_text())


@pytest.fixture
def arrays() -> Callable[..., Any]:
    """Seeded arrays: `arrays(shape, dtype, count)` returns that many, of normal deviates."""

    def make(shape: Any, dtype: str = "float32", count: int = 2, seed: int = 0) -> list[np.ndarray]:
        generator = np.random.default_rng(seed)
        return [generator.standard_normal(shape).astype(dtype).reshape(shape) for _ in range(count)]

    return make
