"""The names that a formula defines, and the texts that it consists of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mxtrain.names import is_unicode
from mxtrain.optim.formula.lexer import MAX_NAME, is_name
from mxtrain.optim.formula.syntax import FUNCTION_NAMES, TextProblem, canonical
from mxtrain.types import describe

MAX_SLOTS = 8
"""Largest number of slots, and of scalar slots."""
MAX_NAMES = 64
"""Largest number of values in `let`, and of terms."""

SHARED_NAMES = {
    "W": "the weight",
    "g": "the gradient",
    "t": "the number of the update",
    "η": "the learning rate",
    "λ": "the weight decay",
}
"""Names that every formula has, with their meaning."""


@dataclass(frozen=True)
class Definition:
    """Names and texts of a formula, by canonical names.

    Attributes:
        update: the text of the assignments.
        let: names of its own hyperparameters.
        slots: names of its slots.
        scalars: names of its scalar slots.
        terms: the text of each term.
    """

    update: str
    let: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    terms: tuple[tuple[str, str], ...] = ()


def slot_starts(slots: Any) -> dict[str, Any]:
    """Return the first value of each slot, by its name as typed; the slots of a list start at 0."""
    if isinstance(slots, Mapping):
        return dict(slots)
    return dict.fromkeys((each for each in slots if isinstance(each, str)), 0.0)


def name_problems(values: Mapping[str, Any]) -> Iterator[TextProblem]:
    """Yield the problems of the names in the fields of a formula.

    Args:
        values: the fields as given, not validated yet.
    """
    seen: dict[str, str] = {}
    for field in ("let", "slots", "scalars"):
        given = values.get(field)
        for path, typed in _typed_names(field, given):
            name = canonical(typed)
            message = _name_problem(typed, name, field) or (
                f"{typed} is a name in {seen[name]} too; rename one" if name in seen else None
            )
            seen.setdefault(name, field)
            if message is not None:
                yield TextProblem(path, message)
        limit = MAX_NAMES if field == "let" else MAX_SLOTS
        if isinstance(given, Mapping | Sequence) and not isinstance(given, str) and len(given) > limit:
            yield TextProblem(field, f"may have at most {limit} names, got {len(given)}")
    for path, typed in _typed_names("terms", values.get("terms")):
        if not _is_name(typed):
            yield TextProblem(path, f"must be a name of letters, digits and _, got {describe(typed)}")


def _typed_names(field: str, given: Any) -> Iterator[tuple[str, str]]:
    """Yield the names in a field, each with its path."""
    if isinstance(given, Mapping):
        yield from ((f"{field}.{name}", name) for name in given if isinstance(name, str))
    elif isinstance(given, list | tuple):
        yield from ((f"{field}.{i}", name) for i, name in enumerate(given) if isinstance(name, str))


def _is_name(typed: str) -> bool:
    return is_unicode(typed) and len(typed) <= MAX_NAME and is_name(typed)


def _name_problem(typed: str, name: str, field: str) -> str | None:
    if not _is_name(typed):
        return f"must be a name of letters, digits and _, got {describe(typed)}"
    if name in ("η", "λ"):
        return f"{typed} is {SHARED_NAMES[name]} of every rule; set it beside {field}"
    if name in SHARED_NAMES:
        return f"{typed} is {SHARED_NAMES[name]} in every formula; choose another name"
    if name in FUNCTION_NAMES:
        return f"{typed} is a function; choose another name"
    return None


def definition_of(values: Mapping[str, Any]) -> Definition:
    """Return the definition in the fields of a formula; what has a wrong type is left out."""
    update, terms = values.get("update"), values.get("terms")
    names = {
        field: tuple(
            dict.fromkeys(canonical(typed) for _, typed in _typed_names(field, values.get(field)) if _is_name(typed))
        )
        for field in ("let", "slots", "scalars")
    }
    texts = terms.items() if isinstance(terms, Mapping) else ()
    return Definition(
        update if isinstance(update, str) else "",
        names["let"],
        names["slots"],
        names["scalars"],
        tuple((canonical(name), text) for name, text in texts if isinstance(name, str) and isinstance(text, str)),
    )
