"""Selection of the operations on matrices that a backend uses."""

from mxtrain.optim.backends.arrays import Backend, array_kind
from mxtrain.optim.backends.matrix_operations import CuPyMatrixOperations, NumPyMatrixOperations
from mxtrain.optim.backends.selection import is_worth_compiling
from mxtrain.optim.ir import MatrixOperations, Workspace
from mxtrain.types import Array

_SECONDS_PER_MATRIX_ELEMENT = 1e-8
"""Time that compiled operations on matrices save on each element."""


def matrix_operations(backend: Backend, example: Array, workspace: Workspace) -> MatrixOperations:
    """Return the operations of a backend on arrays of the library and device of an example."""
    if array_kind(example) == "cupy":
        return CuPyMatrixOperations(workspace)
    is_auto = backend.name == "auto" and is_worth_compiling(example.size * _SECONDS_PER_MATRIX_ELEMENT)
    if backend.name == "compiled" or is_auto:
        try:
            from mxtrain.optim.backends.compiled.numba_matrices import NumbaMatrixOperations  # loads the compiler
        except ImportError:
            return NumPyMatrixOperations(workspace)
        return NumbaMatrixOperations(workspace)
    return NumPyMatrixOperations(workspace)
