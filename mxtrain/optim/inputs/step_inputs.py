"""StepInputs: the arrays of a step by name, and the functions to call after the update."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mxtrain.types import Array


class RowPart(NamedTuple):
    """Selected rows with one update count, as a slice of the selected rows; None for the count of the parameter."""

    updates: int | None
    rows: slice


@dataclass(slots=True)
class RowSelection:
    """Rows of a weight that a step updates.

    Attributes:
        weight: the whole weight.
        compact: a copy of the rows, in the order of `indices`; None until they are copied together with those of the
            slots.
        indices: the number of each row, once; ascending in each part.
        parts: the rows with the same update count.
        slots: copies of these rows of the slots, once they are known.
    """

    weight: Array
    compact: Array | None
    indices: NDArray[np.int64]
    parts: tuple[RowPart, ...]
    slots: list[Array] = field(default_factory=list)


@dataclass(slots=True)
class StepInputs:
    """Arrays of a step after conversion.

    Attributes:
        originals: every parameter of the caller by name, as it was passed, without conversion. Groups select by the
            shapes of these. Parameters without a gradient are only here.
        params: the arrays to update in place: NumPy or CuPy, float32 or float64. A view of the caller's memory, or an
            array from which `write_back` copies.
        grads: the gradient of each, of the same shape and dtype; never written to.
        memory: the name, gradient and weight of each parameter before any copy, in which shared memory is detected.
        stored: the array with the shape and dtype of the slots, for parameters for which that is not `params[name]`.
        rows: the selected rows of parameters of which some rows are updated; `params` has the whole weight, or copies
            of these rows if it has another dtype, and `stored` the whole weight.
        complex: the names of complex weights; `params` has real views of them, and `stored` the weights.
        half: the names of weights of half precision, which `params` has as they are.
        write_back: functions to call after the update, in this order.
        is_converted: True if the arrays are not those that the caller passed, or some are left out.
    """

    originals: dict[Hashable, Any]
    params: dict[Hashable, Array]
    grads: dict[Hashable, Array]
    memory: list[tuple[Hashable, Array, Array]] = field(default_factory=list)
    stored: dict[Hashable, Array] = field(default_factory=dict)
    rows: dict[Hashable, RowSelection] = field(default_factory=dict)
    complex: set[Hashable] = field(default_factory=set)
    half: set[Hashable] = field(default_factory=set)
    write_back: list[Callable[[], None]] = field(default_factory=list)
    is_converted: bool = False

    @property
    def are_direct(self) -> bool:
        """True if the program runs on the arrays of `memory` and on slots of their shape and dtype."""
        return not (self.stored or self.rows or self.half)

    @property
    def row_slots(self) -> dict[Hashable, list[Array]]:
        """The updated rows of the slots of parameters of which some rows are updated."""
        return {name: selection.slots for name, selection in self.rows.items()}

    def shape(self, name: Hashable) -> tuple[int, ...]:
        """Return the shape of a parameter that the caller passed."""
        return tuple(self.originals[name].shape)

    def finish(self) -> None:
        """Call the functions of `write_back`."""
        for function in self.write_back:
            function()
