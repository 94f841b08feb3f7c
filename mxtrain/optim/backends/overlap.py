"""Detection of arrays that share memory, based on their addresses and strides."""

import sys
from collections.abc import Hashable, Iterator, Sequence
from math import prod
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from mxtrain.errors import ArrayError
from mxtrain.types import Array

_MAX_WORK: Any = 100_000
"""Largest number of candidate solutions in an exact test for shared memory."""
_MAX_ELEMENTS = 1 << 22
"""Size of the largest array with irregular strides whose element offsets are compared individually."""

_COLUMNS = 3 + 2 * 4
"""Columns of a layout table: address, item size, number of axes, and the length and stride of up to four axes."""

ParamUpdate: TypeAlias = tuple[Hashable, Array, Array]
"""The index of a parameter, its gradient, and its weight."""

_SCHEDULER = "mxtrain.optim.backends.compiled.scheduler"


class MemoryLayout(NamedTuple):
    """The memory layout of an array: address, shape, strides in bytes, and bytes per element."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    itemsize: int

    @property
    def bounds(self) -> tuple[int, int]:
        """The address of the first byte, and of the byte after the last."""
        steps = [stride * (length - 1) for stride, length in zip(self.strides, self.shape, strict=True)]
        low = self.address + sum(step for step in steps if step < 0)
        return low, self.address + sum(step for step in steps if step > 0) + self.itemsize

    def to_array(self) -> np.ndarray[Any, Any]:
        """Return a NumPy array with this layout. Its elements must not be read, because the memory may be on a GPU."""
        return np.asarray(_Memory(self))


class _Memory:
    def __init__(self, layout: MemoryLayout) -> None:
        self.__array_interface__ = {
            "version": 3,
            "data": (layout.address, True),
            "shape": layout.shape,
            "strides": layout.strides,
            "typestr": f"|V{layout.itemsize}",
        }


class OverlapCheck:
    """Validation that no weight shares memory with another weight or with a gradient.

    The last accepted memory layouts are cached, so that a step with the same arrays needs only one comparison.
    """

    def __init__(self) -> None:
        self._accepted: list[MemoryLayout] = []
        self._accepted_table: Any = np.empty((0, _COLUMNS), dtype=np.int64)

    def check(self, updates: Sequence[ParamUpdate]) -> None:
        """Compare every weight with all other arrays of a step.

        Raises:
            ArrayError: two arrays share memory, or their strides are too irregular to decide that.
        """
        arrays = [array for _, gradient, weight in updates for array in (weight, gradient)]
        if len(arrays) == 2 and isinstance(arrays[0], np.ndarray) and not np.may_share_memory(*arrays):
            return
        table = _layout_table(arrays)
        if table is not None and np.array_equal(table, self._accepted_table):
            return
        layouts = list(map(memory_layout, arrays))
        if layouts != self._accepted:
            for first, second in _pairs_to_compare(layouts):
                _raise_if_shared(updates, layouts, *sorted((first, second)))
            self._accepted = layouts
        if table is not None:
            self._accepted_table = table


def memory_layout(array: Array) -> MemoryLayout:
    """Return the memory layout of a NumPy or CuPy array."""
    address = array.__array_interface__["data"][0] if isinstance(array, np.ndarray) else array.data.ptr
    return MemoryLayout(address, array.shape, array.strides, array.itemsize)


def _layout_table(arrays: Sequence[Array]) -> Any:
    """Read the layouts of NumPy arrays with compiled code.

    Returns:
        One row per array; None if the compiled code is not loaded, an array has more than four axes, or one is not
        from NumPy.
    """
    # Not imported here, because that would load the compiler; another thread may be importing it at this moment.
    read_layouts = getattr(sys.modules.get(_SCHEDULER), "read_layouts", None)
    if read_layouts is None:
        return None
    try:
        records = [array.__array_struct__ for array in arrays]
    except AttributeError:  # CuPy arrays
        return None
    table = np.empty((len(records), _COLUMNS), dtype=np.int64)
    return table if read_layouts(np.array(list(map(id, records)), dtype=np.int64), table) else None


def shares_memory(a: MemoryLayout, b: MemoryLayout) -> bool | None:
    """Return whether two arrays share a byte; None if that is too hard to decide."""
    (low, high), (other_low, other_high) = a.bounds, b.bounds
    if not (prod(a.shape) and prod(b.shape) and low < other_high and other_low < high):
        return False
    try:
        return np.shares_memory(a.to_array(), b.to_array(), max_work=_MAX_WORK)
    except np.exceptions.TooHardError:
        return None


def overlaps_itself(layout: MemoryLayout) -> bool | None:
    """Return whether two elements of an array share a byte; None if that is too hard to decide."""
    axes = [(abs(stride), n) for stride, n in zip(layout.strides, layout.shape, strict=True) if n > 1]
    size = prod(layout.shape)
    if size == 0:
        return False
    extent = layout.itemsize
    for stride, n in sorted(axes):
        if stride < extent:
            break
        extent += stride * (n - 1)
    else:
        return False
    if size * layout.itemsize > sum(stride * (n - 1) for stride, n in axes) + layout.itemsize:
        return True  # the elements need more bytes than the array covers
    if size > _MAX_ELEMENTS:
        return None
    offsets = np.zeros(1, dtype=np.int64)
    for stride, n in axes:
        offsets = (offsets[:, None] + stride * np.arange(n)).reshape(-1)
    offsets.sort()
    return bool((np.diff(offsets) < layout.itemsize).any())


def _pairs_to_compare(layouts: Sequence[MemoryLayout]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of arrays with overlapping bounds, except two gradients; weights have even numbers."""
    spans = sorted((*layout.bounds, number) for number, layout in enumerate(layouts) if prod(layout.shape))
    weights: list[tuple[int, int]] = []
    gradients: list[tuple[int, int]] = []
    for low, high, number in spans:
        if weights:
            weights = [each for each in weights if each[0] > low]
        if gradients:
            gradients = [each for each in gradients if each[0] > low]
        is_weight = number % 2 == 0
        yield from ((other, number) for other in map(itemgetter(1), weights))
        if is_weight:
            yield from ((other, number) for other in map(itemgetter(1), gradients))
        (weights if is_weight else gradients).append((high, number))


def _raise_if_shared(updates: Sequence[ParamUpdate], layouts: Sequence[MemoryLayout], first: int, second: int) -> None:
    shared = shares_memory(layouts[first], layouts[second])
    if shared is False:
        return
    names = [repr(updates[number // 2][0]) for number in (first, second)]
    if first // 2 == second // 2 and shared:
        raise ArrayError(
            f"the gradient of weight {names[0]} shares memory with the weight, which is about to change; "
            "pass a copy of the gradient"
        )
    if shared is None:
        raise ArrayError(
            f"the arrays of {names[0]} and {names[1]} are too irregular to tell whether they share memory; "
            "pass contiguous arrays"
        )
    if first % 2 == second % 2 == 0:
        raise ArrayError(
            f"weights {names[0]} and {names[1]} share memory, which would be updated twice; "
            "pass that memory under one name, or a copy"
        )
    if first % 2:
        names.reverse()
    raise ArrayError(
        f"the gradient of weight {names[1]} shares memory with weight {names[0]}, which is about to change; "
        "pass a copy of the gradient"
    )
