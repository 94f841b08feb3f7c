"""The functions of `small_systems`, compiled."""

from types import FunctionType
from typing import Any

from numba import njit, types

from mxtrain.minimization import small_systems
from mxtrain.optim.backends.compiled.jit_cache import compile_function, read_sources

_SOURCE = read_sources(small_systems.__file__, __file__)
_number, _vector, _matrix = types.float64, types.float64[::1], types.float64[:, ::1]

inner: dict[str, Any] = dict(vars(small_systems))
"""Functions for compiled code to call: the same code, with compiled functions in place of those that it calls."""
for _name in (
    *("cholesky", "solve_cholesky", "factor_middle", "multiply_middle"),
    *("pass_breakpoints", "subspace_coefficients"),
):
    inner[_name] = njit(error_model="numpy")(FunctionType(inner[_name].__code__, inner, _name))


def _compiled(name: str, *arguments: Any, result: Any = types.void) -> Any:
    function = FunctionType(getattr(small_systems, name).__code__, inner, name)
    return compile_function(function, result(*arguments), _SOURCE, error_model="numpy")


inverse_hessian_coefficients = _compiled(
    "inverse_hessian_coefficients", _matrix, _matrix, _vector, _vector, _number, _vector
)
factor_middle = _compiled("factor_middle", _matrix, _matrix, _number, _matrix, result=types.boolean)
multiply_middle = _compiled("multiply_middle", _matrix, _matrix, _vector, _vector)
pass_breakpoints = _compiled(
    "pass_breakpoints", _vector, _vector, _vector, _matrix, _matrix, _matrix, _number, _vector, _vector, _vector,
    result=types.int64,
)  # fmt: skip
subspace_coefficients = _compiled(
    "subspace_coefficients", _matrix, _matrix, _matrix, _matrix, _number, _vector, result=types.boolean
)
