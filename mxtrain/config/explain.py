"""Pydantic's errors in plain English, each at the place in the file that it is about."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mxtrain.config.nodes import MapNode, ScalarNode, dotted, find, plain
from mxtrain.config.report import MAX_PROBLEMS, Report
from mxtrain.config.run import RunConfig
from mxtrain.config.scalars import ScalarError, resolve
from mxtrain.config.shape import Spot, choices, homes, kind, kinds, models, spellings, spot
from mxtrain.names import nearest
from mxtrain.types import Config, describe

_AT_THE_TOP = ("extends", "sweep")
"""What stands at the top of a file besides the fields of a run."""


def explain(
    error: ValidationError, model: type[Config], tree: MapNode, report: Report, at: tuple[str | int, ...] = ()
) -> None:
    """Report every problem that Pydantic found in what stands at a path of a tree."""
    details = error.errors(include_url=False)
    for detail in details[:MAX_PROBLEMS]:
        _explain_one(detail, model, tree, report, at)
    report.omit(len(details[MAX_PROBLEMS:]))


def _explain_one(
    detail: ErrorDetails, root: type[Config], tree: MapNode, report: Report, at: tuple[str | int, ...]
) -> None:
    place, above = (
        replace(found, path=(*at, *found.path)) for found in (spot(root, detail["loc"]), spot(root, detail["loc"][:-1]))
    )
    match detail["type"]:
        case "extra_forbidden":
            _unknown_field(place, above, root, tree, report)
        case "missing":
            _missing(place.path, _wanted(place.annotation), tree, report)
        case "union_tag_not_found" if isinstance(detail["input"], dict):
            wanted = f"one of {', '.join(kinds(place.annotation))}"
            _missing((*place.path, "kind"), f"required; {wanted}", tree, report)
        case "union_tag_invalid":
            path = (*place.path, "kind")
            node, _ = find(tree, path)
            assert node is not None, "a wrong kind was written"
            _at_value(path, _one_of(kinds(place.annotation), plain(node)), tree, report)
        case "too_large":
            _at_value(place.path, detail["msg"], tree, report)
        case "misfit":
            context = detail["ctx"]
            below = (int(name) if name.isdigit() else name for name in filter(None, context["path"].split(".")))
            _at_value((*place.path, *below), context["message"], tree, report)
        case kind:
            message = _MESSAGES.get(kind, _not_valid)(detail, place)
            _at_value(place.path, message, tree, report)


def _at_value(path: Sequence[str | int], message: str, tree: MapNode, report: Report) -> None:
    """Point at a value, or at the nearest key above it where it was left to its default."""
    node, key = find(tree, path)
    if not (isinstance(node, ScalarNode) and node.broken):
        report.add(dotted(path), message, key if node is None else node.location)


def _missing(path: Sequence[str | int], message: str, tree: MapNode, report: Report) -> None:
    """Point at the key of the mapping that lacks something."""
    parent, key = find(tree, path[:-1])
    if not (isinstance(parent, MapNode) and parent.broken):
        report.add(dotted(path), message, key)


def _unknown_field(place: Spot, above: Spot, root: type[Config], tree: MapNode, report: Report) -> None:
    name = str(place.path[-1])
    parent, _ = find(tree, above.path)
    assert isinstance(parent, MapNode), "only a mapping has fields"
    entry = parent.entries[name]
    remedy = _where_it_belongs(name, above, root) or _what_there_is(entry.key, place.owner)
    report.add(dotted((*above.path, entry.key)), f"unknown field; {remedy}", entry.location)


def _where_it_belongs(name: str, above: Spot, root: type[Config]) -> str | None:
    """A remedy for what is a field of another kind, or in another place."""
    having = [str(kind(model)) for model in models(above.annotation) if name in model.model_fields]
    if having and above.model:
        *first, last = having
        others = f"{', '.join(first)} and {last} have it" if first else f"{last} has it"
        return f"{kind(above.model)} has none; {others}"
    places = [(name,)] if name in _AT_THE_TOP else homes(root, name) if name != "kind" else []
    if not places:
        return None
    return f"did you mean {dotted(places[0])}?" if len(places[0]) > 1 else f"{name} stands at the top of a file"


def _what_there_is(key: str, owner: type[Config] | None) -> str:
    known = spellings(owner) if owner else {}
    if owner is RunConfig:
        known |= {name: name for name in _AT_THE_TOP if nearest(key, [name])}
    if guess := nearest(key, known):
        return f"did you mean {known[guess]}?"
    return f"the fields here are {', '.join(dict.fromkeys(known.values()))}"


def _wanted(annotation: Any) -> str:
    if words := choices(annotation):
        return f"required; one of {', '.join(words)}"
    if names := kinds(annotation):
        return f"required; a mapping such as {{kind: {names[0]}}}"
    return "required"


def _one_of(words: Sequence[str], value: object) -> str:
    guess = nearest(value, words) if isinstance(value, str) else None
    remedy = f"; did you mean {guess}?" if guess else ""
    return f"must be one of {', '.join(words)}, got {describe(value)}{remedy}"


def _number(detail: ErrorDetails, place: Spot) -> str:
    value = detail["input"]
    return f"must be {detail['ctx']['expected']}, got {describe(value)}{_unquote(value)}"


def _told(detail: ErrorDetails, place: Spot) -> str:
    return detail["msg"]


def _unquote(value: object) -> str:
    if not isinstance(value, str):
        return ""
    try:
        is_number = isinstance(resolve(value), float | int)
    except ScalarError:
        return ""
    return "; remove the quotes" if is_number else ""


def _string(detail: ErrorDetails, place: Spot) -> str:
    value = detail["input"]
    remedy = "; put it in quotes" if isinstance(value, bool | int | float) else ""
    return f"must be a string, got {describe(value)}{remedy}"


def _boolean(detail: ErrorDetails, place: Spot) -> str:
    return f"must be true or false, got {describe(detail['input'])}"


def _list(detail: ErrorDetails, place: Spot) -> str:
    return f"must be a list, as in [a, b], got {describe(detail['input'])}"


def _too_short(detail: ErrorDetails, place: Spot) -> str:
    return f"must have at least {detail['ctx']['min_length']} item, got {detail['ctx']['actual_length']}"


def _too_long(detail: ErrorDetails, place: Spot) -> str:
    return f"must have at most {detail['ctx']['max_length']} characters, got {len(detail['input'])}"


def _empty(detail: ErrorDetails, place: Spot) -> str:
    return "must not be empty, got ''"


def _pattern(detail: ErrorDetails, place: Spot) -> str:
    wanted = "letters, digits, '.', '_' and '-', the first a letter, a digit or '_'"
    return f"must consist of {wanted}, got {describe(detail['input'])}"


def _literal(detail: ErrorDetails, place: Spot) -> str:
    words = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
    return _one_of(words, detail["input"])


def _mapping(detail: ErrorDetails, place: Spot) -> str:
    value = detail["input"]
    if not (names := kinds(place.annotation)):
        return f"must be a mapping, got {describe(value)}"
    kind = value if value in names else names[0]
    return f"must be a mapping such as {{kind: {kind}}}, got {describe(value)}"


def _not_valid(detail: ErrorDetails, place: Spot) -> str:
    return f"is not valid here, got {describe(detail['input'])}"


_MESSAGES: dict[str, Callable[[ErrorDetails, Spot], str]] = {
    "number": _number,
    "told": _told,
    "string_type": _string,
    "string_too_short": _empty,
    "string_too_long": _too_long,
    "string_pattern_mismatch": _pattern,
    "bool_type": _boolean,
    "tuple_type": _list,
    "too_short": _too_short,
    "literal_error": _literal,
    "dict_type": _mapping,
    "model_type": _mapping,
    "model_attributes_type": _mapping,
    "union_tag_not_found": _mapping,
}
"""What is said of a value, by Pydantic's type of the error."""
