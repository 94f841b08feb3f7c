"""Benchmark of one training iteration and its parts."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from mxtrain.benchmarks.measurement import Timing, device_synchronizer, measure_interleaved, summarize_samples
from mxtrain.config import RunConfig
from mxtrain.training import Trainer


@dataclass(frozen=True, slots=True)
class RunBenchmark:
    """The figures of a run file.

    Attributes:
        name, batches, parameters: of the run: its name, its batches in an epoch, the numbers that it trains.
        iteration: one iteration with everything in: an epoch without validation, over its batches.
        batch: of this, gathering the samples of a batch, and its share of drawing the epoch's order.
        model: forwards, loss and backwards.
        update: `Optimizer.step`.
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
        """What is left in seconds: metrics, counting and the loop itself."""
        return self.iteration.median - self.batch.median - self.model.median - self.update.median


def measure_run(config: RunConfig, *, seconds: float = 2.0) -> RunBenchmark:
    """Measure the iterations of a run; nothing is written.

    Args:
        config: the run. Its validation part is trained on too, as validation is no part of an iteration; and `auto`
            is taken for `compiled`, which it comes to in a long run.
        seconds: how long to measure.

    Raises:
        DataError, BackendError, TrainingError: as `fit` does.
    """
    data = config.data.model_copy(update={"validation": 0.0})
    backend = "compiled" if config.backend == "auto" else config.backend
    run = config.model_copy(update={"data": data, "backend": backend}).resolve()
    whole, parted = Trainer(run), Trainer(run)
    parts: list[tuple[float, float, float]] = []
    epoch = measure_interleaved(
        {"whole": whole.run_epoch, "parted": lambda: parts.append(_measure_parts(parted))},
        seconds=seconds,
    )["whole"]
    count = len(whole.batches)
    batch, model, update = (summarize_samples(samples) * (1 / count) for samples in zip(*parts, strict=True))
    parameters = sum(len(buffer) for buffer in whole.params.buffers.values())
    return RunBenchmark(run.name, count, parameters, epoch * (1 / count), batch, model, update)


def _measure_parts(trainer: Trainer) -> tuple[float, float, float]:
    """The seconds that an epoch spends on batches, on the model and on updates."""
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
