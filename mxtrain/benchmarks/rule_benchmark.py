"""Benchmark of update rules against memory bandwidth and arithmetic limits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from mxtrain.benchmarks.measurement import Timing, device_synchronizer, measure_interleaved
from mxtrain.optim.backends import Backend, array_module
from mxtrain.optim.factory import build_optimizer
from mxtrain.optim.ir import Program, sqrt, trace
from mxtrain.optim.rules import RULES, SGD, Rule
from mxtrain.types import Array


@cache
def streaming_program(slots: Sequence[str]) -> Program:
    """Read W, g and the slots, and write W and the slots: `W ← W + g`, and likewise for each slot."""

    def formula(W: Any, g: Any, *kept: Any) -> dict[str, Any]:
        return {"W": W + g} | {name: slot + g for name, slot in zip(slots, kept, strict=True)}

    return trace(f"streaming{len(slots)}", formula, ("W", "g", *slots), ())


@cache
def arithmetic_program(divisions: int, roots: int) -> Program:
    """So many divisions and square roots for each element, and nothing else."""

    def formula(result: Any, a: Any, b: Any) -> dict[str, Any]:
        for _ in range(divisions):
            a = a / b
        for _ in range(roots):
            a = sqrt(a)
        return {"result": a}

    return trace(f"arithmetic{divisions}_{roots}", formula, ("result", "a", "b"), ())


def count_slow_operations(program: Program) -> tuple[int, int]:
    """How many divisions and square roots a program has: each takes many cycles, where an addition takes one."""
    operations = [step.operation for step in program.instructions]
    return operations.count("divide"), operations.count("sqrt")


def bytes_moved(program: Program, size: int, itemsize: int) -> int:
    """What a program reads and writes, in bytes, if every array is read once and written once."""
    return size * itemsize * (len(program.arrays) + len(program.written))


RULE_CASES: dict[str, Rule] = {
    "sgd": SGD(),
    "sgd-momentum": SGD(μ=0.9),
    **{rule.kind: rule for rule in (kind() for kind in RULES if kind is not SGD)},
}
"""What is measured: every rule with its defaults, and SGD with momentum too."""

_CACHED_SIZE = 1 << 15
"""Elements of the arrays that the divisions are measured on: three of them fit in one core's second-level cache."""
_REPEATS = 32
"""How often these arrays are gone through in one call, so that the call itself costs next to nothing."""


@dataclass(frozen=True, slots=True)
class RuleBenchmark:
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
) -> RuleBenchmark:
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
    optimizer = build_optimizer(rule, backend=backend)
    program = rule.program()
    xp = array_module("cupy" if backend == "cupy" else "numpy")
    wait = device_synchronizer(xp)
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
    operations = count_slow_operations(program)
    if any(operations) and xp is np:
        contenders["arithmetic"] = _arithmetic_benchmark(optimizer.backend, *operations, dtype)
    timings = measure_interleaved(contenders, seconds=seconds)
    arithmetic = timings.get("arithmetic")
    return RuleBenchmark(
        name=name,
        size=size,
        bytes_moved=bytes_moved(program, size, W.itemsize),
        update=timings["update"],
        streaming=timings["streaming"],
        arithmetic=arithmetic
        and arithmetic * (size / (_REPEATS * _CACHED_SIZE) / _threads_used(optimizer.backend, size)),
    )


def _arithmetic_benchmark(backend: Backend, divisions: int, roots: int, dtype: str) -> Callable[[], object]:
    if backend.name == "compiled":
        from mxtrain.optim.backends.numba_backend import NumbaBackend

        backend = NumbaBackend(threads=1)  # two would write into one array; that they divide the work is reckoned
    program = arithmetic_program(divisions, roots)
    generator = np.random.default_rng(0)
    a, b = (generator.uniform(1, 2, _CACHED_SIZE).astype(dtype) for _ in range(2))
    groups: list[list[Array]] = [[np.zeros_like(a), a, b]] * _REPEATS
    return lambda: backend.run(program, groups, ())


def _threads_used(backend: Backend, size: int) -> int:
    """How many threads work on an array of this size."""
    if backend.name != "compiled":
        return 1
    from mxtrain.optim.backends.base import thread_count
    from mxtrain.optim.backends.numba_backend import MIN_PARALLEL_SIZE

    return thread_count() if size >= MIN_PARALLEL_SIZE else 1
