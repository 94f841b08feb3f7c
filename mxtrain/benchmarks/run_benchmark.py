"""Benchmark of one training iteration and its parts."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from mxtrain.benchmarks.measurement import Timing, device_synchronizer, measure_interleaved, summarize_samples
from mxtrain.config import RunConfig
from mxtrain.training import Trainer


@dataclass(frozen=True, slots=True)
class RunBenchmark:
    """Measurements of a run, per training iteration.

    Attributes:
        name: the name of the run.
        batches: the number of batches in an epoch.
        parameters: the number of trained parameters.
        iteration: the time of an iteration: an epoch without validation, divided by its batches.
        batch: the part of it for gathering the samples of a batch, and for shuffling, divided by the batches.
        model: the part of it for forward pass, loss and backward pass.
        update: the part of it for `Optimizer.step`.
    """

    name: str
    batches: int
    parameters: int
    iteration: Timing
    batch: Timing
    model: Timing
    update: Timing

    @property
    def rest(self) -> float:
        """The rest of an iteration in seconds: metrics, counters and the loop itself."""
        return self.iteration.median - self.batch.median - self.model.median - self.update.median


def measure_run(config: RunConfig, *, seconds: float = 2.0) -> RunBenchmark:
    """Measure the training iterations of a run, without writing any files.

    Args:
        config: the run. Its validation samples are used for training too, because validation is not part of an
            iteration. The backend `auto` is measured as `compiled`, which it selects in a long run.
        seconds: the time to measure for.

    Raises:
        DataError, BackendError, TrainingError: as in `fit`.
    """
    data = config.data.model_copy(update={"validation": 0.0})
    backend = "compiled" if config.backend == "auto" else config.backend
    run = config.model_copy(update={"data": data, "backend": backend}).resolve()
    uninterrupted, split = Trainer(run), Trainer(run)
    parts: list[tuple[float, float, float]] = []
    epoch = measure_interleaved(
        {"uninterrupted": uninterrupted.run_epoch, "split": lambda: parts.append(_measure_parts(split))},
        seconds=seconds,
    )["uninterrupted"]
    count = len(uninterrupted.batches)
    batch, model, update = (summarize_samples(samples) * (1 / count) for samples in zip(*parts, strict=True))
    parameters = sum(len(buffer) for buffer in uninterrupted.params.buffers.values())
    return RunBenchmark(run.name, count, parameters, epoch * (1 / count), batch, model, update)


def _measure_parts(trainer: Trainer) -> tuple[float, float, float]:
    """Return the seconds that an epoch spends on batches, on the model and on updates."""
    wait: Callable[[], None] = device_synchronizer(trainer.xp)
    batch = model = update = 0.0
    begin = time.perf_counter()
    for inputs, targets in trainer.batches.epoch(1):
        wait()
        gathered = time.perf_counter()
        trainer.model.loss_and_grad(trainer.params, inputs, targets, trainer.step.grads)
        wait()
        modelled = time.perf_counter()
        trainer.optimizer.step(trainer.params, trainer.step.grads)
        wait()
        updated = time.perf_counter()
        batch, model, update = batch + gathered - begin, model + modelled - gathered, update + updated - modelled
        begin = updated
    return batch, model, update
