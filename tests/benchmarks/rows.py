"""Compare a step with 1 % of the rows of a weight with a dense step; run with `python -m tests.benchmarks.rows`."""

import statistics
import time
from typing import Any

import numpy as np

import mxtrain

SHAPES = ((1_000_000, 10), (100_000, 100), (10_000, 1000))
_ROUNDS, _STEPS = 25, 10


def measure(kind: str, shape: tuple[int, int]) -> tuple[float, float]:
    """Return the median seconds of a dense step and of one with 1 % of the rows, measured alternately."""
    rng = np.random.default_rng(0)
    count = shape[0] // 100
    gradient, part = (np.ones((length, shape[1]), dtype="float32") for length in (shape[0], count))
    weights = [np.ones(shape, dtype="float32") for _ in range(2)]
    optimizers = [mxtrain.build({"kind": kind}, backend="compiled") for _ in weights]
    for optimizer, weight in zip(optimizers, weights, strict=True):
        optimizer.step({"W": weight}, {"W": gradient})  # allocates slots
    dense: list[float] = []
    rows: list[float] = []
    for _ in range(_ROUNDS):
        dense.append(_seconds(optimizers[0], weights[0], gradient, None))
        for _ in range(_STEPS):
            indices = np.sort(rng.choice(shape[0], count, replace=False))
            rows.append(_seconds(optimizers[1], weights[1], part, {"W": indices}))
    return statistics.median(dense), statistics.median(rows)


def _seconds(optimizer: mxtrain.Optimizer, weight: Any, gradient: Any, rows: Any) -> float:
    start = time.perf_counter()
    optimizer.step({"W": weight}, {"W": gradient}, rows=rows)
    return time.perf_counter() - start


if __name__ == "__main__":
    for kind in ("sgd", "adam"):
        for shape in SHAPES:
            dense, rows = measure(kind, shape)
            print(
                f"{kind:5s} {shape!s:14s} dense {dense * 1e3:6.2f} ms   1 % of the rows {rows * 1e3:6.3f} ms   "
                f"{dense / rows:5.1f} times"
            )
