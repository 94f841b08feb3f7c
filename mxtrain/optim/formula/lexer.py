"""Tokens of formulas."""

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from keyword import iskeyword
from typing import Literal

from mxtrain.optim.formula.syntax import FormulaSyntaxError, Place, canonical

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r]+|\#[^\n]*)
    | (?P<end>[\n;])
    | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<name>[^\W\d]\w*)
    | (?P<symbol>\*\*|<=|>=|==|!=|[-+*/(),=<>{}])
    """,
    re.VERBOSE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_UNICODE = "must be Unicode text, got half of a surrogate pair"
_MAX_NUMBER = 40
"""Largest number of characters of a number."""
MAX_NAME = 40
"""Largest number of characters of a name."""
_SUPERSCRIPTS = frozenset("⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ")
_REMEDIES = {
    "^": "write ** for a power",
    "·": "write * for a product",
    "×": "write * for a product",
    "⊙": "write * for a product",
    "÷": "write / for a quotient",
    "√": "write sqrt(x) for a root",
    "−": "write -, the ASCII minus",
    "–": "write -, the ASCII minus",
    "←": "write = for an assignment",
    "≤": "write <=",
    "≥": "write >=",
    "≠": "write !=",
    "@": "there are no matrix products in a formula",
    "%": "there is no remainder in a formula",
    "&": "write one where inside another",
    "|": "write one where inside another, or absolute(x)",
    "!": "write != in a comparison",
    "~": "exchange the last two arguments of where",
    ".": "values have no attributes; sums are functions, such as sum(x)",
    "[": "elements cannot be selected; an operation applies to all of them",
    "]": "elements cannot be selected; an operation applies to all of them",
    '"': "there are no strings in a formula",
    "'": "there are no strings in a formula",
    ":": "a line is an assignment, such as m = β*m + g",
}
_SUPERSCRIPT_REMEDY = "write x**2 for a power"
_CONDITIONAL_WORDS = ("if", "else", "and", "or", "not")


@dataclass(frozen=True, slots=True)
class Token:
    """A token: a name, a number, a symbol, or the end of a statement."""

    kind: Literal["name", "number", "symbol", "end"]
    text: str
    place: Place


def tokenize(text: str, field: str) -> tuple[list[Token], list[FormulaSyntaxError]]:
    """Return the tokens of a text, and an error for each character and number that no token can contain."""
    tokens: list[Token] = []
    errors: list[FormulaSyntaxError] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            place = Place(field, position, position + 1)
            errors.append(FormulaSyntaxError(_character_message(text[position]), place))
            tokens.append(Token("symbol", text[position], place))
            position += 1
            continue
        kind, place = match.lastgroup, Place(field, position, match.end())
        position = match.end()
        if kind == "space":
            if surrogate := _SURROGATE.search(match[0]):
                at = place.start + surrogate.start()
                errors.append(FormulaSyntaxError(_NOT_UNICODE, Place(field, at, at + 1)))
            continue
        message = _token_message(kind or "", match[0])
        if message is not None:
            errors.append(FormulaSyntaxError(message, place))
        tokens.append(Token(kind, match[0], place))  # type: ignore[arg-type]  # one of the groups of the pattern
    return tokens, errors


@lru_cache(maxsize=256)
def normal_text(update: str, terms: tuple[tuple[str, str], ...] = ()) -> str:
    """Return the assignments of a valid formula, one on each line, in one spelling and with its terms inserted.

    Args:
        update: the assignments.
        terms: the text of each term.

    >>> print(normal_text("m=β*m + 1.0*g; W = W - lr*{step}", (("step", "sign( m )"),)))
    m = β * m + 1 * g
    W = W - η * ( sign ( m ) )
    """
    texts = {canonical(name): normal_text(text) for name, text in terms}
    words: list[str] = []
    for token in tokenize(update, "update")[0]:
        if token.kind == "end":
            words.append("\n")
        elif token.kind == "number":
            words.append(repr(float(token.text)).removesuffix(".0"))
        else:
            words.append(canonical(token.text) if token.kind == "name" else token.text)
    text = re.sub(r"\{ (\S+) \}", lambda match: f"( {texts[match[1]]} )", " ".join(words))
    return "\n".join(filter(None, (line.strip() for line in text.split("\n"))))


def is_name(text: str) -> bool:
    """Return True if a text can be a name: that of a Python variable, in any spelling of its letters.

    >>> is_name("β₁"), is_name("lambda"), is_name("if"), is_name("2m")
    (True, True, False, False)
    """
    name = canonical(text)
    return name.isidentifier() and not iskeyword(name)


def _character_message(character: str) -> str:
    if character in _SUPERSCRIPTS:
        remedy = _SUPERSCRIPT_REMEDY
    else:
        remedy = _REMEDIES.get(character, "a formula has names, numbers, + - * / ** ( ) , and comparisons")
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    return f"the character {shown} is not allowed in a formula; {remedy}"


def _token_message(kind: str, text: str) -> str | None:
    if kind == "name":
        if any(each in _SUPERSCRIPTS for each in text):
            return f"{text} is not a name; {_SUPERSCRIPT_REMEDY}"
        if text in _CONDITIONAL_WORDS:
            return f"{text} is not allowed in a formula; write where(a < b, x, y)"
        if not is_name(text):
            return f"{text} cannot be a name; choose another"
        return f"a name may have at most {MAX_NAME} characters, got {len(text)}" if len(text) > MAX_NAME else None
    if kind == "number":
        if len(text) > _MAX_NUMBER:
            return f"a number may have at most {_MAX_NUMBER} characters, got {len(text)}"
        if not math.isfinite(float(text)):
            return f"must be a finite number, got {text}"
    return None
