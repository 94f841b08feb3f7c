"""Data and helpers of several packages: rules, gradient stages, shapes, special values and golden numbers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "mxnet.json").read_text(encoding="utf-8"))

CONFIGS: dict[str, dict[str, Any]] = {
    "sgd": {"kind": "sgd", "η": 0.1},
    "sgd with momentum": {"kind": "sgd", "η": 0.02, "μ": 0.9},
    "sgd with nadam momentum": {"kind": "sgd", "η": 0.02, "μ_sched": {"kind": "nadam", "μ": 0.9}},
    "adam": {"kind": "adam", "η": 0.1},
    "adamw": {"kind": "adamw", "η": 0.1},
    "adagrad": {"kind": "adagrad", "η": 0.5},
    "adadelta": {"kind": "adadelta", "ϵ": 1e-2},
    "adamax": {"kind": "adamax", "η": 0.1},
    "rmsprop": {"kind": "rmsprop", "η": 0.05},
    "nadam": {"kind": "nadam", "η": 0.05, "β1": 0.9},
    "nadam with fixed momentum": {"kind": "nadam", "η": 0.05, "μ_sched": {"kind": "fixed", "μ": 0.9}},
    "nadam without momentum": {"kind": "nadam", "η": 0.05, "μ_sched": {"kind": "null"}},
}
STAGES: dict[str, dict[str, float]] = {
    "plain": {"λ": 0.0},
    "decayed": {"λ": 0.01},
    "scaled and clipped": {"λ": 0.0, "scale": 0.5, "clip": 0.3},
    "all": {"λ": 0.01, "scale": -0.25, "clip": 0.1},
}
SHAPES: dict[str, Any] = {"scalar": (), "empty": (0, 3), "odd": (7, 11), "two blocks and a bit": 131_075}


def as_bytes(arrays: Mapping[Any, Any]) -> dict[Any, bytes]:
    """Return the bytes of each array."""
    return {name: array.tobytes() for name, array in arrays.items()}


def special_arrays(size: int, dtype: str, count: int, seed: int = 0) -> list[np.ndarray]:
    """Return arrays of normal deviates in which about a tenth of the values are special, in every combination."""
    generator = np.random.default_rng(seed)
    info = np.finfo(dtype)
    numbers = [np.nan, np.inf, -np.inf, 0.0, -0.0, info.smallest_subnormal, -info.tiny / 3, info.max, -info.max, 1.0]
    arrays = []
    for _ in range(count):
        array = generator.standard_normal(size).astype(dtype)
        chosen = generator.random(size) < 0.1
        array[chosen] = generator.choice(np.array(numbers, dtype=dtype), chosen.sum())
        arrays.append(array)
    return arrays
