"""What checkpoints and diagnostics add to an epoch of 60,000 x 784."""

import tempfile
from pathlib import Path

from report import Figure, Section, told
from training import image_trainer

from mxtrain.benchmarks import measure_interleaved
from mxtrain.training.checkpoints.checkpoint_policy import CheckpointPolicy
from mxtrain.training.checkpoints.storage import Checkpoints


def section() -> Section:
    note = (
        "60,000 x 784, mlp [256, 128], batches of 128. A checkpoint is what is saved after an epoch: parameters, slots and "
        "records, written, summed and flushed to the disk. Diagnostics are the run with `fit.diagnostics` beside the run "
        "without, by turns."
    )
    plain, watched = (image_trainer(diagnostics=each, epochs=1000) for each in (False, True))
    with tempfile.TemporaryDirectory() as folder:
        saver = CheckpointPolicy(plain, Checkpoints(Path(folder), keep=3))
        contenders = {"plain": plain.run_epoch, "watched": watched.run_epoch, "checkpoint": saver.save}
        timings = measure_interleaved(contenders, seconds=0, rounds=11, warm_up=False)
    epoch = timings["plain"]
    beside = f"an epoch {told(epoch, 's')}"
    share = 100 * timings["checkpoint"].median / epoch.median
    more = 100 * (timings["watched"].median / epoch.median - 1)
    return Section(
        "Checkpoints and diagnostics",
        note,
        [
            Figure("a checkpoint every epoch", told(timings["checkpoint"]), beside, share, 2, " %", True),
            Figure("diagnostics", told(timings["watched"], "s"), beside, more, 3, " %", True),
        ],
    )
