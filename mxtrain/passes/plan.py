"""A pass through a network: products in stages, computed where and how that is fastest."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mxtrain.backends.worth import is_worth_compiling
from mxtrain.passes.blas import gemm
from mxtrain.passes.product import Product
from mxtrain.passes.table import END_OF_CALL, LEFT, SIZES, ends_in_tiles, table_of
from mxtrain.types import Array

Stage: TypeAlias = Sequence[Product]
"""Products that do not need each other."""

_SECONDS_PER_TILE = 5e-6
"""What compiled code saves on each tile."""
_SECONDS_PER_MULTIPLICATION = 1e-11
"""And on each multiplication of a pass that several threads share."""
_SHARED = 1 << 22
"""From so many multiplications on, a pass is shared among threads; below, waking them costs more than they save."""


class _Section(NamedTuple):
    """Stages that compiled code does in one go, and what is left to NumPy after them."""

    table: NDArray[np.int64]
    starts: NDArray[np.int64]
    turns: NDArray[np.int64]
    left: list[Product]


class Plan:
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
        >>> plan = Plan([
        ...     [Product(None, np.array([[1.0, 2.0]]), first)],
        ...     [Product(first, np.array([[1.0], [10.0]]), second)],
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
        if self._gemm:
            self._lay_out()

    def run(self, inputs: Array) -> None:
        """Compute all products.

        Args:
            inputs: (n, d), C-contiguous, the `left` of those products that have none.
        """
        if self._gemm is None or inputs.dtype != self._dtype:
            for product in self._products():
                product.compute(self._xp, inputs)
            return
        self._aim(inputs)
        compiled = _compiled() if is_worth_compiling(self._saving) else None
        if compiled is None:
            self._walk(self._gemm.call)
            return
        for section in self._sections:
            compiled(self._gemm.address, str(self._dtype), *section[:3], self._is_shared)
            for product in section.left:
                product.activate(np)

    def _products(self) -> Iterator[Product]:
        return (product for stage in self._stages for product in stage)

    def _lay_out(self) -> None:
        tables = {id(product): table_of(product) for product in self._products()}
        self._table = np.concatenate(list(tables.values()))
        self._counts = [len(table) for table in tables.values()]
        self._moving = np.repeat([product.left is None for product in self._products()], self._counts)
        self._inputs_at = 0
        self._calls: list[list[int]] | None = None
        multiplications = int(self._table[:, SIZES].prod(axis=1).sum())
        self._is_shared = multiplications >= _SHARED
        self._saving = len(self._table) * _SECONDS_PER_TILE
        self._saving += self._is_shared * multiplications * _SECONDS_PER_MULTIPLICATION
        self._sections = list(self._cut(tables))

    def _cut(self, tables: dict[int, NDArray[np.int64]]) -> Iterator[_Section]:
        """The sections, which end where an activation is NumPy's to compute."""
        begin, lengths = 0, []
        for number, stage in enumerate(self._stages, 1):
            lengths.append(sum(len(tables[id(product)]) for product in stage))
            left = [product for product in stage if not ends_in_tiles(product)]
            if left or number == len(self._stages):
                turns = np.array([0, *accumulate(lengths)], dtype=np.int64)
                end = begin + int(turns[-1])
                yield _Section(self._table[begin:end], np.arange(end - begin + 1), turns, left)
                begin, lengths = end, []

    def _aim(self, inputs: NDArray[Any]) -> None:
        """Have the table point to where the inputs are."""
        if inputs.shape != self._shape or not inputs.flags.c_contiguous:
            raise ValueError(f"inputs must be a C-contiguous array of shape {self._shape}, got {inputs.shape}")
        address = inputs.__array_interface__["data"][0]
        if address != self._inputs_at:
            self._table[self._moving, LEFT] += address - self._inputs_at
            self._inputs_at, self._calls = address, None

    def _walk(self, multiply: Callable[..., None]) -> None:
        if self._calls is None:
            self._calls = self._table[:, :END_OF_CALL].tolist()
        calls = iter(self._calls)
        for product, count in zip(self._products(), self._counts, strict=True):
            for _ in range(count):
                multiply(*next(calls))
            product.finish(np)


@cache
def _compiled() -> Callable[..., None] | None:
    try:
        from mxtrain.passes.tile_loop import run
    except ImportError:  # without a compiler Python walks
        return None
    return run
