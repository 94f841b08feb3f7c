"""Interrupt runs with `on_nonfinite: rollback`, and compare them to the byte with uninterrupted runs.

Run by hand: `python -m tests.training.checkpoints.rollback_storm RUNS`. Exits with 1 where one differs.
"""

import itertools
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mxtrain
from mxtrain.training.callbacks import StopRequest

EVERY = ("1 epoch", "2 epochs", "3 iterations", "5 iterations")
FILES = ("metrics.jsonl", "model.safetensors")


class Cut(mxtrain.Callback):
    """Asks a run to stop after some of its batches, as Ctrl-C or SIGTERM does."""

    def __init__(self, stop: StopRequest, after: int) -> None:
        self.stop, self.left = stop, after

    def on_batch(self, state: Any, loss: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.stop.signal = 2


def write_table(path: Path) -> None:
    """Write sixty samples of which two have a feature so large that their batches overflow in float32."""
    inputs = np.random.default_rng(0).standard_normal((60, 3))
    targets = inputs @ [1.0, -2.0, 0.5] + 3
    inputs[17] = inputs[44] = 1e30
    np.savez(path, X=inputs, y=targets)


def config(table: Path, every: str, keep: int, **fit: Any) -> dict[str, Any]:
    """Return a config of five epochs of six or seven batches."""
    return {
        "data": {"source": str(table), "target": "y", "batch_size": 9, "validation": 0.0, "standardize": "none"},
        "model": {"kind": "mlp", "hidden": [4]},
        "loss": "squared_error",
        "optimizer": {"kind": "adam"},
        "fit": {"epochs": 5, "on_nonfinite": "rollback", "checkpoint": {"every": every, "keep": keep}, **fit},
    }


def interrupted(settings: dict[str, Any], run_dir: Path, batches: Callable[[], int]) -> int:
    """Train with an interruption after every few batches, and return the number of interruptions."""
    for cuts in itertools.count():
        stop = StopRequest()
        cut = Cut(stop, batches())
        try:
            if cuts:
                mxtrain.resume(run_dir, callbacks=[cut], stop=stop)
            else:
                mxtrain.fit(settings, run_dir=run_dir, callbacks=[cut], stop=stop)
        except mxtrain.RunInterrupted:
            continue
        return cuts
    raise AssertionError("unreachable: itertools.count has no end")


def contents(run_dir: Path) -> list[bytes]:
    """Return the content of the files that an interruption must not change."""
    return [(run_dir / name).read_bytes() for name in FILES]


def main(runs: int) -> int:
    """Compare interrupted runs with uninterrupted ones, and return the number that differ."""
    rng = random.Random(0)
    differing = cuts = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = folder / "table.npz"
        write_table(table)
        whole = {
            every: contents(mxtrain.fit(config(table, every, 3), run_dir=folder / f"whole {every}").run_dir)
            for every in EVERY
        }
        for number in range(runs):
            every, keep = EVERY[number % len(EVERY)], rng.choice((1, 2, 3))
            run_dir = folder / str(number)
            cuts += interrupted(config(table, every, keep), run_dir, lambda: rng.randint(1, 9))
            differing += contents(run_dir) != whole[every]
            differing += keep > 1 and mxtrain.verify(run_dir) != []
    print(f"{runs} runs, {cuts} interruptions, {differing} differ")
    return differing


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])) > 0)
