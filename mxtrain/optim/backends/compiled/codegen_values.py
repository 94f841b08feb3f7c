"""Code generation for Numba: the values of a program, one statement for each operation."""

from mxtrain.optim.ir import Program

PYTHON_EXPRESSIONS = {
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
"""The Python expression of each operation."""


def value_lines(traced: Program) -> list[str]:
    """Return the statements that read element `i` of the arrays, and compute the values of the program."""
    return [
        *(f"x{i} = a{i}[i]" for i in traced.read),
        *(
            f"t{number} = {PYTHON_EXPRESSIONS[each.operation].format(*each.operands)}"
            for number, each in enumerate(traced.instructions)
        ),
    ]


def indent(lines: list[str], levels: int) -> list[str]:
    """Return lines that are indented by this number of levels."""
    return [f"{'    ' * levels}{line}" for line in lines]
