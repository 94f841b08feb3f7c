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
    """The source of a module with one function, `loop(s, a0, a1, …)`: scalars first, then the program's arrays.

    Every operation has a line of its own, so that nothing is contracted or reordered; every element is read once
    before anything of it is written.
    """
    arrays = [f"a{number}" for number in range(len(program.arrays))]
    read = {operand.number for operand in _operands(program) if operand.space == "array"}
    lines = [
        f'"""The update {program.name}({", ".join(program.arrays)}), printed by mxtrain for Numba to compile."""',
        "from math import sqrt",
        "",
        "",
        f"def loop({', '.join(['s', *arrays])}):",
        *(f"    s{i} = s[{i}]  # {scalar}" for i, scalar in enumerate(program.scalars)),
        "    for i in range(a0.size):",
        *(f"        x{i} = {array}[i]  # {program.arrays[i]}" for i, array in enumerate(arrays) if i in read),
    ]
    for number, step in enumerate(program.instructions):
        expression = _EXPRESSIONS[step.operation].format(*step.operands)
        lines.append(f"        t{number} = {expression}")
    lines += [f"        a{number}[i] = {value}" for number, value in program.outputs]
    return "\n".join(lines) + "\n"


def _operands(program: Program) -> list[Operand]:
    return [operand for step in program.instructions for operand in step.operands]
