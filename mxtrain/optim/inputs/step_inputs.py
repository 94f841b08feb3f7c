"""StepInputs: the arrays of a step by name, and the functions to call after the update."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from mxtrain.types import Array


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
        gather: for some parameters, a function from the program's arrays (weight, gradient, slots) to those that it
            runs on. It may read slots and allocate, but must not change them.
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
    gather: dict[Hashable, Callable[[tuple[Array, ...]], tuple[Array, ...]]] = field(default_factory=dict)
    complex: set[Hashable] = field(default_factory=set)
    half: set[Hashable] = field(default_factory=set)
    write_back: list[Callable[[], None]] = field(default_factory=list)
    is_converted: bool = False

    @property
    def are_direct(self) -> bool:
        """True if the program runs on the arrays of `memory` and on slots of their shape and dtype."""
        return not (self.stored or self.gather or self.half)

    def shape(self, name: Hashable) -> tuple[int, ...]:
        """Return the shape of a parameter that the caller passed."""
        return tuple(self.originals[name].shape)

    def finish(self) -> None:
        """Call the functions of `write_back`."""
        for function in self.write_back:
            function()
