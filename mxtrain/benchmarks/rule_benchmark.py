"""Benchmark of update rules against memory bandwidth and arithmetic limits."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import isqrt, prod
from types import ModuleType
from typing import Any

import numpy as np

from mxtrain.benchmarks.measurement import Timing, device_synchronizer, measure_interleaved
from mxtrain.kinds import listed_classes, own_kind
from mxtrain.optim.backends import Backend, array_module
from mxtrain.optim.factory import build_optimizer
from mxtrain.optim.ir import AnyProgram, MatrixProgram, Program, UpdateProgram, sqrt, trace
from mxtrain.optim.rules import RULES, SGD, MatrixRule, Rule
from mxtrain.types import Array


@cache
def streaming_program(slots: tuple[str, ...]) -> Program:
    """Build a program that reads W, g and the slots and writes W and the slots: `W ← W + g`, `slot ← slot + g`."""

    def formula(W: Any, g: Any, *slot_symbols: Any) -> dict[str, Any]:
        return {"W": W + g} | {name: slot + g for name, slot in zip(slots, slot_symbols, strict=True)}

    return single_pass(trace(f"streaming{len(slots)}", formula, ("W", "g", *slots), ()))


@cache
def arithmetic_program(divisions: int, roots: int) -> Program:
    """Build a program that computes only divisions and square roots, a given number of each per element."""

    def formula(result: Any, a: Any, b: Any) -> dict[str, Any]:
        for _ in range(divisions):
            a = a / b
        for _ in range(roots):
            a = sqrt(a)
        return {"result": a}

    return single_pass(trace(f"arithmetic{divisions}_{roots}", formula, ("result", "a", "b"), ()))


def single_pass(program: UpdateProgram) -> Program:
    """Return a program that is known to have no reductions."""
    assert isinstance(program, Program)
    return program


def programs_of(program: AnyProgram) -> list[Program]:
    """Return the programs of the passes of an update; none of a matrix rule."""
    if isinstance(program, MatrixProgram):
        return []
    return [program] if isinstance(program, Program) else [each.program for each in program.passes]


def count_slow_operations(program: AnyProgram) -> tuple[int, int]:
    """Count the divisions and square roots of a program; each takes many cycles, an addition takes one."""
    operations = [step.operation for each in programs_of(program) for step in each.instructions]
    return operations.count("divide"), operations.count("sqrt")


def arrays_moved(rule: Rule) -> int:
    """Return the number of arrays that an update reads and writes."""
    if isinstance(rule, MatrixRule):
        return rule.arrays_moved
    return _arrays_of_passes(rule.program())


def _arrays_of_passes(program: AnyProgram) -> int:
    return sum(each.arrays_moved for each in programs_of(program))


RULE_CASES: dict[str, Rule] = {
    "sgd": SGD(),
    "sgd-momentum": SGD(μ=0.9),
    **{rule.kind: rule for rule in (kind() for kind in RULES if kind is not SGD)},
}
"""The built-in rules to measure: every rule with its defaults, and SGD with momentum."""


def rule_cases() -> dict[str, Rule]:
    """Return the rules to measure: `RULE_CASES`, and those of plugins with their defaults."""
    added: list[type[Any]] = [each for each in listed_classes() if issubclass(each, Rule)]
    return RULE_CASES | {str(own_kind(each)): each() for each in added}


_CACHED_SIZE = 1 << 15
"""Elements of the arrays on which divisions are measured: three such arrays fit in the L2 cache of a core."""
_LARGEST_PRODUCT = 1024
"""Rows of the weight of a rule with matrix products, at most; their time grows with the third power."""
_REPEATS = 32
"""Number of iterations over these arrays in one call, so that the overhead of the call is negligible."""


@dataclass(frozen=True, slots=True)
class RuleBenchmark:
    """Measurements of one rule.

    Attributes:
        name: a key of `rule_cases()`.
        size: the number of elements of the weight.
        bytes_moved: the bytes that an update must read and write.
        update: the time of one `Optimizer.update`.
        streaming: the time of a loop that reads and writes the same number of arrays, with one addition for each.
        arithmetic: the time of the rule's divisions and square roots alone, on cached data and the same number of
            threads, or of its matrix products alone with `matmul` of NumPy or CuPy; None for a rule without any, and
            on a GPU for one without products.
    """

    name: str
    size: int
    bytes_moved: int
    update: Timing
    streaming: Timing
    arithmetic: Timing | None

    @property
    def limit(self) -> Timing:
        """The larger of the two limits, `streaming` and `arithmetic`."""
        return self.arithmetic if self.arithmetic and self.bound == "arithmetic" else self.streaming

    @property
    def bound(self) -> str:
        """The resource that sets the limit: `memory` or `arithmetic`."""
        is_arithmetic = self.arithmetic is not None and self.arithmetic.median > self.streaming.median
        return "arithmetic" if is_arithmetic else "memory"

    @property
    def share(self) -> float:
        """The limit divided by the time of an update; 1 means that the update runs at its limit."""
        return self.limit.median / self.update.median

    @property
    def nanoseconds(self) -> float:
        """The time of an update per element, in nanoseconds."""
        return self.update.median / self.size * 1e9

    @property
    def gigabytes_per_second(self) -> float:
        """The bytes that must be moved, divided by the time of an update, in GB/s."""
        return self.bytes_moved / self.update.median / 1e9


def measure_rule(
    name: str, *, size: int = 10_000_000, dtype: str = "float32", backend: str = "compiled", seconds: float = 1.0
) -> RuleBenchmark:
    """Measure the update of one array by a rule, interleaved with the limits of the machine.

    Args:
        name: a key of `rule_cases()`.
        size: the number of elements of the array, at least 1. A matrix rule is measured on a square matrix of about
            this size, of at most 1024 x 1024 elements if it has matrix products.
        dtype: `float32` or `float64`.
        backend: `numpy`, `compiled` or `cupy`.
        seconds: the time to measure for.

    Raises:
        BackendError: the backend cannot run on this machine.
    """
    rule = rule_cases()[name]
    optimizer = build_optimizer(rule, backend=backend, on_nonfinite="ignore")
    program = rule.program()
    xp = array_module("cupy" if backend == "cupy" else "numpy")
    wait = device_synchronizer(xp)
    generator = np.random.default_rng(0)
    shape = _shape_of(rule, size)
    size = prod(shape)
    W, g = (xp.asarray(generator.standard_normal(shape, dtype=np.dtype(dtype).type)) for _ in range(2))
    has_sums = not isinstance(program, Program)
    # Some passes only read, so their time is scaled from that of a loop that reads two arrays and writes one.
    slots = () if has_sums else rule.active_slots()
    arrays = [W.copy(), g, *(xp.zeros_like(W) for _ in slots)]
    streaming = streaming_program(slots)
    moved = arrays_moved(rule)
    streams = moved / _arrays_of_passes(streaming) if has_sums else 1.0

    def update() -> None:
        optimizer.step({"W": W}, {"W": g})
        wait()

    def stream() -> None:
        optimizer.backend.run(streaming, [arrays], ())
        wait()

    candidates: dict[str, Callable[[], object]] = {"update": update, "streaming": stream}
    arithmetic, calls = _arithmetic_of_update(rule, optimizer.backend, W, xp, wait)
    if arithmetic is not None:
        candidates["arithmetic"] = arithmetic
    timings = measure_interleaved(candidates, seconds=seconds)
    return RuleBenchmark(
        name=name,
        size=size,
        bytes_moved=moved * size * W.itemsize,
        update=timings["update"],
        streaming=timings["streaming"] * streams,
        arithmetic=timings["arithmetic"] * calls if "arithmetic" in timings else None,
    )


def _arithmetic_of_update(
    rule: Rule, backend: Backend, W: Array, xp: ModuleType, wait: Callable[[], None]
) -> tuple[Callable[[], object] | None, float]:
    """Return a function with the slow arithmetic of an update, None if there is none, and its calls in an update."""
    operations = count_slow_operations(rule.program())
    products = rule.matrix_products((W.shape[0], W.shape[-1])) if isinstance(rule, MatrixRule) else []
    if products:
        return _products_benchmark(products, W, xp, wait), 1.0
    if any(operations) and xp is np:
        calls = W.size / (_REPEATS * _CACHED_SIZE) / _threads_used(backend, W.size)
        return _arithmetic_benchmark(backend, *operations, W.dtype.name), calls
    return None, 1.0


def _shape_of(rule: Rule, size: int) -> tuple[int, ...]:
    """Return the shape of the weight that is measured: a square matrix for a matrix rule, one axis for most others."""
    if not isinstance(rule, MatrixRule):
        return (size,) if rule.for_vectors() is rule else (1, size)
    side = isqrt(size)
    if rule.matrix_products((side, side)):
        side = min(side, _LARGEST_PRODUCT)
    return side, side


def _products_benchmark(
    products: list[tuple[int, int, int]], example: Array, xp: ModuleType, wait: Callable[[], None]
) -> Callable[[], object]:
    """Return a function that computes matrix products of these sizes with NumPy or CuPy."""
    arrays: dict[tuple[int, int, int], tuple[Array, Array, Array]] = {}
    for m, k, n in products:
        if (m, k, n) not in arrays:
            arrays[m, k, n] = tuple(xp.ones(shape, dtype=example.dtype) for shape in ((m, k), (k, n), (m, n)))

    def multiply() -> None:
        for each in products:
            a, b, out = arrays[each]
            xp.matmul(a, b, out=out)
        wait()

    return multiply


def _arithmetic_benchmark(backend: Backend, divisions: int, roots: int, dtype: str) -> Callable[[], object]:
    if backend.name == "compiled":
        from mxtrain.optim.backends.compiled.numba_backend import NumbaBackend

        backend = NumbaBackend(threads=1)  # several would write to the same array; the time is divided by their number
    program = arithmetic_program(divisions, roots)
    generator = np.random.default_rng(0)
    a, b = (generator.uniform(1, 2, _CACHED_SIZE).astype(dtype) for _ in range(2))
    groups: list[list[Array]] = [[np.zeros_like(a), a, b]] * _REPEATS
    return lambda: backend.run(program, groups, ())


def _threads_used(backend: Backend, size: int) -> int:
    """Return the number of threads that a backend uses for an array of this size."""
    if backend.name != "compiled":
        return 1
    from mxtrain.optim.backends.arrays import thread_count
    from mxtrain.optim.backends.compiled.numba_tasks import MIN_PARALLEL_SIZE

    return thread_count() if size >= MIN_PARALLEL_SIZE else 1
