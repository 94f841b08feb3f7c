"""Overhead of checkpoints, diagnostics and the check for NaN: `.venv/bin/python tests/benchmarks/overhead.py`.

Synthetic data, 60,000 x 784, mlp [256, 128], batches of 128, Adam: an epoch, an epoch with diagnostics, an epoch without the
gradient norm that detects NaN, and a checkpoint. No other libraries are needed.
"""

import tempfile
from pathlib import Path

import numpy as np
from report import format_timing, machine, versions

from mxtrain.benchmarks import measure_interleaved
from mxtrain.config import run_from_dict
from mxtrain.training import Trainer, training_step
from mxtrain.training.checkpoints.checkpoint_policy import CheckpointPolicy
from mxtrain.training.checkpoints.storage import Checkpoints

ROUNDS = 9


def main() -> None:
    print(machine(), versions(("mxtrain", "numpy", "numba")), sep="\n", end="\n\n")
    with tempfile.TemporaryDirectory(dir=Path()) as folder:
        data = Path(folder) / "images.npz"
        generator = np.random.default_rng(3)
        targets = generator.integers(0, 10, 60_000)
        np.savez(data, inputs=generator.random((60_000, 784), dtype=np.float32), targets=targets)
        plain, with_diagnostics = (_trainer(data, diagnostics) for diagnostics in (False, True))
        policy = CheckpointPolicy(with_diagnostics, Checkpoints(Path(folder) / "checkpoints", keep=3))
        timings = measure_interleaved(
            {
                "an epoch": plain.run_epoch,
                "with diagnostics": with_diagnostics.run_epoch,
                "without the norm": lambda: _without_norm(plain),
                "a checkpoint": policy.save,
            },
            seconds=0,
            rounds=ROUNDS,
            warm_up=False,
        )
    epoch = timings["an epoch"]
    for name, each in timings.items():
        unit = "ms" if each.median < 0.5 else "s"
        extra = each.median if name == "a checkpoint" else each.median - epoch.median
        print(
            f"{name:>20}: {format_timing(each, unit)}", "" if each is epoch else f"{100 * extra / epoch.median:+.2f} %"
        )


def _trainer(data: Path, diagnostics: bool) -> Trainer:
    fit = {"diagnostics": diagnostics}
    return Trainer(
        run_from_dict(
            {
                "data": {"source": str(data), "target": "targets", "batch_size": 128, "validation": 0},
                "model": {"kind": "mlp", "hidden": [256, 128]},
                "loss": "softmax_cross_entropy",
                "optimizer": {"kind": "adam"},
                "backend": "compiled",
                "fit": fit,
            }
        ).resolve()
    )


def _without_norm(run: Trainer) -> None:
    original, training_step.gradient_norm = training_step.gradient_norm, lambda xp, flat: 1.0
    try:
        run.run_epoch()
    finally:
        training_step.gradient_norm = original


if __name__ == "__main__":
    main()
