"""Execution plan for stages of matrix products.

A plan first runs its tiles in Python. Once compiled code would have saved the time to load the compiler, it runs them
with `numba_tiles`, in sections that end where NumPy must apply an activation.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate, pairwise
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mxtrain.optim.backends.arrays import thread_count
from mxtrain.optim.backends.matmul.blas import Gemm, gemm
from mxtrain.optim.backends.matmul.tiled_matmul import A_ADDRESS, SIZES, MatMul, is_fully_compiled, tile_table
from mxtrain.optim.backends.selection import is_worth_compiling
from mxtrain.processes import fork_lock
from mxtrain.types import Array

Stage: TypeAlias = Sequence[MatMul]
"""Products that do not depend on each other."""

_SECONDS_PER_TILE = 5e-6
"""Time that compiled code saves on each tile."""
_SECONDS_PER_MULTIPLICATION = 2.5e-11
"""Time of a multiplication on one thread; compiled code saves the share that other threads compute."""
MIN_PARALLEL_MULTIPLICATIONS = 1 << 22
"""Multiplications from which a plan uses several threads; for fewer, waking the workers costs more than they save."""


def seconds_saved(tiles: int, parallel_multiplications: int) -> float:
    """Return the time that compiled code saves on tiles, and on multiplications that it divides among threads."""
    share_of_others = 1 - 1 / thread_count() if parallel_multiplications else 0.0
    return tiles * _SECONDS_PER_TILE + parallel_multiplications * _SECONDS_PER_MULTIPLICATION * share_of_others


class _Section(NamedTuple):
    """Stages that compiled code runs in one call, and the activations that NumPy applies after them."""

    task: tuple[Any, ...]
    stage_starts: NDArray[np.int64]
    max_threads: int
    numpy_activations: list[MatMul]


class MatMulPlan:
    """Stages of matrix products, run in order.

    Products of NumPy arrays are divided into tiles that depend only on the shape, and each tile is computed by NumPy's
    BLAS on one thread. Python and compiled code on any number of cores give the same bits. Products of CuPy arrays are
    computed whole, as are those of NumPy arrays if NumPy's BLAS cannot be called directly.

    Args:
        stages: the products, which keep their arrays.
        shape: the shape of the inputs, (n, d).
        xp: `numpy` or `cupy`.

    Example:
        >>> first, second = np.empty((1, 2)), np.empty((1, 1))
        >>> plan = MatMulPlan([
        ...     [MatMul(None, np.array([[1.0, 2.0]]), first)],
        ...     [MatMul(first, np.array([[1.0], [10.0]]), second)],
        ... ], shape=(1, 1))
        >>> plan.run(np.array([[2.0]]))
        >>> first, second
        (array([[2., 4.]]), array([[42.]]))
    """

    def __init__(self, stages: Iterable[Stage], shape: tuple[int, int], xp: ModuleType = np) -> None:
        self._stages = [list(stage) for stage in stages]
        self._shape = shape
        self._xp = xp
        self._dtype = self._stages[0][0].out.dtype
        are_regular = xp is np and all(product.is_regular(shape, self._dtype) for product in self._products())
        self._gemm = gemm(str(self._dtype)) if are_regular else None
        self._inputs: Array = None
        self._sections: list[_Section] | None = None
        if self._gemm:
            self._build_tile_table()

    def run(self, inputs: Array) -> None:
        """Compute all products.

        Args:
            inputs: (n, d), C-contiguous; used for `a` by products without one.
        """
        if self._gemm is None or inputs.dtype != self._dtype:
            for product in self._products():
                product.compute(self._xp, inputs)
            return
        if inputs is not self._inputs:
            self._set_inputs(inputs)
        if self._sections is None and is_worth_compiling(self._seconds_saved):
            self._sections = self._build_sections(load_compiled(), self._gemm.address)
        if not self._sections:
            self._run_in_python(self._gemm)
            return
        for section in self._sections:
            load_compiled().run_tiles(section.task, section.stage_starts, section.max_threads)
            for product in section.numpy_activations:
                product.apply_activation(np)

    def _products(self) -> Iterator[MatMul]:
        return (product for stage in self._stages for product in stage)

    def _build_tile_table(self) -> None:
        tables = [tile_table(product) for product in self._products()]
        self._table = np.concatenate(tables)
        offsets = [0, *accumulate(map(len, tables))]
        views = (self._table[begin:end] for begin, end in pairwise(offsets))
        self._tables = dict(zip(self._products(), views, strict=True))
        self._reads_inputs = np.repeat([product.a is None for product in self._products()], [*map(len, tables)])
        self._address = 0
        self._steps: list[tuple[list[tuple[Any, ...]], MatMul]] = []
        multiplications = int(self._table[:, SIZES].prod(axis=1).sum())
        self._is_parallel = multiplications >= MIN_PARALLEL_MULTIPLICATIONS
        self._seconds_saved = seconds_saved(len(self._table), multiplications if self._is_parallel else 0)

    def _build_sections(self, compiled: Any, gemm: int) -> list[_Section]:
        """Divide the stages into sections that end where NumPy applies an activation; an empty list without Numba."""
        sections: list[_Section] = []
        begin, lengths = 0, []
        for number, stage in enumerate(self._stages if compiled else (), 1):
            lengths.append(sum(len(self._tables[product]) for product in stage))
            numpy_activations = [product for product in stage if not is_fully_compiled(product)]
            if numpy_activations or number == len(self._stages):
                stage_starts = np.array([0, *accumulate(lengths)], dtype=np.int64)
                end = begin + int(stage_starts[-1])
                task = compiled.make_task(gemm, str(self._dtype), self._table[begin:end])
                max_threads = max(lengths) if self._is_parallel else 1
                sections.append(_Section(task, stage_starts, max_threads, numpy_activations))
                begin, lengths = end, []
        return sections

    def _set_inputs(self, inputs: NDArray[Any]) -> None:
        """Set the address of the inputs in the table."""
        if inputs.shape != self._shape or not inputs.flags.c_contiguous:
            raise ValueError(f"inputs must be a C-contiguous array of shape {self._shape}, got {inputs.shape}")
        address = inputs.__array_interface__["data"][0]
        self._table[self._reads_inputs, A_ADDRESS] += address - self._address
        self._inputs, self._address, self._steps = inputs, address, []

    def _run_in_python(self, gemm: Gemm) -> None:
        if not self._steps:
            self._steps = [
                ([gemm.arguments(tile) for tile in self._tables[product].tolist()], product)
                for product in self._products()
            ]
        multiply = gemm.function
        for calls, product in self._steps:
            for arguments in calls:
                multiply(*arguments)
            if product.bias is not None or product.activation is not None:
                product.apply_epilogue(np)


@cache
def load_compiled() -> Any:
    """Import the module that runs tiles in compiled code; return None if Numba cannot be imported."""
    try:
        with fork_lock:
            from mxtrain.optim.backends.matmul import numba_tiles
    except ImportError:
        return None
    return numba_tiles
