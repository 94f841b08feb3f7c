"""Code generation for programs: Python loops for Numba, kernel bodies for CUDA.

CUDA arithmetic is written as PTX instructions, each rounded to nearest, because CuPy appends `-ftz=true` to the
compiler options, which would flush denormal float32 numbers to zero and change bits.
"""

from itertools import product

from mxtrain.optim.ir import COMPARISONS, Program

_PTX_INSTRUCTIONS = {
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
_CUDA_TYPES = {"float": ("f32", "f"), "double": ("f64", "d")}

CUDA_COMPOSED_OPERATIONS = """
template <typename T> __device__ inline T mx_where(bool c, T a, T b) { return c ? a : b; }
template <typename T> __device__ inline T mx_copy(T a) { return a; }
template <typename T> __device__ inline T mx_sign(T a, T one, T zero) {
  return mx_less(zero, a) ? one : mx_less(a, zero) ? mx_negative(one) : a == a ? zero : a;
}
template <typename T> __device__ inline T mx_maximum(T a, T b) {
  return mx_less_equal(b, a) ? a : (mx_less_equal(a, b) || a == a) ? b : a;
}
template <typename T> __device__ inline T mx_minimum(T a, T b) {
  return mx_less_equal(a, b) ? a : (mx_less_equal(b, a) || a == a) ? b : a;
}
"""
"""Operations composed of others; the tests compile them for the host too."""


def _device_function(operation: str, kind: str) -> str:
    suffix, constraint = _CUDA_TYPES[kind]
    template = _PTX_INSTRUCTIONS[operation]
    operands = ["a", "b"] if "%2" in template else ["a"]
    is_comparison = operation in COMPARISONS
    result, out = ("int", "r") if is_comparison else (kind, constraint)
    parameters = ", ".join(f"{kind} {name}" for name in operands)
    inputs = ", ".join(f'"{constraint}"({name})' for name in operands)
    return (
        f"__device__ inline {'bool' if is_comparison else kind} mx_{operation}({parameters}) "
        f'{{ {result} r; asm("{template.format(suffix)}" : "={out}"(r) : {inputs}); return r; }}'
    )


CUDA_PREAMBLE = (
    "\n".join(_device_function(*each) for each in product(_PTX_INSTRUCTIONS, _CUDA_TYPES)) + CUDA_COMPOSED_OPERATIONS
)
"""Device functions that kernel bodies call."""


def generate_cuda_source(program: Program) -> str:
    """Generate the kernel body for one element.

    The program's arrays are named `a0`, `a1`, …, its scalars `s0`, `s1`, …; all have the type `T`.
    """
    lines = [f"const T x{number} = a{number};  // {program.arrays[number]}" for number in program.read]
    for number, step in enumerate(program.instructions):
        kind = "bool" if step.operation in COMPARISONS else "T"
        arguments = ", ".join(map(str, step.operands))
        lines.append(f"const {kind} t{number} = mx_{step.operation}({arguments});")
    lines += [f"a{number} = {value};  // {program.arrays[number]}" for number, value in program.outputs]
    return "\n".join(lines)


_PYTHON_EXPRESSIONS = {
    "add": "{} + {}",
    "subtract": "{} - {}",
    "multiply": "{} * {}",
    "divide": "{} / {}",
    "maximum": "{0} if {0} >= {1} else ({1} if {0} == {0} else {0})",
    "minimum": "{0} if {0} <= {1} else ({1} if {0} == {0} else {0})",
    "less": "{} < {}",
    "less_equal": "{} <= {}",
    "negative": "-{}",
    "sqrt": "sqrt({})",
    "absolute": "abs({})",
    "where": "{1} if {0} else {2}",
    "sign": "{1} if {0} > {2} else (-{1} if {0} < {2} else ({2} if {0} == {0} else {0}))",
    "copy": "{}",
}


def generate_numba_source(program: Program) -> str:
    """Generate a module with one function, `loop(s, table, starts, row, low, high)`, over elements of many arrays.

    `s` holds the scalars. Each row of `table` holds the addresses of one group of the program's arrays. Elements are
    numbered consecutively over all rows, and `starts[row]` is the number of the first element of a row. The loop
    processes the elements `low` to `high - 1`; `row` is the row of `low`.

    Every operation is a separate statement, so that nothing is contracted or reordered. All arrays are read before any
    is written, element by element.
    """
    count = len(program.arrays)
    lines = [
        f'"""The update {program.name}({", ".join(program.arrays)}), printed by mxtrain for Numba to compile."""',
        "from math import sqrt",
        "",
        "",
        "def loop(s, table, starts, row, low, high):",
        *(f"    s{i} = s[{i}]  # {scalar}" for i, scalar in enumerate(program.scalars)),
        "    while starts[row] < high:",
        "        start = starts[row]",
        *(f"        a{i} = table[{count} * row + {i}]  # {name}" for i, name in enumerate(program.arrays)),
        "        row += 1",
        "        for i in range(max(low - start, 0), min(high, starts[row]) - start):",
        *(f"            x{i} = a{i}[i]" for i in program.read),
    ]
    for number, step in enumerate(program.instructions):
        expression = _PYTHON_EXPRESSIONS[step.operation].format(*step.operands)
        lines.append(f"            t{number} = {expression}")
    lines += [f"            a{number}[i] = {value}" for number, value in program.outputs]
    return "\n".join(lines) + "\n"
