"""Validation of config trees, and translation of Pydantic's errors into messages with a location and a remedy."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mxtrain.config.data_section import has_ending, is_path
from mxtrain.config.introspection import (
    ResolvedField,
    accepted_names,
    allowed_kinds,
    allowed_models,
    find_field_paths,
    is_mapping_of_models,
    literal_values,
    model_kind,
    resolve_field,
)
from mxtrain.config.run_section import RunConfig
from mxtrain.config.yaml.nodes import (
    GROUPS,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    find_node,
    format_path,
    from_python,
    shorten,
    to_python,
    typed_path,
)
from mxtrain.config.yaml.parser import ScalarError, parse_scalar
from mxtrain.config.yaml.source_text import MAX_PROBLEMS, ProblemReport
from mxtrain.config.yaml.text_positions import locate_in_value
from mxtrain.errors import ConfigError, ConfigProblem, Location
from mxtrain.names import ascii_names, display_name, nearest
from mxtrain.optim.groups.group import STEP_FIELDS
from mxtrain.optim.rules import Rule
from mxtrain.paths import expand_home, normalize_path, url_problem
from mxtrain.types import Bounds, Config, choice_message, describe

_TOP_LEVEL_FIELDS = ("extends", "sweep")
"""Sections at the top level of a file, in addition to the fields of a run."""


def report_validation_errors(
    error: ValidationError, model: type[Config], tree: MapNode, report: ProblemReport, at: tuple[str | int, ...] = ()
) -> None:
    """Report every problem that Pydantic found in the value at a path of a tree."""
    details = error.errors(include_url=False)
    for detail in details[:MAX_PROBLEMS]:
        _report_error(detail, model, tree, report, at)
    report.count_omitted(len(details[MAX_PROBLEMS:]))


def _report_error(
    detail: ErrorDetails, root: type[Config], tree: MapNode, report: ProblemReport, at: tuple[str | int, ...]
) -> None:
    place, above = (
        replace(found, path=(*at, *found.path))
        for found in (resolve_field(root, detail["loc"]), resolve_field(root, detail["loc"][:-1]))
    )
    match detail["type"]:
        case "extra_forbidden":
            _report_unknown_field(place, above, root, tree, report)
        case "missing":
            _report_missing(place.path, _required_message(place), tree, report)
        case "union_tag_not_found" if isinstance(detail["input"], dict):
            wanted = f"one of {', '.join(allowed_kinds(place.annotation))}"
            _report_missing((*place.path, "kind"), f"required; {wanted}", tree, report)
        case "union_tag_invalid":
            path = (*place.path, "kind")
            node, _ = find_node(tree, path)
            assert node is not None, "a wrong kind was written"
            _report_at_value(path, _wrong_kind_message(place, to_python(node), tree), tree, report)
        case "key":
            report.add(format_path(place.path), detail["msg"], find_node(tree, place.path)[1])
        case "too_large":
            _report_at_value(place.path, detail["msg"], tree, report)
        case "field_error":
            context = detail["ctx"]
            _report_at_value((*place.path, *_split(context["path"])), context["message"], tree, report)
        case "text_error":
            _report_in_text(place.path, detail["ctx"], tree, report)
        case "field_errors":
            for path, message in detail["ctx"]["problems"]:
                _report_at_value((*place.path, *_split(path)), message, tree, report)
        case kind:
            message = _MESSAGES.get(kind, _invalid_message)(detail, place)
            _report_at_value(place.path, message, tree, report)


def _wrong_kind_message(place: ResolvedField, kind: object, tree: MapNode) -> str:
    """Return the message for a kind that does not exist; a run records the plugins that define its classes."""
    named, _ = find_node(tree, ("plugins",))
    names = [item.value for item in named.items if isinstance(item, ScalarNode)] if isinstance(named, ListNode) else []
    if not names or place.path[:1] != ("optimizer",):
        kinds = allowed_kinds(place.annotation)
        is_plugin_likely = "formula" in kinds and isinstance(kind, str) and not nearest(kind, kinds)
        return choice_message(kinds, kind) + (
            "; for a rule of your own, add --plugin MODULE" if is_plugin_likely else ""
        )
    options = " ".join(f"--plugin {quote(str(name))}" for name in names if name != "__main__")
    if not options:
        return f"{describe(kind)} was defined in a script or a notebook; define its class before you open the run"
    return f"{describe(kind)} is not built in, but defined in a plugin; add {options}, or import it first in Python"


def _split(path: str) -> tuple[str | int, ...]:
    """Return the names of a dotted path, in which numbers are positions in lists."""
    return tuple(int(name) if name.isdigit() else name for name in filter(None, path.split(".")))


def _report_at_value(path: Sequence[str | int], message: str, tree: MapNode, report: ProblemReport) -> None:
    """Report a problem at a value, or at the nearest key above a value that was not set.

    A value that does not exist as a file was reported already, and only that: what else it needs depends on the file.
    """
    node, key = find_node(tree, path)
    shown = report.spell(format_path(path))
    is_reported = shown.startswith("data.") and any(problem.path == shown for problem in report.problems)
    if not is_reported and not (isinstance(node, ScalarNode) and node.invalid):
        report.add(format_path(path), message, key if node is None else node.location)


def _report_in_text(path: Sequence[str | int], context: dict[str, Any], tree: MapNode, report: ProblemReport) -> None:
    """Report a problem at a part of a string, or at the string if the part is unknown."""
    node, _ = find_node(tree, path)
    if not isinstance(node, ScalarNode) or not isinstance(node.value, str) or "start" not in context:
        _report_at_value(path, context["message"], tree, report)
        return
    part = node.value, context["start"], context["stop"]
    if node.span is not None:
        location = node.span.locate(*part) or node.location
    else:
        location = locate_in_value(".".join(map(str, path[1:])), *part)
    problem = ConfigProblem(report.spell(format_path(path)), context["message"], location)
    if problem not in report.problems:  # groups that take over the text report it too
        report.add(format_path(path), context["message"], location)


def _report_missing(path: Sequence[str | int], message: str, tree: MapNode, report: ProblemReport) -> None:
    """Report a missing field at the key of the mapping that lacks it."""
    parent, key = find_node(tree, path[:-1])
    if not (isinstance(parent, MapNode) and parent.invalid):
        report.add(format_path(path), message, key)


def _report_unknown_field(
    place: ResolvedField, above: ResolvedField, root: type[Config], tree: MapNode, report: ProblemReport
) -> None:
    name = str(place.path[-1])
    parent, _ = find_node(tree, above.path)
    assert isinstance(parent, MapNode), "only a mapping has fields"
    entry = parent.entries[name]
    remedy = (
        _suggest_other_kind(name, place.path, above, report)
        or _suggest_location(name, place.path, root, report)
        or _suggest_field(entry.key, place.owner, _has_ascii_names(above.path, report), _misplaced_names(above))
    )
    report.add(format_path(place.path), f"unknown field; {remedy}", entry.location)


_MAX_KINDS = 3
"""Largest number of kinds that a message names as having a field."""


def _suggest_other_kind(
    name: str, path: tuple[str | int, ...], above: ResolvedField, report: ProblemReport
) -> str | None:
    """Return a remedy for a field that other kinds of the same mapping, or a mapping inside it, have.

    Args:
        name: the canonical name of the field.
        path: the path of the field as it was typed, in canonical names.
        above: the mapping that holds the field.
        report: spells names as they were typed.
    """
    having = [str(model_kind(model)) for model in allowed_models(above.annotation) if name in model.model_fields]
    if not having or above.model is None:
        return None
    for field in above.model.listed_fields():
        annotation = above.model.model_fields[field].annotation
        if any(name in model.model_fields and model_kind(model) for model in allowed_models(annotation)):
            inside = (*map(str, path[:-1]), field, name)
            return f"did you mean {_spell_new_path(inside, path, report)}?"
    *first, last = having if len(having) <= _MAX_KINDS else [*having[:_MAX_KINDS], "others"]
    others = f"{', '.join(first)} and {last} have it" if first else f"{last} has it"
    return f"{model_kind(above.model)} has none; {others}"


def _suggest_location(name: str, path: tuple[str | int, ...], root: type[Config], report: ProblemReport) -> str | None:
    """Return a remedy for a field that belongs to another place.

    Args:
        name: the canonical name of the field.
        path: the path of the field as it was typed, in canonical names.
        root: the model of the whole config.
        report: spells names as they were typed.
    """
    places = [(name,)] if name in _TOP_LEVEL_FIELDS else find_field_paths(root, name) if name != "kind" else []
    if not places:
        return None
    if enclosing := next((place for place in places if path[: len(place)] == place != path), None):
        return f"it is already inside {report.spell(format_path(enclosing))}; move its fields there, or remove it"
    if len(places[0]) > 1:
        return f"did you mean {_spell_new_path((*places[0][:-1], name), path, report)}?"
    if root is RunConfig or name in _TOP_LEVEL_FIELDS:
        return f"{name} belongs at the top level of a file"
    typed = report.spell(format_path(path)).rpartition(".")[2]
    return f"{typed} is a field of {model_kind(root) or root.__name__}; move it there"


def _spell_new_path(path: tuple[str, ...], typed: tuple[str | int, ...], report: ProblemReport) -> str:
    """Return a path that a config may lack, in ASCII if the names beside it were typed in ASCII."""
    *above, _ = report.spell(format_path(path)).split(".")
    spelled = report.spell(format_path(typed))
    if _has_ascii_names(typed[:-1], report):
        above = [each if each.isascii() else ascii_names(each)[0] for each in above]
    return ".".join((*above, spelled.rpartition(".")[2]))


def _has_ascii_names(path: tuple[str | int, ...], report: ProblemReport) -> bool:
    """Return True if a path was typed with ASCII names instead of letters."""
    spelled = report.spell(format_path(path))
    return spelled.isascii() and spelled != format_path(path)


def _misplaced_names(above: ResolvedField) -> Sequence[str]:
    """Return the fields of a model that a mapping of it cannot have: those of the whole step in a group."""
    return STEP_FIELDS if "groups" in above.path[:-1] else ()


def _suggest_field(key: str, owner: type[Config] | None, is_ascii: bool, misplaced: Sequence[str] = ()) -> str:
    """Return a remedy for an unknown name: the most similar field, or all of them.

    Args:
        key: the name.
        owner: the model that lacks it.
        is_ascii: True to suggest ASCII names, because the names around it were typed in ASCII.
        misplaced: names of fields that cannot be set here.
    """
    known = accepted_names(owner) if owner else {}
    known = {name: field for name, field in known.items() if field not in misplaced}
    if is_ascii:
        ascii_only = {field: (ascii_names(field) or (field,))[0] for field in known.values()}
        known = {name: ascii_only[field] for name, field in known.items() if name.isascii() or not ascii_names(field)}
    if owner is RunConfig:
        known |= {name: name for name in _TOP_LEVEL_FIELDS if nearest(key, [name])}
    if guess := nearest(key, known):
        return f"did you mean {guess if key.isascii() else known[guess]}?"
    listed = (
        {name for field in owner.listed_fields() for name in (display_name(field), *ascii_names(field))}
        if owner
        else set()
    )
    fields = ", ".join(dict.fromkeys(field for field in known.values() if field in listed))
    if owner and issubclass(owner, Rule) and "bounds" in known:
        return f"the fields here are {fields}, and wrappers such as bounds; see mxtrain list {model_kind(owner)}"
    return f"the fields here are {fields}"


_EXAMPLES = {
    "source": "digits, diabetes, in_memory, or the path of a file such as train.csv",
    "milestones": "a list such as [30, 60]",
    "objective": "a mapping such as {minimize: val_loss}",
}
"""Values of the required fields whose type does not tell them."""


def _required_message(place: ResolvedField) -> str:
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


def _invalid_message(detail: ErrorDetails, place: ResolvedField) -> str:
    return f"is not valid here, got {describe(detail['input'])}"


_MESSAGES: dict[str, Callable[[ErrorDetails, ResolvedField], str]] = {
    "number": _number_message,
    "message": _given_message,
    "string_type": _string_message,
    "string_too_short": _empty_message,
    "string_too_long": _too_long_message,
    "string_pattern_mismatch": _pattern_message,
    "bool_type": _boolean_message,
    "tuple_type": _list_message,
    "too_short": _too_short_message,
    "literal_error": _literal_message,
    "dict_type": _mapping_message,
    "model_type": _mapping_message,
    "model_attributes_type": _mapping_message,
    "union_tag_not_found": _mapping_message,
}
"""The function that writes the message, by Pydantic's type of the error."""


def config_error(error: ValidationError, model: type[Config], values: object) -> ConfigError:
    """Convert a ValidationError of keyword arguments, or of a mapping, to a ConfigError."""
    report = ProblemReport()
    tree = from_python(values, report)
    if not isinstance(tree, MapNode):
        report.add("", f"a config must be a mapping, got {describe(values)}")
        return report.error()
    report.spell = partial(typed_path, tree)
    if not report.problems:
        report_validation_errors(error, model, tree, report)
    return report.error()


_Model = TypeVar("_Model", bound=Config)

DATA_PATHS = ("source", "target", "validation", "test")
"""The fields of `data` that may be paths."""


def validate_tree(model: type[_Model], tree: MapNode, report: ProblemReport) -> _Model:
    """Return the config in a tree; raise a ConfigError if the report has problems, or the tree is invalid."""
    try:
        config = model.validate_raw(to_python(tree))
    except ValidationError as error:
        report_validation_errors(error, model, tree, report)
        raise report.error() from None
    report.check()
    _locate_groups(config, tree)
    return config


def _locate_groups(config: Config, tree: MapNode) -> None:
    """Give groups the location of their selectors, for messages about the parameters that they take."""
    groups, _ = find_node(tree, GROUPS)
    optimizer = getattr(config, GROUPS[0], None)
    if isinstance(groups, MapNode) and isinstance(optimizer, Rule):
        for entry in groups.entries.values():
            optimizer.groups[entry.key].locate(entry.location)


def validate_run(
    tree: MapNode, report: ProblemReport, data_must_exist: bool = True, will_be_trained: bool | None = None
) -> RunConfig:
    """Return the run in a tree, with absolute data paths.

    Args:
        tree: the run.
        report: collects its problems.
        data_must_exist: report missing data files.
        will_be_trained: reject settings that only earlier versions accepted; by default `data_must_exist`.

    Raises:
        ConfigError: the run is invalid; all problems at once.
    """
    paths = {name: normalize_path(path) for name, path in resolve_data_paths(tree, report, data_must_exist).items()}
    config = validate_tree(RunConfig, tree, report)
    if data_must_exist if will_be_trained is None else will_be_trained:
        reason = config.fit.rollback_problem()
        if reason is not None:
            node, place = find_node(tree, ("fit", "checkpoint", "every"))
            report.fail("fit.checkpoint.every", reason, node.location if node else place)
    return config.model_copy(update={"data": config.data.model_copy(update=paths)}) if paths else config


def reject_data_source(message: str | None, tree: MapNode, report: ProblemReport) -> None:
    """Raise a ConfigError at `data.source` if there is a message."""
    if message is not None:
        node, place = find_node(tree, ("data", "source"))
        report.fail("data.source", message, node.location if node else place)


def resolve_data_paths(tree: Node, report: ProblemReport, must_exist: bool) -> dict[str, str]:
    """Return the fields of `data` that are paths as absolute paths: each is relative to the file that sets it."""
    nodes = {name: find_node(tree, ("data", name))[0] for name in DATA_PATHS}
    texts = {
        name: (node.value, node.location)
        for name, node in nodes.items()
        if isinstance(node, ScalarNode) and isinstance(node.value, str) and is_path(node.value)
    }
    if not has_ending(texts.get("source", ("", None))[0], (".npy",)):
        texts.pop("target", None)  # a column or array, even if it looks like a path
    return {name: _check_data_path(f"data.{name}", *text, report, must_exist) for name, text in texts.items()}


def absolute_path(text: str, location: Location | None) -> str:
    """Return the absolute path for a relative one: relative to the file that sets it, otherwise to the current folder.

    Absolute paths stay unchanged, because sweeps of earlier versions are identified by them.
    """
    text, ending = expand_home(text), "/" if text.endswith("/") else ""
    if Path(text).is_absolute():
        return f"{Path(text)}{ending}"
    folder = Path(location.source).parent if location is not None and location.line else Path()
    return normalize_path(f"{(folder / text).absolute()}{ending}")


def _check_data_path(field: str, text: str, location: Location | None, report: ProblemReport, must_exist: bool) -> str:
    path = absolute_path(text, location)
    is_folder = text.endswith("/")
    if must_exist and not _exists(Path(normalize_path(path)), is_folder):
        shown = shorten(path.rstrip("/") if is_folder else path, 300)
        missing = f"no such {'folder' if is_folder else 'file'}: {shown}"
        report.add(field, url_problem(text) or missing, location)
    return path


def _exists(path: Path, is_folder: bool) -> bool:
    try:
        return path.is_dir() if is_folder else path.is_file()
    except OSError:
        return False
