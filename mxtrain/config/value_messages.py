"""Messages for values that are missing or invalid."""

import re
from collections.abc import Callable

from pydantic_core import ErrorDetails

from mxtrain.config.introspection import (
    ResolvedField,
    allowed_kinds,
    allowed_models,
    is_mapping_of_models,
    literal_values,
)
from mxtrain.config.yaml.parser import ScalarError, parse_scalar
from mxtrain.loss_config import LOSS_NAMES
from mxtrain.types import Bounds, choice_message, describe

_EXAMPLES = {
    "loss": f"one of {', '.join(LOSS_NAMES)}",
    "source": "digits, diabetes, in_memory, or the path of a file such as train.csv",
    "milestones": "a list such as [30, 60]",
    "objective": "a mapping such as {minimize: val_loss}",
}
"""Values of the required fields whose type does not show them."""


def required_message(place: ResolvedField) -> str:
    """Return the message for a missing field, with the values that it may have."""
    name, annotation = str(place.path[-1]), place.annotation
    if name in _EXAMPLES:
        return f"required; {_EXAMPLES[name]}"
    if words := literal_values(annotation):
        return f"required; one of {', '.join(words)}"
    if names := allowed_kinds(annotation):
        return f"required; a mapping such as {{kind: {names[0]}}}"
    if models := allowed_models(annotation):
        needed = next((field for field, info in models[0].model_fields.items() if info.is_required()), None)
        return f"required; a mapping such as {{{needed}: {_EXAMPLES[needed].split(',')[0]}}}" if needed else "required"
    metadata = place.owner.model_fields[name].metadata if place.owner else ()
    bounds = next((str(each) for each in metadata if isinstance(each, Bounds)), None)
    return f"required; {bounds}" if bounds else "required"


def _number_message(detail: ErrorDetails, place: ResolvedField) -> str:
    value = detail["input"]
    remedy = detail["ctx"].get("remedy") or _unquote_hint(value)
    return f"must be {detail['ctx']['expected']}, got {describe(value)}{remedy}"


def _given_message(detail: ErrorDetails, place: ResolvedField) -> str:
    return detail["msg"]


def _unquote_hint(value: object) -> str:
    if not isinstance(value, str):
        return ""
    try:
        is_number = isinstance(parse_scalar(value), float | int)
    except ScalarError:
        return ""
    return "; remove the quotes" if is_number else ""


def _string_message(detail: ErrorDetails, place: ResolvedField) -> str:
    value = detail["input"]
    remedy = "; put it in quotes" if isinstance(value, bool | int | float) else ""
    return f"must be a string, got {describe(value)}{remedy}"


def _boolean_message(detail: ErrorDetails, place: ResolvedField) -> str:
    return f"must be true or false, got {describe(detail['input'])}"


def _list_message(detail: ErrorDetails, place: ResolvedField) -> str:
    return f"must be a list, as in [a, b], got {describe(detail['input'])}"


def _too_short_message(detail: ErrorDetails, place: ResolvedField) -> str:
    least = detail["ctx"]["min_length"]
    return f"must have at least {least} item{'s' * (least > 1)}, got {detail['ctx']['actual_length']}"


def _too_many_items_message(detail: ErrorDetails, place: ResolvedField) -> str:
    return f"must have at most {detail['ctx']['max_length']} items, got {detail['ctx']['actual_length']}"


def _too_long_message(detail: ErrorDetails, place: ResolvedField) -> str:
    return f"must have at most {detail['ctx']['max_length']} characters, got {len(detail['input'])}"


def _empty_message(detail: ErrorDetails, place: ResolvedField) -> str:
    return "must not be empty, got ''"


def _pattern_message(detail: ErrorDetails, place: ResolvedField) -> str:
    wanted = "letters, digits, '.', '_' and '-', the first a letter, a digit or '_'"
    return f"must consist of {wanted}, got {describe(detail['input'])}"


def _literal_message(detail: ErrorDetails, place: ResolvedField) -> str:
    words = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
    return choice_message(words, detail["input"])


def _mapping_message(detail: ErrorDetails, place: ResolvedField) -> str:
    value = detail["input"]
    if not (names := allowed_kinds(place.annotation)):
        return f"must be a mapping, got {describe(value)}"
    if is_mapping_of_models(place.annotation):
        return f"must be a mapping such as {{β2: {{kind: {names[0]}}}}}, got {describe(value)}"
    kind = value if value in names else names[0]
    return f"must be a mapping such as {{kind: {kind}}}, got {describe(value)}"


def invalid_message(detail: ErrorDetails, place: ResolvedField) -> str:
    return f"is not valid here, got {describe(detail['input'])}"


MESSAGES: dict[str, Callable[[ErrorDetails, ResolvedField], str]] = {
    "number": _number_message,
    "message": _given_message,
    "string_type": _string_message,
    "string_too_short": _empty_message,
    "string_too_long": _too_long_message,
    "string_pattern_mismatch": _pattern_message,
    "bool_type": _boolean_message,
    "tuple_type": _list_message,
    "too_short": _too_short_message,
    "too_long": _too_many_items_message,
    "literal_error": _literal_message,
    "dict_type": _mapping_message,
    "model_type": _mapping_message,
    "model_attributes_type": _mapping_message,
    "union_tag_not_found": _mapping_message,
}
"""The function that writes the message, by Pydantic's type of the error."""
