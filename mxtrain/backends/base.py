"""What a backend does: run a program on arrays, in place."""

from collections.abc import Sequence
from typing import Protocol

from mxtrain.kernel import Program
from mxtrain.types import Array


class Backend(Protocol):
    """Runs programs on arrays of one kind. Every backend gives the same bits."""

    name: str

    def run(self, program: Program, arrays: Sequence[Array], scalars: Sequence[float]) -> None:
        """Run a program in place.

        Args:
            program: what to compute.
            arrays: the program's arrays, of one shape and one dtype (float32 or float64), in its order; those that
                are outputs are overwritten.
            scalars: the program's scalars in float64, in its order; each is rounded once to the arrays' dtype.
        """
