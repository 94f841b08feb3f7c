"""Validation of config trees, and translation of Pydantic's errors into messages with a location and a remedy."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from glob import iglob
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mxtrain.config.data_sources import has_ending, is_path
from mxtrain.config.introspection import (
    ResolvedField,
    allowed_kinds,
    resolve_field,
)
from mxtrain.config.run_section import RunConfig
from mxtrain.config.suggestions import (
    has_ascii_names,
    misplaced_names,
    suggest_field,
    suggest_location,
    suggest_other_kind,
)
from mxtrain.config.value_messages import MESSAGES, invalid_message, required_message
from mxtrain.config.yaml.nodes import (
    GROUPS,
    Entry,
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
from mxtrain.config.yaml.source_text import MAX_PROBLEMS, ProblemReport
from mxtrain.config.yaml.text_positions import locate_in_value
from mxtrain.errors import ConfigError, ConfigProblem, Location
from mxtrain.names import nearest
from mxtrain.optim.rules import Rule
from mxtrain.paths import expand_home, expand_variables, is_pattern, normalize_path, unset_variable, url_problem
from mxtrain.types import Config, choice_message, describe


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
            _report_missing(place.path, required_message(place), tree, report)
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
            message = MESSAGES.get(kind, invalid_message)(detail, place)
            _report_at_value(place.path, message, tree, report)


def _wrong_kind_message(place: ResolvedField, kind: object, tree: MapNode) -> str:
    """Return the message for a kind that does not exist; a run records the plugins that define its classes."""
    named, _ = find_node(tree, ("plugins",))
    names = [item.value for item in named.items if isinstance(item, ScalarNode)] if isinstance(named, ListNode) else []
    if not names or place.path[:1] != ("optimizer",):
        kinds = allowed_kinds(place.annotation)
        is_plugin_likely = "formula" in kinds and isinstance(kind, str) and not nearest(kind, kinds)
        remedy = "; for a rule of your own, add --plugin MODULE" if is_plugin_likely else ""
        return choice_message(kinds, kind) + remedy
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
        suggest_other_kind(name, place.path, above, report)
        or suggest_location(name, place.path, root, report)
        or suggest_field(entry.key, place.owner, has_ascii_names(above.path, report), misplaced_names(above))
    )
    report.add(format_path(place.path), f"unknown field; {remedy}", entry.location)


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


def reject_data_fields(problems: Iterable[tuple[str, str]], tree: MapNode, report: ProblemReport) -> None:
    """Raise a ConfigError at the fields of `data` that have a problem."""
    for field, message in problems:
        node, place = find_node(tree, ("data", field))
        report.add(f"data.{field}", message, node.location if node else place)
    report.check()


def with_data_values(tree: MapNode, values: Mapping[str, Any], report: ProblemReport) -> MapNode:
    """Return the tree of a run with other values of fields of `data`, which Python passes as arguments."""
    data = tree.entries.get("data")
    if not values or data is None or not isinstance(data.value, MapNode):
        return tree
    weight = data.value.entries.get("weight")
    if "weight" in values and weight is not None and to_python(weight.value) not in (None, values["weight"]):
        message = f"is {describe(to_python(weight.value))}, and sample_weight= was passed; keep one of the two"
        report.add("data.weight", message, weight.location)
    given = {name: Entry(name, from_python(value, report)) for name, value in values.items()}
    changed = replace(data, value=replace(data.value, entries={**data.value.entries, **given}))
    return replace(tree, entries={**tree.entries, "data": changed})


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
    text, ending = expand_home(expand_variables(text)), "/" if text.endswith("/") else ""
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
        if name := unset_variable(text):
            missing = f"the environment variable {name} is not set"
        report.add(field, url_problem(text) or missing, location)
    return path


def _exists(path: Path, is_folder: bool) -> bool:
    try:
        if not is_folder and not path.is_file() and is_pattern(str(path)):
            return any(map(os.path.isfile, iglob(str(path), recursive=True)))  # noqa: PTH113, PTH207 - absolute
        return path.is_dir() if is_folder else path.is_file()
    except OSError:
        return False
