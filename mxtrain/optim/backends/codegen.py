"""Code generation for programs: Python loops for Numba, kernel bodies for CUDA.

CUDA arithmetic is written as PTX instructions, each rounded to nearest, because CuPy appends `-ftz=true` to the
compiler options, which would flush denormal float32 numbers to zero and change bits.
"""

from collections.abc import Mapping
from itertools import product

from mxtrain.optim.ir import COMPARISONS, MultiPassProgram, Pass, Program
from mxtrain.optim.ir.program import Scalar
from mxtrain.optim.ir.summation import LANES, ROWS, SUM_BLOCK

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


class ScalarStatements:
    """Statements that compute the scalars of a pass in float64, where the results of reductions are known.

    Args:
        leaves: the expression of each scalar that is known: those of the host, results, sizes and scalar slots.
        expressions: the expression of each operation, for `str.format`.
        is_typed: declare each variable with its type, as C does.
    """

    def __init__(self, leaves: Mapping[Scalar, str], expressions: Mapping[str, str], is_typed: bool = False) -> None:
        self._names = dict(leaves)
        self._expressions = expressions
        self._is_typed = is_typed
        self.lines: list[str] = []

    def name(self, scalar: Scalar) -> str:
        """Return the name of a scalar's value, after the statements that compute it."""
        if scalar.operation == "number":
            return repr(scalar.label)
        if scalar not in self._names:
            operands = [self.name(part) for part in scalar.operands]
            kind = ("bool " if scalar.operation in COMPARISONS else "double ") if self._is_typed else ""
            name = f"d{len(self.lines)}"
            end = ";" if self._is_typed else ""
            self.lines.append(f"{kind}{name} = {self._expressions[scalar.operation].format(*operands)}{end}")
            self._names[scalar] = name
        return self._names[scalar]


def generate_numba_pass_source(program: MultiPassProgram, step: Pass, dtype: str) -> str:
    """Generate a module with one function, `loop(s, table, starts, row, low, high)`, over blocks of many arrays.

    It differs from that of `generate_numba_source` in these points. Blocks of 4,096 elements are numbered consecutively
    over all rows, and `starts[row]` is the number of the first block of a row. `s` holds float64 numbers: the place of
    the records in `s`, that of the results of blocks, and the scalars of the host. The scalars that depend on
    reductions are computed once for each row, from its record. The result of each block is written to `s`, in the order
    of `mxtrain.optim.ir.summation`.
    """
    traced = step.program
    count, results = len(traced.arrays), len(traced.reductions)
    leaves = {scalar: f"s[{2 + number}]" for scalar, number in program.scalar_numbers.items()}
    leaves |= {leaf: f"s[record + {column}]" for leaf, column in program.record_columns.items()}
    statements = ScalarStatements(leaves, _PYTHON_EXPRESSIONS)
    names = [statements.name(scalar) for scalar in traced.scalars]
    elements = [
        *(f"x{i} = a{i}[i]" for i in traced.read),
        *(
            f"t{number} = {_PYTHON_EXPRESSIONS[each.operation].format(*each.operands)}"
            for number, each in enumerate(traced.instructions)
        ),
        *(
            _accumulate(number, each.operation, *map(str, each.operands))
            for number, each in enumerate(traced.reductions)
        ),
        *(f"a{number}[i] = {value}" for number, value in traced.outputs),
    ]
    lines = [
        f'"""The pass {traced.name}({", ".join(traced.arrays)}), printed by mxtrain for Numba to compile."""',
        "from math import sqrt",
        f"from numpy import empty, float64 as F, {dtype} as T",
        "",
        "",
        "def loop(s, table, starts, row, low, high):",
        "    records, partials = int(s[0]), int(s[1])",
        *([f"    lanes = empty(({results}, {LANES}))"] if results else []),
        "    while starts[row] < high:",
        "        first, beyond = max(low, starts[row]) - starts[row], min(high, starts[row + 1]) - starts[row]",
        f"        record = records + {program.record_width} * row",
        "        size = int(s[record])",
        *(f"        a{i} = table[{count} * row + {i}]  # {name}" for i, name in enumerate(traced.arrays)),
        *(f"        {line}" for line in statements.lines),
        *(f"        s{i} = T({name})  # {traced.scalars[i]}" for i, name in enumerate(names)),
    ]
    if not results:
        lines += [
            f"        for i in range({SUM_BLOCK} * first, min({SUM_BLOCK} * beyond, size)):",
            *(f"            {line}" for line in elements),
        ]
    else:
        lines += [
            "        for block in range(first, beyond):",
            f"            for j in range({LANES}):",
            *(f"                lanes[{number}, j] = 0.0" for number in range(results)),
            f"            for line in range({ROWS}):",
            f"                start = {SUM_BLOCK} * block + {LANES} * line",
            f"                for j in range(max(min({LANES}, size - start), 0)):",
            "                    i = start + j",
            *(f"                    {line}" for line in elements),
            f"            half = {LANES // 2}",
            "            while half:",
            "                for j in range(half):",
            *(
                f"                    {_join_lanes(number, each.operation)}"
                for number, each in enumerate(traced.reductions)
            ),
            "                half //= 2",
            f"            result = partials + {results} * (starts[row] + block)",
            *(f"            s[result + {number}] = lanes[{number}, 0]" for number in range(results)),
        ]
    return "\n".join([*lines, "        row += 1"]) + "\n"


def _accumulate(number: int, operation: str, x: str, y: str = "") -> str:
    lane = f"lanes[{number}, j]"
    match operation:
        case "sum":
            return f"{lane} += F({x})"
        case "dot":
            return f"{lane} += F({x}) * F({y})"
    return f"{lane} = {_larger(lane, f'F(abs({x}))')}"


def _join_lanes(number: int, operation: str) -> str:
    lane, other = f"lanes[{number}, j]", f"lanes[{number}, j + half]"
    return f"{lane} = {_larger(lane, other)}" if operation == "max_abs" else f"{lane} += {other}"


def _larger(a: str, b: str) -> str:
    return _PYTHON_EXPRESSIONS["maximum"].format(a, b)


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
