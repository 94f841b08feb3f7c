"""Interleaved timing of several functions, and the benchmark of the training iterations of a run.

Interleaving makes other load on the machine affect all functions equally.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from types import ModuleType

import numpy as np

from mxtrain.config import RunConfig
from mxtrain.training import Trainer

_WARM_UP_SECONDS = 0.03
"""Seconds of calls of a function before each of its measurements."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The time of one call, in seconds.

    Attributes:
        median: the median of all calls.
        low, high: the first and third quartile.
        calls: the number of measured calls.
    """

    median: float
    low: float
    high: float
    calls: int

    def __mul__(self, factor: float) -> "Timing":
        """Scale the timing to `factor` times as much work.

        >>> Timing(2.0, 1.0, 3.0, calls=5) * 0.5
        Timing(median=1.0, low=0.5, high=1.5, calls=5)
        """
        return Timing(self.median * factor, self.low * factor, self.high * factor, self.calls)


def measure_interleaved(
    candidates: Mapping[str, Callable[[], object]],
    *,
    seconds: float = 1.0,
    rounds: int = 5,
    warm_up: bool = True,
) -> dict[str, Timing]:
    """Time several functions in rounds, each round in the reverse order of the one before.

    Args:
        candidates: the functions to time, by name; each is called twice before the first round.
        seconds: the time after which no further round starts.
        rounds: the least number of rounds.
        warm_up: call each candidate for 30 ms before each of its measurements, so that it finds the caches and its
            threads in the state that its own calls leave. The threads of OpenMP and OpenBLAS occupy a core for up to
            30 ms after their last work.

    Returns:
        The timing of each candidate.

    Example:
        >>> timings = measure_interleaved({"sum": lambda: sum(range(100))}, seconds=0)
        >>> timings["sum"].low <= timings["sum"].median, timings["sum"].calls
        (True, 5)
    """
    for call in candidates.values():
        call()
        call()
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    end = time.perf_counter() + seconds
    ordered = list(candidates.items())
    while len(samples[ordered[0][0]]) < rounds or time.perf_counter() < end:
        for name, call in ordered:
            begin = time.perf_counter()
            while warm_up and time.perf_counter() < begin + _WARM_UP_SECONDS:
                call()
            begin = time.perf_counter()
            call()
            samples[name].append(time.perf_counter() - begin)
        ordered.reverse()
    return {name: summarize_samples(values) for name, values in samples.items()}


def summarize_samples(samples: Sequence[float]) -> Timing:
    """Compute the median and quartiles of at least two samples.

    >>> summarize_samples([1.0, 5.0, 2.0, 4.0, 3.0])
    Timing(median=3.0, low=2.0, high=4.0, calls=5)
    """
    low, median, high = quantiles(samples, n=4, method="inclusive")
    return Timing(median, low, high, len(samples))


def device_synchronizer(xp: ModuleType) -> Callable[[], None]:
    """Return a function that waits until all work on arrays of `xp`, `numpy` or `cupy`, is complete."""
    if xp is np:
        return lambda: None
    return lambda: xp.cuda.get_current_stream().synchronize()


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
