"""Numba intrinsics: atomic operations, calls by address, and C functions.

Addresses are int64 numbers. Atomic operations are sequentially consistent.
"""

import sys
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_int64 = ir.IntType(64)


def _atomic_load(typing: Any, address: Any) -> Any:
    """Load the int64 at an address, with everything that its writer wrote before it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(arguments[0], _int64.as_pointer()), "seq_cst", 8)

    return types.int64(types.int64), generate


def _load_int32(typing: Any, address: Any) -> Any:
    """Load the C `int` at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], ir.IntType(32).as_pointer()))

    return types.int32(types.int64), generate


def _atomic_add(typing: Any, address: Any, amount: Any) -> Any:
    """Add to the int64 at an address, and return its previous value."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _int64.as_pointer())
        return builder.atomic_rmw("add", pointer, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


def _atomic_compare_exchange(typing: Any, address: Any, old: Any, new: Any) -> Any:
    """Replace `old` at an address by `new`; return False, and store nothing, if another value is there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _int64.as_pointer())
        outcome = builder.cmpxchg(pointer, arguments[1], arguments[2], "seq_cst", "seq_cst")
        return builder.extract_value(outcome, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


def _call_loop(typing: Any, loop: Any, scalars: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> Any:
    """Call the compiled loop at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_int64] * 6)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), generate


def _as_pointer_to(typing: Any, address: Any, example: Any) -> Any:
    """Convert an address to a pointer to numbers of the type of an example."""
    pointer_to: Any = types.CPointer
    pointer = pointer_to(example)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(pointer))

    return pointer(types.int64, example), generate


def _call_gemm(
    typing: Any, gemm: Any, transpose_a: Any, transpose_b: Any, m: Any, n: Any, k: Any, a: Any, lda: Any, b: Any,
    ldb: Any, c: Any, ldc: Any, example: Any,
) -> Any:  # fmt: skip
    """Call the CBLAS `gemm` function at an address: `c ← a·b` on row-major matrices of the type of an example."""
    enum, size, number = ir.IntType(32), _int64, ir.FloatType() if example == types.float32 else ir.DoubleType()
    matrix = [_int64, size]
    c_function = ir.FunctionType(
        ir.VoidType(), [enum, enum, enum, size, size, size, number, *matrix, *matrix, number, *matrix]
    )

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function, transposes, sizes, matrices = arguments[0], arguments[1:3], arguments[3:6], arguments[6:12]
        row_major, one, zero = enum(101), number(1.0), number(0.0)
        builder.call(
            builder.inttoptr(function, c_function.as_pointer()),
            [
                row_major,
                *(builder.trunc(each, enum) for each in transposes),
                *sizes,
                one,
                *matrices[:4],
                zero,
                *matrices[4:],
            ],
        )
        return context.get_dummy_value()

    return types.void(*[types.int64] * 12, example), generate


atomic_load: Any = intrinsic(_atomic_load)
load_int32: Any = intrinsic(_load_int32)
atomic_add: Any = intrinsic(_atomic_add)
atomic_compare_exchange: Any = intrinsic(_atomic_compare_exchange)
call_loop: Any = intrinsic(_call_loop)
as_pointer_to: Any = intrinsic(_as_pointer_to)
call_gemm: Any = intrinsic(_call_gemm)


def _external(name: str, signature: Any, windows_name: str = "") -> Any:
    return types.ExternalFunction(windows_name if windows_name and sys.platform == "win32" else name, signature)


_transfer = types.intp(types.intc, types.intp, types.intp)
read_file = _external("read", _transfer, "_read")
"""`read_file(descriptor, address, bytes)`."""
write_file = _external("write", _transfer, "_write")
"""`write_file(descriptor, address, bytes)`."""
yield_thread = _external("sched_yield", types.int32(), "SwitchToThread")
"""Yield the core to another thread that is ready to run."""
get_capsule_pointer = _external("PyCapsule_GetPointer", types.intp(types.intp, types.intp))
"""Return the address in the capsule at an address; the caller must hold the interpreter lock."""

save_thread = _external("PyEval_SaveThread", types.intp())
"""Release the interpreter lock, and return the state that `restore_thread` needs."""
restore_thread = _external("PyEval_RestoreThread", types.void(types.intp))
"""Acquire the interpreter lock again."""


@njit
def _unknown_cpu() -> int:
    return -1


_cpu_functions = {"linux": "sched_getcpu", "win32": "GetCurrentProcessorNumber"}
current_cpu: Any = (
    _external(_cpu_functions[sys.platform], types.intc()) if sys.platform in _cpu_functions else _unknown_cpu
)
"""Return the number of the core that this thread runs on; -1 if the system has no function for it."""
