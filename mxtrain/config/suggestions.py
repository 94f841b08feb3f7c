"""Remedies for unknown fields: a similar name, another kind, or another place."""

from collections.abc import Sequence

from mxtrain.config.introspection import (
    ResolvedField,
    accepted_names,
    allowed_models,
    find_field_paths,
    model_kind,
)
from mxtrain.config.run_section import RunConfig
from mxtrain.config.yaml.nodes import format_path
from mxtrain.config.yaml.source_text import ProblemReport
from mxtrain.names import ascii_names, display_name, nearest
from mxtrain.optim.groups.group import STEP_FIELDS
from mxtrain.optim.rules import Rule
from mxtrain.types import Config

_TOP_LEVEL_FIELDS = ("extends", "sweep")
"""Sections at the top level of a file, in addition to the fields of a run."""
_MAX_KINDS = 3
"""Largest number of kinds that a message names as having a field."""


def suggest_other_kind(
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


def suggest_location(name: str, path: tuple[str | int, ...], root: type[Config], report: ProblemReport) -> str | None:
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
    if has_ascii_names(typed[:-1], report):
        above = [each if each.isascii() else ascii_names(each)[0] for each in above]
    return ".".join((*above, spelled.rpartition(".")[2]))


def has_ascii_names(path: tuple[str | int, ...], report: ProblemReport) -> bool:
    """Return True if a path was typed with ASCII names instead of letters."""
    spelled = report.spell(format_path(path))
    return spelled.isascii() and spelled != format_path(path)


def misplaced_names(above: ResolvedField) -> Sequence[str]:
    """Return the fields of a model that a mapping of it cannot have: those of the whole step in a group."""
    return STEP_FIELDS if "groups" in above.path[:-1] else ()


def suggest_field(key: str, owner: type[Config] | None, is_ascii: bool, misplaced: Sequence[str] = ()) -> str:
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
