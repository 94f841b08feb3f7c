"""Conversion between half precision and float32 with Numba, on several threads for large arrays.

A loop gets a table with a row for each pair of arrays: the address of the 16-bit numbers, and of the float32 numbers.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from mxtrain.optim.backends.arrays import round_scalars
from mxtrain.optim.backends.compiled import numba_intrinsics
from mxtrain.optim.backends.compiled.codegen_numba import generate_numba_half_source
from mxtrain.optim.backends.compiled.jit_cache import compile_callback, load_module, read_sources
from mxtrain.optim.backends.compiled.numba_intrinsics import as_pointer_to
from mxtrain.optim.backends.compiled.numba_tasks import run_task
from mxtrain.optim.ir import Program
from mxtrain.processes import fork_lock

_word, _half, _float = ir.IntType(32), ir.IntType(16), ir.FloatType()
_HALF, _FLOAT = np.uint16(0), np.float32(0)


def _bfloat16_to_float32(typing: Any, bits: Any) -> Any:
    """Return the float32 number with the bits of a bfloat16 number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.shl(builder.zext(arguments[0], _word), _word(16)), _float)

    return types.float32(types.uint16), generate


def _float32_to_bfloat16(typing: Any, value: Any) -> Any:
    """Return the bits of the nearest bfloat16 number, of two the one with an even last bit."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], _word)
        upper = builder.lshr(bits, _word(16))
        odd = builder.and_(upper, _word(1))
        rounded = builder.lshr(builder.add(bits, builder.add(odd, _word(0x7FFF))), _word(16))
        is_nan = builder.fcmp_unordered("uno", arguments[0], arguments[0])
        return builder.trunc(builder.select(is_nan, builder.or_(upper, _word(0x40)), rounded), _half)

    return types.uint16(types.float32), generate


def _float16_to_float32(typing: Any, bits: Any) -> Any:
    """Return the float32 number that equals a float16 number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = builder.zext(arguments[0], _word)
        shifted = builder.shl(builder.and_(wide, _word(0x7FFF)), _word(13))
        exponent = builder.and_(shifted, _word(0x7C00 << 13))
        normal = builder.add(shifted, _word((127 - 15) << 23))
        special = builder.add(normal, _word((128 - 16) << 23))  # infinity and NaN
        smallest = builder.bitcast(_word((127 - 14) << 23), _float)
        raised = builder.bitcast(builder.add(normal, _word(1 << 23)), _float)
        subnormal = builder.bitcast(builder.fsub(raised, smallest), _word)
        result = builder.select(builder.icmp_unsigned("==", exponent, _word(0)), subnormal, normal)
        result = builder.select(builder.icmp_unsigned("==", exponent, _word(0x7C00 << 13)), special, result)
        sign = builder.shl(builder.and_(wide, _word(0x8000)), _word(16))
        return builder.bitcast(builder.or_(result, sign), _float)

    return types.float32(types.uint16), generate


def _float32_to_float16(typing: Any, value: Any) -> Any:
    """Return the bits of the nearest float16 number, of two the one with an even last bit."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], _word)
        magnitude = builder.and_(bits, _word(0x7FFFFFFF))
        # The last bit of this sum is 2^-24, the smallest float16 number, so the addition rounds.
        unit = _word((127 - 15 + 23 - 10 + 1) << 23)
        subnormal = builder.fadd(builder.bitcast(magnitude, _float), builder.bitcast(unit, _float))
        subnormal = builder.sub(builder.bitcast(subnormal, _word), unit)
        odd = builder.and_(builder.lshr(magnitude, _word(13)), _word(1))
        lowered = builder.sub(magnitude, _word((127 - 15) << 23))
        normal = builder.lshr(builder.add(lowered, builder.add(odd, _word(0xFFF))), _word(13))
        result = builder.select(builder.icmp_unsigned("<", magnitude, _word((127 - 14) << 23)), subnormal, normal)
        is_nan = builder.icmp_unsigned(">", magnitude, _word(0x7F800000))
        special = builder.select(is_nan, _word(0x7E00), _word(0x7C00))
        is_special = builder.icmp_unsigned(">=", magnitude, _word((127 + 16) << 23))
        result = builder.select(is_special, special, result)
        return builder.trunc(builder.or_(result, builder.and_(builder.lshr(bits, _word(16)), _word(0x8000))), _half)

    return types.uint16(types.float32), generate


def _float16_to_float32_in_hardware(typing: Any, bits: Any) -> Any:
    """Return the float32 number that equals a float16 number, with the instruction of the processor."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), _float)

    return types.float32(types.uint16), generate


def _float32_to_float16_in_hardware(typing: Any, value: Any) -> Any:
    """Return the bits of the nearest float16 number, with the instruction of the processor."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), _half)

    return types.uint16(types.float32), generate


def _or_difference(typing: Any, bits: Any, first: Any, second: Any) -> Any:
    """Add the bits in which two numbers differ to those found before; Numba would compute it in 64 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.or_(arguments[0], builder.xor(arguments[1], arguments[2]))

    return types.uint16(types.uint16, types.uint16, types.uint16), generate


def _has_instructions() -> bool:
    """Return whether the processor converts float16; without, LLVM would call functions that may not exist."""
    return not getattr(numba.config, "CPU_NAME", None) and bool(get_host_cpu_features().get("f16c"))


decode_bfloat16: Any = intrinsic(_bfloat16_to_float32)
encode_bfloat16: Any = intrinsic(_float32_to_bfloat16)
decode_float16: Any = intrinsic(_float16_to_float32_in_hardware if _has_instructions() else _float16_to_float32)
encode_float16: Any = intrinsic(_float32_to_float16_in_hardware if _has_instructions() else _float32_to_float16)
or_difference: Any = intrinsic(_or_difference)


def _make_decoder(decode: Any) -> Any:
    def decode_loop(s: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
        while starts[row] < high:
            start = starts[row]
            halves, numbers = as_pointer_to(table[2 * row], _HALF), as_pointer_to(table[2 * row + 1], _FLOAT)
            row += 1
            for i in range(max(low - start, 0), min(high, starts[row]) - start):
                numbers[i] = decode(halves[i])

    return decode_loop


def _make_encoder(encode: Any) -> Any:
    def encode_loop(s: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
        while starts[row] < high:
            start = starts[row]
            halves, numbers = as_pointer_to(table[2 * row], _HALF), as_pointer_to(table[2 * row + 1], _FLOAT)
            row += 1
            for i in range(max(low - start, 0), min(high, starts[row]) - start):
                halves[i] = encode(numbers[i])

    return encode_loop


def _make_comparer(encode: Any) -> Any:
    def compare_loop(s: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
        difference = _HALF
        while starts[row] < high:
            start = starts[row]
            halves, numbers = as_pointer_to(table[2 * row], _HALF), as_pointer_to(table[2 * row + 1], _FLOAT)
            row += 1
            for i in range(max(low - start, 0), min(high, starts[row]) - start):
                difference = or_difference(difference, encode(numbers[i]), halves[i])
        if difference != 0:
            s[0] = 1

    return compare_loop


_FUNCTIONS = {
    ("decode", "float16"): (_make_decoder, decode_float16),
    ("decode", "bfloat16"): (_make_decoder, decode_bfloat16),
    ("encode", "float16"): (_make_encoder, encode_float16),
    ("encode", "bfloat16"): (_make_encoder, encode_bfloat16),
    ("compare", "float16"): (_make_comparer, encode_float16),
    ("compare", "bfloat16"): (_make_comparer, encode_bfloat16),
}


def _signature(scalar: Any) -> Any:
    """Return the type of a loop whose table holds addresses as numbers, for scalars of a type."""
    pointer_to: Any = types.CPointer
    number = types.int64
    return types.void(pointer_to(scalar), pointer_to(number), pointer_to(number), number, number, number)


@cache
def _compile_update(program: Program, dtype: str, converts_gradient: bool, has_master: bool) -> Any:
    """Return the compiled loop of an update, loaded from the cache on disk if it is there."""
    text = generate_numba_half_source(program, dtype, converts_gradient=converts_gradient, has_master=has_master)
    sources = read_sources(__file__, numba_intrinsics.__file__)
    source = None if sources is None else text.encode() + sources
    with fork_lock:
        loop = load_module(program.name, text).loop
        return compile_callback(loop, _signature(types.float32), source, error_model="numpy")


def run_update(
    program: Program,
    dtype: str,
    groups: Sequence[Sequence[NDArray[Any]]],
    scalars: Sequence[float],
    *,
    has_master: bool,
) -> None:
    """Run a program in place on weights of half precision, which are rounded where they are written.

    Args:
        program: the program.
        dtype: the dtype of the weights.
        groups: C-contiguous arrays: the weight, its gradient, and the slots; with a master copy, this copy, the
            gradient, the slots, and the weight.
        scalars: the scalars of the program, in float64.
        has_master: there are master copies.
    """
    constants = round_scalars(scalars, np.dtype("float32")).view(np.uint8)
    for converts_gradient in (True, False):
        rows = [arrays for arrays in groups if (arrays[1].dtype.itemsize == 2) is converts_gradient]
        if not rows:
            continue
        loop = _compile_update(program, dtype, converts_gradient, has_master).address
        table = np.array([[array.ctypes.data for array in arrays] for arrays in rows], dtype=np.int64)
        starts = np.cumsum([0, *(arrays[0].size for arrays in rows)], dtype=np.int64)
        run_task((loop, constants, table, starts), int(starts[-1]), None)


@cache
def _compile_loop(direction: str, dtype: str) -> Any:
    """Return a compiled conversion loop, loaded from the cache on disk if it is there."""
    make, convert = _FUNCTIONS[direction, dtype]
    sources = read_sources(__file__, numba_intrinsics.__file__)
    source = None if sources is None else f"{direction} {convert.__name__}".encode() + sources
    with fork_lock:
        return compile_callback(make(convert), _signature(types.uint8), source, error_model="numpy")


def convert(direction: str, pairs: Sequence[tuple[NDArray[Any], NDArray[np.float32]]]) -> None:
    """Convert arrays between half precision and float32.

    Args:
        direction: `decode` to float32, or `encode` to half precision.
        pairs: arrays of one half dtype, and float32 arrays of the same sizes, all C-contiguous.
    """
    _run_loop(direction, pairs, np.zeros(1, dtype=np.uint8))


def is_rounded(half: NDArray[Any], numbers: NDArray[np.float32]) -> bool:
    """Return whether an array of half precision is bit-for-bit equal to float32 numbers after rounding."""
    found = np.zeros(1, dtype=np.uint8)
    _run_loop("compare", [(half, numbers)], found)
    return not found[0]


def _run_loop(
    direction: str, pairs: Sequence[tuple[NDArray[Any], NDArray[np.float32]]], scalars: NDArray[np.uint8]
) -> None:
    table = np.array([[each.ctypes.data for each in pair] for pair in pairs], dtype=np.int64)
    starts = np.cumsum([0, *(half.size for half, _ in pairs)], dtype=np.int64)
    loop = _compile_loop(direction, pairs[0][0].dtype.name).address
    run_task((loop, scalars, table, starts), int(starts[-1]), None)
