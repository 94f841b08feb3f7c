"""Code generation for Numba: a program as a Python loop over the elements of many arrays."""

from mxtrain.optim.backends.scalar_statements import ScalarStatements
from mxtrain.optim.ir import MultiPassProgram, Pass, Program
from mxtrain.optim.ir.summation import LANES, ROWS, SUM_BLOCK

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
    statements = ScalarStatements(leaves, _PYTHON_EXPRESSIONS, "{} = {}")
    names = [statements.name(scalar) for scalar in traced.scalars]
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
    return "\n".join([*lines, *_loop_lines(traced), "        row += 1"]) + "\n"


def _loop_lines(traced: Program) -> list[str]:
    """Return the loop over the blocks of a row, or over its elements if the pass has no reductions."""
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
    results = len(traced.reductions)
    if not results:
        return [
            f"        for i in range({SUM_BLOCK} * first, min({SUM_BLOCK} * beyond, size)):",
            *(f"            {line}" for line in elements),
        ]
    joins = [_join_lanes(number, each.operation) for number, each in enumerate(traced.reductions)]
    return [
        "        for block in range(first, beyond):",
        f"            for j in range({LANES}):",
        *(f"                lanes[{number}, j] = 0.0" for number in range(results)),
        f"            if {SUM_BLOCK} * (block + 1) <= size:",  # a constant number of lanes compiles to faster code
        *_lines_of_block(str(LANES), elements),
        "            else:",
        *_lines_of_block(f"max(min({LANES}, size - start), 0)", elements),
        f"            half = {LANES // 2}",
        "            while half:",
        "                for j in range(half):",
        *(f"                    {line}" for line in joins),
        "                half //= 2",
        f"            result = partials + {results} * (starts[row] + block)",
        *(f"            s[result + {number}] = lanes[{number}, 0]" for number in range(results)),
    ]


def _lines_of_block(lanes: str, elements: list[str]) -> list[str]:
    """Return the loop over the rows of a block and this number of lanes."""
    return [
        f"                for line in range({ROWS}):",
        f"                    start = {SUM_BLOCK} * block + {LANES} * line",
        f"                    for j in range({lanes}):",
        "                        i = start + j",
        *(f"                        {line}" for line in elements),
    ]


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
