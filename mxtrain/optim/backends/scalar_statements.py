"""Statements of generated code that compute the scalars of a pass in float64."""

from collections.abc import Mapping

from mxtrain.optim.ir.program import Scalar


class ScalarStatements:
    """Statements that compute scalars where the results of reductions are known, each operation once.

    Args:
        leaves: the expression of each scalar that is known: those of the host, results, sizes and scalar slots.
        expressions: the expression of each operation, for `str.format`.
        assignment: a statement that defines a variable, for `str.format` with its name and its value.

    Attributes:
        lines: the statements.
    """

    def __init__(self, leaves: Mapping[Scalar, str], expressions: Mapping[str, str], assignment: str) -> None:
        self._names = dict(leaves)
        self._expressions = expressions
        self._assignment = assignment
        self.lines: list[str] = []

    def name(self, scalar: Scalar) -> str:
        """Return the expression of a scalar's value, after the statements that compute it."""
        if scalar not in self._names:
            value = self._expressions[scalar.operation].format(*map(self.name, scalar.operands))
            name = f"d{len(self.lines)}"
            self.lines.append(self._assignment.format(name, value))
            self._names[scalar] = name
        return self._names[scalar]
