"""The time of one update, beside the limit that the machine sets it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mxtrain.backends import Backend, array_module
from mxtrain.benchmarks.clock import Timing, take_turns
from mxtrain.benchmarks.devices import waiter
from mxtrain.benchmarks.limits import arithmetic_program, bytes_moved, slow_operations, streaming_program
from mxtrain.factory import build
from mxtrain.optimizers import RULES, SGD, Rule
from mxtrain.types import Array

RULE_CASES: dict[str, Rule] = {
    "sgd": SGD(),
    "sgd-momentum": SGD(μ=0.9),
    **{rule.kind: rule for rule in (kind() for kind in RULES if kind is not SGD)},
}
"""What is measured: every rule with its defaults, and SGD with momentum too."""

_IN_CACHE = 1 << 15
"""Elements of the arrays that the divisions are measured on: three of them fit in one core's second-level cache."""
_TIMES = 32
"""How often these arrays are gone through in one call, so that the call itself costs next to nothing."""


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """One rule's figures.

    Attributes:
        name: which case.
        size, bytes_moved: elements of the weight; bytes that an update must read and write.
        update: one `Optimizer.update`.
        streaming: a loop that reads and writes the same number of arrays, with one addition for each.
        arithmetic: the rule's divisions and square roots alone, on data in the cache, on as many threads; None where
            it has none, and on a GPU.
    """

    name: str
    size: int
    bytes_moved: int
    update: Timing
    streaming: Timing
    arithmetic: Timing | None

    @property
    def limit(self) -> Timing:
        """The slower of the two limits."""
        return self.arithmetic if self.arithmetic and self.bound == "arithmetic" else self.streaming

    @property
    def bound(self) -> str:
        """Which limit that is: `memory`, or `arithmetic`."""
        slower = self.arithmetic is not None and self.arithmetic.median > self.streaming.median
        return "arithmetic" if slower else "memory"

    @property
    def share(self) -> float:
        """How near the rule comes to its limit; 1 is there."""
        return self.limit.median / self.update.median

    @property
    def nanoseconds(self) -> float:
        """Of an update, for each element."""
        return self.update.median / self.size * 1e9

    @property
    def gigabytes_per_second(self) -> float:
        """Bytes that must be moved, over the time."""
        return self.bytes_moved / self.update.median / 1e9


def measure_rule(
    name: str, *, size: int = 10_000_000, dtype: str = "float32", backend: str = "compiled", seconds: float = 1.0
) -> RuleFigures:
    """Measure one rule on one array, in turns with its limits.

    Args:
        name: a key of `RULE_CASES`.
        size: elements of the array, at least 1.
        dtype: `float32` or `float64`.
        backend: `numpy`, `compiled` or `cupy`.
        seconds: how long to measure.

    Raises:
        BackendError: the backend cannot run here.
    """
    rule = RULE_CASES[name]
    optimizer = build(rule, backend=backend)
    program = rule.program()
    xp = array_module("cupy" if backend == "cupy" else "numpy")
    wait = waiter(xp)
    generator = np.random.default_rng(0)
    W, g = (xp.asarray(generator.standard_normal(size, dtype=np.dtype(dtype).type)) for _ in range(2))
    slots = rule.active_slots()
    streamed = [W, g, *(xp.zeros_like(W) for _ in slots)]
    streaming = streaming_program(slots)

    def update() -> None:
        optimizer.update(0, g, W)
        wait()

    def stream() -> None:
        optimizer.backend.run(streaming, [streamed], ())
        wait()

    contenders: dict[str, Callable[[], object]] = {"update": update, "streaming": stream}
    operations = slow_operations(program)
    if any(operations) and xp is np:
        contenders["arithmetic"] = _arithmetic(optimizer.backend, *operations, dtype)
    timings = take_turns(contenders, seconds=seconds)
    arithmetic = timings.get("arithmetic")
    return RuleFigures(
        name=name,
        size=size,
        bytes_moved=bytes_moved(program, size, W.itemsize),
        update=timings["update"],
        streaming=timings["streaming"],
        arithmetic=arithmetic and arithmetic * (size / (_TIMES * _IN_CACHE) / _threads(optimizer.backend, size)),
    )


def _arithmetic(backend: Backend, divisions: int, roots: int, dtype: str) -> Callable[[], object]:
    if backend.name == "compiled":
        from mxtrain.backends.compiled import CompiledBackend

        backend = CompiledBackend(threads=1)  # two would write into one array; that they divide the work is reckoned
    program = arithmetic_program(divisions, roots)
    generator = np.random.default_rng(0)
    a, b = (generator.uniform(1, 2, _IN_CACHE).astype(dtype) for _ in range(2))
    groups: list[list[Array]] = [[np.zeros_like(a), a, b]] * _TIMES
    return lambda: backend.run(program, groups, ())


def _threads(backend: Backend, size: int) -> int:
    """How many threads work on an array of this size."""
    if backend.name != "compiled":
        return 1
    from mxtrain.backends.compiled import THREADED
    from mxtrain.backends.threads import thread_count

    return thread_count() if size >= THREADED else 1
