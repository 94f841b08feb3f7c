"""Syntax trees of formulas, and the places and problems of texts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from mxtrain.names import LETTERS, normalize

MAX_TEXT = 8000
"""Largest number of characters of a text."""
MAX_NESTING = 32
"""Largest number of parentheses, calls and signs inside one another."""
MAX_DEPTH = 100
"""Largest number of operations that are applied one after the other."""
MAX_OPERATIONS = 400
"""Largest number of operations of a rule."""
MAX_SUMS = 16
"""Largest number of sums of a rule."""
MAX_PASSES = 4
"""Largest number of sums that are computed one after the other."""


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a text.

    Attributes:
        field: the path of the field that holds the text, such as `update` or `terms.direction`.
        start, stop: the numbers of its first character, and of the character after its last.
    """

    field: str
    start: int
    stop: int

    def to(self, end: "Place") -> "Place":
        """Return the place from the start of this one to the end of another."""
        return Place(self.field, self.start, max(self.stop, end.stop))


@dataclass(frozen=True, slots=True)
class TextProblem:
    """A problem of a text; it has no place if it concerns a field as a whole."""

    field: str
    message: str
    place: Place | None = None


class FormulaSyntaxError(Exception):
    """A statement or an expression cannot be parsed."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(message)
        self.problem = TextProblem(place.field, message, place)


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    value: float
    place: Place
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Name:
    """A name, in its canonical spelling and as it was typed."""

    name: str
    typed: str
    place: Place
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: a sign, an arithmetic operation, a comparison, or a function.

    Attributes:
        operation: `+`, `-`, `*`, `/`, `**`, `negative`, a comparison, or the name of a function.
        operands: the operands.
        place: the place of the whole expression.
        symbol: the place of the sign or of the name of the function.
    """

    operation: str
    operands: tuple["Expression", ...]
    place: Place
    symbol: Place
    depth: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", 1 + max((each.depth for each in self.operands), default=0))


@dataclass(frozen=True, slots=True)
class Term:
    """A term by its name in braces; the checker replaces it by the expression in `terms`."""

    name: str
    typed: str
    place: Place
    depth: int = 0


Expression: TypeAlias = Number | Name | Operation | Term


@dataclass(frozen=True, slots=True)
class Statement:
    """An assignment; its value is None if it could not be parsed."""

    target: Name
    value: Expression | None


COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")

FUNCTIONS: dict[str, int] = {
    **dict.fromkeys(("sqrt", "absolute", "sign", "exp", "log", "increment", "decrement"), 1),
    **dict.fromkeys(("sum", "mean", "norm", "max_abs"), 1),
    **dict.fromkeys(("total_sum", "total_mean", "total_norm", "total_max_abs"), 1),
    **dict.fromkeys(("maximum", "minimum", "dot", "total_dot"), 2),
    "where": 3,
}
"""The functions, each with the number of its arguments."""

FUNCTION_NAMES = {name: name for name in FUNCTIONS} | {"abs": "absolute", "max": "maximum", "min": "minimum"}
"""The names of functions in texts, each with the function."""

REDUCTIONS = ("sum", "mean", "norm", "max_abs", "dot")
"""Functions over all elements of a parameter; each has a variant `total_` over all parameters."""


def is_reduction(function: str) -> bool:
    """Return True if a function combines the elements of its arguments."""
    return function.removeprefix("total_") in REDUCTIONS


def canonical(name: str) -> str:
    """Return the one name for all spellings of a name.

    >>> canonical("beta1"), canonical("β₁"), canonical("velocity")
    ('β1', 'β1', 'velocity')
    """
    normalized = normalize(name)
    return LETTERS.get(normalized, normalized)


def parts(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and everything in it."""
    yield expression
    if isinstance(expression, Operation):
        for each in expression.operands:
            yield from parts(each)


def structure(expression: Expression) -> object:
    """Return a value that is equal for expressions that differ only in their places."""
    match expression:
        case Number():
            return expression.value
        case Operation():
            return (expression.operation, *map(structure, expression.operands))
    return expression.name
