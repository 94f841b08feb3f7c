"""Overhead of checkpoints and diagnostics in an epoch of 60,000 x 784."""

import tempfile
from pathlib import Path

from report import Figure, Section, format_timing
from training import image_trainer

from mxtrain.benchmarks import measure_interleaved
from mxtrain.training.checkpoints.checkpoint_policy import CheckpointPolicy
from mxtrain.training.checkpoints.storage import Checkpoints


def section() -> Section:
    note = (
        "60,000 x 784, mlp [256, 128], batches of 128. A checkpoint is everything that is saved after an epoch: parameters, "
        "slots and records, written, hashed and flushed to the disk. For diagnostics, a run with `fit.diagnostics` is "
        "compared with a run without, interleaved."
    )
    plain, with_diagnostics = (image_trainer(diagnostics=diagnostics, epochs=1000) for diagnostics in (False, True))
    with tempfile.TemporaryDirectory() as folder:
        policy = CheckpointPolicy(plain, Checkpoints(Path(folder), keep=3))
        candidates = {"plain": plain.run_epoch, "diagnostics": with_diagnostics.run_epoch, "checkpoint": policy.save}
        timings = measure_interleaved(candidates, seconds=0, rounds=11, warm_up=False)
    epoch = timings["plain"]
    reference = f"an epoch {format_timing(epoch, 's')}"
    share = 100 * timings["checkpoint"].median / epoch.median
    overhead = 100 * (timings["diagnostics"].median / epoch.median - 1)
    return Section(
        "Checkpoints and diagnostics",
        note,
        [
            Figure("a checkpoint every epoch", format_timing(timings["checkpoint"]), reference, share, 2, " %", True),
            Figure("diagnostics", format_timing(timings["diagnostics"], "s"), reference, overhead, 3, " %", True),
        ],
    )
