"""Code generation for CUDA: a program as the body of an elementwise kernel, and a pass with reductions as a kernel.

Arithmetic is written as PTX instructions, each rounded to nearest, because CuPy appends `-ftz=true` to the compiler
options, which would flush denormal float32 numbers to zero and change bits, also where they are converted to float64.
"""

from collections.abc import Iterator
from itertools import product

from mxtrain.optim.backends.scalar_statements import ScalarStatements
from mxtrain.optim.ir import COMPARISONS, MultiPassProgram, Pass, Program
from mxtrain.optim.ir.program import Operand, Reduction
from mxtrain.optim.ir.summation import LANES, SUM_BLOCK
from mxtrain.optim.ir.symbols import BINARY, UNARY

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


_CONVERSIONS = """
__device__ inline double mx_to_double(float a) { double r; asm("cvt.f64.f32 %0, %1;" : "=d"(r) : "f"(a)); return r; }
__device__ inline double mx_to_double(double a) { return a; }
__device__ inline void mx_round(double a, float& r) { asm("cvt.rn.f32.f64 %0, %1;" : "=f"(r) : "d"(a)); }
__device__ inline void mx_round(double a, double& r) { r = a; }
"""

CUDA_PREAMBLE = (
    "\n".join(_device_function(*each) for each in product(_PTX_INSTRUCTIONS, _CUDA_TYPES))
    + _CONVERSIONS
    + CUDA_COMPOSED_OPERATIONS
)
"""Device functions that kernels call."""


def generate_cuda_source(program: Program) -> str:
    """Generate the body of an elementwise kernel.

    The program's arrays are named `a0`, `a1`, …, its scalars `s0`, `s1`, …; all have the type `T`.
    """
    return "\n".join([*_element_lines(program, "a{}"), *_output_lines(program, "a{}")])


def _element_lines(program: Program, element: str) -> Iterator[str]:
    """Yield the statements that read an element of each array and compute the values."""
    for number in program.read:
        yield f"const T x{number} = {element.format(number)};  // {program.arrays[number]}"
    for number, step in enumerate(program.instructions):
        kind = "bool" if step.operation in COMPARISONS else "T"
        yield f"const {kind} t{number} = {_call(step.operation, *map(str, step.operands))};"


def _output_lines(program: Program, element: str) -> Iterator[str]:
    for number, value in program.outputs:
        yield f"{element.format(number)} = {value};  // {program.arrays[number]}"


def _call(operation: str, *arguments: str) -> str:
    return f"mx_{operation}({', '.join(arguments)})"


_SCALAR_EXPRESSIONS = {
    **{operation: _call(operation, "{}") for operation in UNARY},
    **{operation: _call(operation, "{}", "{}") for operation in BINARY},
    **{operation: _call(operation, "{}", "{}", "{}") for operation in ("where", "sign")},
}


def cuda_kernel_name(step: Pass) -> str:
    """Return the name of the kernel of a pass."""
    return f"mxtrain_{step.program.name}"


def generate_cuda_pass_source(program: MultiPassProgram, step: Pass, ctype: str) -> str:
    """Generate the kernel of a pass over many arrays of type `ctype`, `float` or `double`; `CUDA_PREAMBLE` precedes it.

    A block of 128 threads processes 4,096 elements of one row, in the order of `mxtrain.optim.ir.summation`: thread j
    is lane j. The scalars that depend on reductions are computed in float64 by one thread.

    The kernel's parameters are the scalars of the host `h`; the `records`, one of each row; the `table`, which holds
    for each row the number of its first block, and once more the number of all blocks, then the place of each row's
    first result in `partials`, then the addresses of the program's arrays for each row; the number of `rows`; and
    `partials`, to which the results of blocks are written, with `stride` places for each reduction.
    """
    lines = [
        *_row_lines(program, step),
        *_scalar_lines(program, step.program),
        *_lane_lines(step.program),
        *_block_result_lines(step.program.reductions),
    ]
    return "\n".join(
        [
            f"typedef {ctype} T;",
            f'extern "C" __global__ void {cuda_kernel_name(step)}(',
            "    const double* h, const double* records, const long long* table, int rows, double* partials,",
            "    long long stride) {",
            *(f"  {line}" for line in lines),
            "}",
            "",
        ]
    )


def _row_lines(program: MultiPassProgram, step: Pass) -> list[str]:
    """Return the statements that find the row of a block, its record and its arrays."""
    return [
        "const int j = threadIdx.x;",
        "const long long block = blockIdx.x;",
        "int row = 0;",
        "for (int beyond = rows; beyond - row > 1;) {",
        "  const int middle = row + (beyond - row) / 2;",
        "  if (table[middle] <= block) row = middle; else beyond = middle;",
        "}",
        f"const double* r = records + {program.record_width} * (long long)row;",
        f"const long long* address = table + 2 * (long long)rows + 1 + {len(program.arrays)} * (long long)row;",
        *(
            f"T* __restrict__ a{i} = reinterpret_cast<T*>(address[{number}]);  // {step.program.arrays[i]}"
            for i, number in enumerate(step.arrays)
        ),
    ]


def _scalar_lines(program: MultiPassProgram, traced: Program) -> list[str]:
    """Return the statements that compute the scalars of a pass once for each block."""
    leaves = {scalar: f"h[{number}]" for scalar, number in program.scalar_numbers.items()}
    leaves |= {leaf: f"r[{column}]" for leaf, column in program.record_columns.items()}
    statements = ScalarStatements(leaves, _SCALAR_EXPRESSIONS, "const auto {} = {};")
    names = [statements.name(scalar) for scalar in traced.scalars]
    if not names:
        return []
    rounded = [f"mx_round({name}, s[{i}]);  // {traced.scalars[i]}" for i, name in enumerate(names)]
    return [
        f"__shared__ T s[{len(names)}];",
        "if (j == 0) {",
        *(f"  {line}" for line in [*statements.lines, *rounded]),
        "}",
        "__syncthreads();",
        *(f"const T s{i} = s[{i}];" for i in range(len(names))),
    ]


def _lane_lines(traced: Program) -> list[str]:
    """Return the loop of a thread over the elements of its lane."""
    return [
        *(f"double lane{number} = 0.0;" for number in range(len(traced.reductions))),
        f"const long long first = {SUM_BLOCK} * (block - table[row]), size = r[0];",
        f"const long long last = first + {SUM_BLOCK} < size ? first + {SUM_BLOCK} : size;",
        f"for (long long i = first + j; i < last; i += {LANES}) {{",
        *(f"  {line}" for line in _element_lines(traced, "a{}[i]")),
        *(
            f"  lane{number} = {_accumulate(f'lane{number}', each.operation, each.operands)};"
            for number, each in enumerate(traced.reductions)
        ),
        *(f"  {line}" for line in _output_lines(traced, "a{}[i]")),
        "}",
    ]


def _block_result_lines(reductions: tuple[Reduction, ...]) -> list[str]:
    """Return the statements that add the lanes of a block in halves, and write its results."""
    if not reductions:
        return []
    results = len(reductions)
    return [
        f"__shared__ double lanes[{results}][{LANES}];",
        *(f"lanes[{number}][j] = lane{number};" for number in range(results)),
        f"for (int half = {LANES // 2}; half > 0; half /= 2) {{",
        "  __syncthreads();",
        "  if (j < half) {",
        *(f"    {_join_lanes(number, each.operation)}" for number, each in enumerate(reductions)),
        "  }",
        "}",
        "if (j == 0) {",
        "  double* result = partials + table[rows + 1 + row] + (block - table[row]);",
        *(f"  result[{number} * stride] = lanes[{number}][0];" for number in range(results)),
        "}",
    ]


def _accumulate(lane: str, operation: str, operands: tuple[Operand, ...]) -> str:
    values = [_call("to_double", str(operand)) for operand in operands]
    match operation:
        case "dot":
            return _call("add", lane, _call("multiply", *values))
        case "max_abs":
            return _call("maximum", lane, _call("absolute", *values))
    return _call("add", lane, *values)


def _join_lanes(number: int, operation: str) -> str:
    lane, other = f"lanes[{number}][j]", f"lanes[{number}][j + half]"
    return f"{lane} = {_call('maximum' if operation == 'max_abs' else 'add', lane, other)};"
