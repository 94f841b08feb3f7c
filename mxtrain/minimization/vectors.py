"""Vectors of a method: the rows of one matrix, with inner products and linear combinations.

`vector_operations` defines their bits, which are the same on every backend and number of threads. Elementwise formulas
are traced programs, which the backends of `mxtrain.optim` run.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.minimization import small_systems
from mxtrain.minimization.vector_operations import NumPyVectorOperations, Rows, VectorOperations, row_numbers
from mxtrain.optim.backends import array_kind, array_module, select_backend
from mxtrain.optim.backends.selection import is_worth_compiling
from mxtrain.optim.ir import Program, trace
from mxtrain.processes import fork_lock
from mxtrain.types import Array

_SECONDS_PER_CALL, _SECONDS_PER_PRODUCT = 30e-6, 2e-9
"""Time that compiled code saves on each operation, and on each element of a vector in it."""

_FUNCTIONS = (
    "inverse_hessian_coefficients", "factor_middle", "multiply_middle", "pass_breakpoints", "subspace_coefficients"
)  # fmt: skip
_PLAIN_FUNCTIONS = SimpleNamespace(
    **{name: np.errstate(all="ignore")(getattr(small_systems, name)) for name in _FUNCTIONS}
)


class Vectors:
    """A fixed number of vectors of one size and dtype, addressed by number.

    >>> vectors = Vectors(3, np.zeros(4))
    >>> vectors[0][:], vectors[1][:] = [1, 2, 3, 4], 1
    >>> vectors.combine(2, (2.0, -1.0), (0, 1))
    >>> vectors[2], vectors.dots((0, 2), (1,)).ravel()
    (array([1., 3., 5., 7.]), array([10., 16.]))

    Args:
        count: the number of vectors.
        example: a one-dimensional array of the same size, dtype and device; NumPy or CuPy, float32 or float64.
    """

    def __init__(self, count: int, example: Array) -> None:
        self.size: int = example.size
        self._on_device = array_kind(example) == "cupy"
        self.xp: Any = array_module("cupy" if self._on_device else "numpy")
        self.matrix = self.xp.zeros((count, example.size), dtype=example.dtype)
        self._views = list(self.matrix)
        self._backend = select_backend("auto")
        self._operations: VectorOperations = NumPyVectorOperations()
        self._compiled: Any = None
        self._is_settled = False
        self.small: Any = _PLAIN_FUNCTIONS
        """The functions of `small_systems`, compiled once that is worth it."""
        if self._on_device:
            from mxtrain.minimization.cupy_vectors import CuPyVectorOperations

            self._operations = CuPyVectorOperations()

    @property
    def is_compiled(self) -> bool:
        """True if the operations run as compiled code on the host."""
        return self._compiled is not None

    def __getitem__(self, number: int) -> Array:
        return self._views[number]

    def set(self, number: int, values: Array) -> None:
        """Copy an array to a vector."""
        self._views[number][...] = values

    def get(self, number: int) -> Array:
        """Return a copy of a vector."""
        return self._views[number].copy()

    def dots(self, rows: Rows, columns: Rows) -> NDArray[np.float64]:
        """Return the inner products of vectors with others, of shape `(len(rows), len(columns))`."""
        if not self._is_settled:
            self._select_operations(len(rows) * len(columns))
        return self._operations.dots(self.matrix, rows, columns)

    def combine(self, target: int, coefficients: Sequence[float], sources: Rows) -> None:
        """Replace a vector by a linear combination of vectors, which may include itself."""
        if not self._is_settled:
            self._select_operations(len(sources))
        self._operations.combine(self.matrix, target, coefficients, sources)

    def max_abs(self, number: int) -> float:
        """Return the largest absolute element of a vector; NaN if one is NaN."""
        if not self._is_settled:
            self._select_operations(1)
        return self._operations.max_abs(self.matrix, number)

    def at(self, rows: Rows, elements: Array) -> Array:
        """Return some elements of vectors, one row for each vector."""
        return self.matrix[self.xp.asarray(row_numbers(rows))[:, None], elements]

    def products_at(self, rows: Rows, elements: Array) -> NDArray[np.float64]:
        """Return the inner products of vectors with each other over some elements, in the order of the elements."""
        numbers = tuple(range(len(rows)))
        return self._operations.dots(self.xp.ascontiguousarray(self.at(rows, elements)), numbers, numbers)

    def run(self, program: Program, numbers: Sequence[int], scalars: Mapping[str, float] | None = None) -> None:
        """Run a traced program on vectors in place.

        Args:
            program: the program, of one pass; see `elementwise`.
            numbers: the vector for each of its arrays.
            scalars: its coefficients by name.
        """
        values = program.evaluate_scalars(scalars or {})
        if self._compiled is None:
            self._backend.run(program, [[self._views[i] for i in numbers]], values)
        else:
            self._compiled.run(self.matrix, program, tuple(numbers), values)

    def _select_operations(self, products: int) -> None:
        """Change to compiled operations once they would have saved the time to load the compiler."""
        if is_worth_compiling(_SECONDS_PER_CALL * products + products * self.size * _SECONDS_PER_PRODUCT):
            self._is_settled = True
            with fork_lock, suppress(ImportError):  # without Numba, the NumPy operations remain
                from mxtrain.minimization import compiled_small_systems
                from mxtrain.minimization.compiled_vectors import CompiledVectorOperations

                self.small = compiled_small_systems
                if not self._on_device:
                    self._operations = self._compiled = CompiledVectorOperations()


def elementwise(
    name: str, formula: Callable[..., dict[str, Any]], arrays: Sequence[str], scalars: Sequence[str] = ()
) -> Program:
    """Trace an elementwise formula; arguments as in `mxtrain.optim.ir.trace`."""
    program = trace(name, formula, arrays, scalars)
    assert isinstance(program, Program)
    return program
