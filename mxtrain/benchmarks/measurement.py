"""Interleaved timing of several functions, so that other load on the machine affects all of them equally."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from types import ModuleType

import numpy as np

_WARM_UP_SECONDS = 0.03
"""Time for which a function is called before each measurement of it."""


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
