"""Execution plan for stages of matrix products, run by Python or compiled code."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate, pairwise
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mxtrain.nn.matmul.blas import Gemm, gemm
from mxtrain.nn.matmul.tiled_matmul import LEFT, SIZES, MatMul, is_fully_compiled, tile_table
from mxtrain.optim.backends.selection import is_worth_compiling
from mxtrain.optim.backends.threads import thread_count
from mxtrain.processes import fork_lock
from mxtrain.types import Array

Stage: TypeAlias = Sequence[MatMul]
"""Products that do not need each other."""

_SECONDS_PER_TILE = 5e-6
"""What compiled code saves on each tile."""
_SECONDS_PER_MULTIPLICATION = 2.5e-11
"""What each takes on one thread; of a pass that is shared, compiled code saves what the other threads do."""
_MIN_PARALLEL_MULTIPLICATIONS = 1 << 22
"""From so many multiplications on, a pass is shared among threads; below, waking them costs more than they save."""


class _Section(NamedTuple):
    """Stages that compiled code does in one go, and what is left to NumPy after them."""

    task: tuple[Any, ...]
    stage_starts: NDArray[np.int64]
    max_threads: int
    left: list[MatMul]


class MatMulPlan:
    """Stages of products, each stage after the one before.

    On NumPy arrays every product is cut into tiles, by its shape alone, and each tile is computed by NumPy's BLAS on
    one thread. Whether Python walks through the tiles, or compiled code on all cores, makes no difference to any bit.
    On CuPy arrays, and where NumPy has a BLAS that cannot be called directly, products are computed whole.

    Args:
        stages: the products; their arrays stay.
        shape: of the inputs, (n, d).
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
            inputs: (n, d), C-contiguous, the `left` of those products that have none.
        """
        if self._gemm is None or inputs.dtype != self._dtype:
            for product in self._products():
                product.compute(self._xp, inputs)
            return
        if inputs is not self._inputs:
            self._set_inputs(inputs)
        if self._sections is None and is_worth_compiling(self._seconds_saved):
            self._sections = self._build_sections(_load_compiled(), self._gemm.address)
        if not self._sections:
            self._run_in_python(self._gemm)
            return
        for section in self._sections:
            _load_compiled().run(section.task, section.stage_starts, section.max_threads)
            for product in section.left:
                product.activate(np)

    def _products(self) -> Iterator[MatMul]:
        return (product for stage in self._stages for product in stage)

    def _build_tile_table(self) -> None:
        tables = [tile_table(product) for product in self._products()]
        self._table = np.concatenate(tables)
        ends = [0, *accumulate(map(len, tables))]
        parts = (self._table[begin:end] for begin, end in pairwise(ends))
        self._tables = dict(zip(self._products(), parts, strict=True))
        self._reads_inputs = np.repeat([product.left is None for product in self._products()], [*map(len, tables)])
        self._address = 0
        self._steps: list[tuple[list[tuple[Any, ...]], MatMul]] = []
        multiplications = int(self._table[:, SIZES].prod(axis=1).sum())
        self._is_parallel = multiplications >= _MIN_PARALLEL_MULTIPLICATIONS
        self._seconds_saved = len(self._table) * _SECONDS_PER_TILE
        if self._is_parallel:
            self._seconds_saved += multiplications * _SECONDS_PER_MULTIPLICATION * (1 - 1 / thread_count())

    def _build_sections(self, compiled: Any, gemm: int) -> list[_Section]:
        """The sections, which end where an activation is NumPy's to compute; none where there is no compiler."""
        sections: list[_Section] = []
        begin, lengths = 0, []
        for number, stage in enumerate(self._stages if compiled else (), 1):
            lengths.append(sum(len(self._tables[product]) for product in stage))
            left = [product for product in stage if not is_fully_compiled(product)]
            if left or number == len(self._stages):
                stage_starts = np.array([0, *accumulate(lengths)], dtype=np.int64)
                end = begin + int(stage_starts[-1])
                task = compiled.task(gemm, str(self._dtype), self._table[begin:end])
                sections.append(_Section(task, stage_starts, max(lengths) if self._is_parallel else 1, left))
                begin, lengths = end, []
        return sections

    def _set_inputs(self, inputs: NDArray[Any]) -> None:
        """Have the table point to where the inputs are."""
        if inputs.shape != self._shape or not inputs.flags.c_contiguous:
            raise ValueError(f"inputs must be a C-contiguous array of shape {self._shape}, got {inputs.shape}")
        address = inputs.__array_interface__["data"][0]
        self._table[self._reads_inputs, LEFT] += address - self._address
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
                product.finish(np)


@cache
def _load_compiled() -> Any:
    """The module that runs tiles in compiled code; None where there is no compiler."""
    try:
        with fork_lock:
            from mxtrain.nn.matmul import numba_tiles
    except ImportError:
        return None
    return numba_tiles
