"""A program printed as one Python loop, for Numba to compile."""

from mxtrain.kernel import Operand, Program

_EXPRESSIONS = {
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
    "copy": "{}",
}


def print_loop(program: Program) -> str:
    """The source of a module with one function, `loop(s, table, starts, row, low, high)`, on elements of many arrays.

    `s` holds the scalars, `table` the addresses of the program's arrays, row after row. Elements are counted through
    the rows: `starts[row]` is the number of a row's first one. The loop does `low` to `high`, of which the first is in
    `row`. Every operation has a line of its own, so that nothing is contracted or reordered; every element is read
    once before anything of it is written.
    """
    count = len(program.arrays)
    used = {operand.number for operand in _operands(program) if operand.space == "array"}
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
        *(f"            x{i} = a{i}[i]" for i in range(count) if i in used),
    ]
    for number, step in enumerate(program.instructions):
        expression = _EXPRESSIONS[step.operation].format(*step.operands)
        lines.append(f"            t{number} = {expression}")
    lines += [f"            a{number}[i] = {value}" for number, value in program.outputs]
    return "\n".join(lines) + "\n"


def _operands(program: Program) -> list[Operand]:
    return [operand for step in program.instructions for operand in step.operands]
