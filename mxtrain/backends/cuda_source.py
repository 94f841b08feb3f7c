"""A program printed as the body of one CUDA kernel.

The arithmetic is spelled out in PTX instructions, each rounded to nearest, because the compiler's flags are not ours
alone: CuPy appends `-ftz=true` to whatever options it is given, which would turn denormal float32 numbers into zeros
and so change bits.
"""

from itertools import product

from mxtrain.kernel import COMPARISONS, Program

_PTX = {
    "add": "add.rn.{0} %0, %1, %2;",
    "subtract": "sub.rn.{0} %0, %1, %2;",
    "multiply": "mul.rn.{0} %0, %1, %2;",
    "divide": "div.rn.{0} %0, %1, %2;",
    "sqrt": "sqrt.rn.{0} %0, %1;",
    "absolute": "abs.{0} %0, %1;",
    "negative": "neg.{0} %0, %1;",
    "less": "{{ .reg .pred p; setp.lt.{0} p, %1, %2; selp.s32 %0, 1, 0, p; }}",
    "less_equal": "{{ .reg .pred p; setp.le.{0} p, %1, %2; selp.s32 %0, 1, 0, p; }}",
}
_TYPES = {"float": ("f32", "f"), "double": ("f64", "d")}

COMPOSED = """
template <typename T> __device__ inline T mx_where(bool c, T a, T b) { return c ? a : b; }
template <typename T> __device__ inline T mx_copy(T a) { return a; }
template <typename T> __device__ inline T mx_maximum(T a, T b) {
  return mx_less_equal(b, a) ? a : (mx_less_equal(a, b) || a == a) ? b : a;
}
template <typename T> __device__ inline T mx_minimum(T a, T b) {
  return mx_less_equal(a, b) ? a : (mx_less_equal(b, a) || a == a) ? b : a;
}
"""
"""The operations that are made of others; what they are made of depends on the machine."""


def _device_function(operation: str, kind: str) -> str:
    suffix, constraint = _TYPES[kind]
    template = _PTX[operation]
    operands = ["a", "b"] if "%2" in template else ["a"]
    is_test = operation in COMPARISONS
    result, out = ("int", "r") if is_test else (kind, constraint)
    parameters = ", ".join(f"{kind} {name}" for name in operands)
    inputs = ", ".join(f'"{constraint}"({name})' for name in operands)
    return (
        f"__device__ inline {'bool' if is_test else kind} mx_{operation}({parameters}) "
        f'{{ {result} r; asm("{template.format(suffix)}" : "={out}"(r) : {inputs}); return r; }}'
    )


PREAMBLE = "\n".join(_device_function(*each) for each in product(_PTX, _TYPES)) + COMPOSED
"""The device functions that a body calls."""


def print_body(program: Program) -> str:
    """The body for one element: `a0`, `a1`, … are the program's arrays, `s0`, `s1`, … its scalars, all of type `T`."""
    operands = [operand for step in program.instructions for operand in step.operands]
    read = sorted({operand.number for operand in operands if operand.space == "array"})
    lines = [f"const T x{number} = a{number};  // {program.arrays[number]}" for number in read]
    for number, step in enumerate(program.instructions):
        kind = "bool" if step.operation in COMPARISONS else "T"
        arguments = ", ".join(map(str, step.operands))
        lines.append(f"const {kind} t{number} = mx_{step.operation}({arguments});")
    lines += [f"a{number} = {value};  // {program.arrays[number]}" for number, value in program.outputs]
    return "\n".join(lines)
