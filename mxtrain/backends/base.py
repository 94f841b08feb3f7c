"""What a backend does: run a program on arrays, in place."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from mxtrain.kernel import Program
from mxtrain.types import Array

Group: TypeAlias = Sequence[Array]
"""A program's arrays in its order: all of one shape and one dtype, float32 or float64."""


class Backend(Protocol):
    """Runs programs on arrays of one kind. Every backend gives the same bits."""

    name: str
    kinds: tuple[str, ...]
    """The kinds of arrays that it runs on: `numpy`, `cupy`."""

    def run(self, program: Program, groups: Sequence[Group], scalars: Sequence[float]) -> None:
        """Run a program in place, once on each group of arrays.

        Args:
            program: what to compute.
            groups: the arrays, one group for each run; those that are the program's outputs are overwritten. All
                groups have the same dtype; their shapes may differ.
            scalars: the program's scalars in float64, in its order; each is rounded once to the arrays' dtype.
        """
