"""Interleaved timing of several functions, so that other load affects all of them equally."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from types import ModuleType

import numpy as np

_WARM_UP_SECONDS = 0.03
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What one call takes, in seconds.

    Attributes:
        median: of all calls.
        low, high: the quartiles, between which half of the calls lie.
        calls: how many were measured.
    """

    median: float
    low: float
    high: float
    calls: int

    def __mul__(self, factor: float) -> "Timing":
        """The timing of `factor` times as much work.

        >>> Timing(2.0, 1.0, 3.0, calls=5) * 0.5
        Timing(median=1.0, low=0.5, high=1.5, calls=5)
        """
        return Timing(self.median * factor, self.low * factor, self.high * factor, self.calls)


def measure_interleaved(
    contenders: Mapping[str, Callable[[], object]],
    *,
    seconds: float = 1.0,
    rounds: int = 5,
    warm_up: bool = True,
) -> dict[str, Timing]:
    """Time several calls, one after the other, round after round.

    Args:
        contenders: what to call, by name; each is called twice before anything is measured.
        seconds: for how long new rounds begin.
        rounds: how many there are at least.
        rehearse: call each for a while, unmeasured, before it is measured. So a contender finds the caches and its
            own threads as its own last calls leave them, and not as another's do: the threads of OpenMP and OpenBLAS
            keep a core busy for up to 30 milliseconds after their last work.

    Example:
        >>> timings = measure_interleaved({"sum": lambda: sum(range(100))}, seconds=0)
        >>> timings["sum"].low <= timings["sum"].median, timings["sum"].calls
        (True, 5)
    """
    for call in contenders.values():
        call()
        call()
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    end = time.perf_counter() + seconds
    forwards = list(contenders.items())
    while len(samples[forwards[0][0]]) < rounds or time.perf_counter() < end:
        for name, call in forwards:
            begin = time.perf_counter()
            while warm_up and time.perf_counter() < begin + _WARM_UP_SECONDS:
                call()
            begin = time.perf_counter()
            call()
            samples[name].append(time.perf_counter() - begin)
        forwards.reverse()
    return {name: summarize_samples(values) for name, values in samples.items()}


def summarize_samples(samples: Sequence[float]) -> Timing:
    """The median and the quartiles of at least two samples.

    >>> summarize_samples([1.0, 5.0, 2.0, 4.0, 3.0])
    Timing(median=3.0, low=2.0, high=4.0, calls=5)
    """
    low, median, high = quantiles(samples, n=4, method="inclusive")
    return Timing(median, low, high, len(samples))


def device_synchronizer(xp: ModuleType) -> Callable[[], None]:
    """What to call before looking at the clock, for arrays of `xp`, `numpy` or `cupy`."""
    if xp is np:
        return lambda: None
    return lambda: xp.cuda.get_current_stream().synchronize()
