"""Selectors of parameter groups: patterns of names, and comparisons of the number of axes or elements."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from math import prod
from typing import NoReturn, TypeAlias

from mxtrain.names import nearest
from mxtrain.types import describe

Shape: TypeAlias = tuple[int | None, ...]
"""The shape of an array; None for a length that is not known yet."""

QUANTITIES = ("ndim", "size")
"""Quantities of a parameter that a selector may compare with a number."""
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_OPERATOR = re.compile(r"[<>=!]=|[<>=]|!(?![^\[]*\])")
_BRACKETS = re.compile(r"\[[^\]]*\]")
_NUMBER = re.compile(r"\d+(?:_\d+)*")
_LARGEST = 2**63 - 1
_OTHER_QUANTITIES = {
    "ndim": ("axes", "dims", "rank", "dimensions", "n_dim", "dimension"),
    "size": ("numel", "elements", "count", "n", "length", "len"),
}


class SelectorError(ValueError):
    """A selector is invalid; the message has the remedy."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of a quantity of a parameter with a number."""

    quantity: str
    operator: str
    bound: int

    def holds(self, shape: Shape | None) -> bool | None:
        """Return whether it holds for an array of this shape; None if that is not known."""
        if shape is None or (self.quantity == "size" and None in shape):
            return None
        value = len(shape) if self.quantity == "ndim" else prod(filter(None, shape)) * (0 not in shape)
        return _COMPARE[self.operator](value, self.bound)


@dataclass(frozen=True, slots=True)
class Selector:
    """Condition on a parameter: all of its terms must hold.

    Attributes:
        terms: patterns of names, and comparisons.

    Example:
        >>> selector = parse_selector("W* and ndim >= 2")
        >>> selector.matches("W1", (3, 2)), selector.matches("W1", (3,)), selector.matches("b1", (2, 2))
        (True, False, False)
        >>> parse_selector("size < 10").matches("W1", (None, 4)) is None
        True
    """

    terms: tuple[str | Comparison, ...]

    def matches(self, name: str, shape: Shape | None) -> bool | None:
        """Return whether a parameter with this name and shape is selected; None if that is not known."""
        known: bool | None = True
        for term in self.terms:
            found = fnmatchcase(name, term) if isinstance(term, str) else term.holds(shape)
            if found is False:
                return False
            known = known and found
        return known


@cache
def parse_selector(text: str) -> Selector:
    """Parse a selector: patterns of names and comparisons, joined by `and`.

    A pattern matches whole names: `*` any characters, `?` one, `[12]` one of those. A comparison is `ndim` or `size`,
    one of `<`, `<=`, `>`, `>=`, `==` and `!=`, and a whole number.

    Raises:
        SelectorError: the text is neither.

    Example:
        >>> parse_selector("ndim<2") == parse_selector("ndim < 2")
        True
        >>> parse_selector("dim < 2")
        Traceback (most recent call last):
        mxtrain.optim.groups.selectors.SelectorError: 'dim' cannot be compared; did you mean ndim?
    """
    words = re.split(r"\s+(?:and|&&)(?:\s+|$)", f" {text}") if re.search(r"\s(and|&&)(\s|$)", text) else [text]
    return Selector(tuple(_parse_term(word.strip(), len(words) > 1) for word in words))


def _parse_term(text: str, is_joined: bool) -> str | Comparison:
    if not text:
        raise SelectorError("a pattern or a comparison is missing beside and" if is_joined else "must not be empty")
    outside = _BRACKETS.sub(lambda found: " " * len(found[0]), text)
    found = _OPERATOR.search(outside)
    if found is None:
        if text in QUANTITIES and is_joined:
            raise SelectorError(f"{text} needs a comparison, as in {text} < 2")
        if re.search(r"\s(or|\|\|)\s", text):
            raise SelectorError(f"or cannot join {describe(text)}; write one group for each")
        return text
    left, sign, right = text[: found.start()].strip(), found[0], text[found.end() :].strip()
    if re.search(r"\s(or|\|\|)\s", text):
        raise SelectorError("or cannot join comparisons; write one group for each")
    return _compare(left, sign, right)


def _compare(left: str, sign: str, right: str) -> Comparison:
    if _OPERATOR.search(right) and left in (*QUANTITIES, "") and right.startswith(("<", ">", "=", "!")):
        raise SelectorError(f"{describe(sign + right)} is not a comparison; use one of {', '.join(_COMPARE)}")
    if _NUMBER.fullmatch(left) and (chained := next((each for each in QUANTITIES if right.startswith(each)), None)):
        if _OPERATOR.search(right):
            raise SelectorError(f"a comparison has one bound; join two, as in {chained} >= 1 and {chained} < 3")
        raise SelectorError(f"must begin with what is compared; write {chained} {_mirrored(sign)} {left}")
    if left not in QUANTITIES:
        _reject_quantity(left, sign)
    if sign not in _COMPARE:
        raise SelectorError(f"{sign} is not a comparison; did you mean {'==' if sign == '=' else '!='}?")
    if _OPERATOR.search(right):
        raise SelectorError(f"a comparison has one bound; join two, as in {left} >= 1 and {left} < 3")
    if not _NUMBER.fullmatch(right) or int(right) > _LARGEST:
        got = f"got {right}" if right else "got nothing"
        raise SelectorError(f"{left} {sign} needs a whole number, {got}; write {left} {sign} {_example(left, right)}")
    return Comparison(left, sign, int(right))


def _example(quantity: str, number: str) -> str:
    """Return a bound for a message: the number without its fraction or exponent, if that is what is wrong."""
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    is_small = 0 <= value < _LARGEST and value == int(value)
    return str(int(value)) if is_small else "2" if quantity == "ndim" else "1000"


def _mirrored(sign: str) -> str:
    """Return the comparison with its sides exchanged."""
    return {"=": "==", "!": "!="}.get(sign, sign).translate(str.maketrans("<>", "><"))


def _reject_quantity(left: str, sign: str) -> NoReturn:
    if not left:
        raise SelectorError(f"must begin with what is compared, one of {', '.join(QUANTITIES)}, before {sign}")
    folded = left.casefold()
    guess = next((name for name, others in _OTHER_QUANTITIES.items() if folded in others), None)
    guess = guess or nearest(left, QUANTITIES)
    remedy = f"did you mean {guess}?" if guess else f"the quantities are {' and '.join(QUANTITIES)}"
    if guess is None and left.isprintable():
        remedy += f"; to match {sign} in a name, write [{sign[0]}]"
    raise SelectorError(f"{describe(left)} cannot be compared; {remedy}")
