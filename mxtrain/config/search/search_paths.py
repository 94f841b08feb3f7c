"""Paths in `sweep.search`: the fields that can be searched, and one flat form for dotted and nested keys.

A search may be written with dotted keys, nested mappings, or both. It is flattened as soon as it is read, so that
`extends` and `--set` refer to the same value by the same path.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import get_origin

from mxtrain.config.introspection import allowed_models, is_list_of_models, is_mapping_of_models
from mxtrain.config.run_section import RunConfig
from mxtrain.config.search.distributions import KEYWORDS, OPTIONS
from mxtrain.config.yaml.nodes import GROUPS, SETTINGS, Entry, MapNode, Node, canonical_name, format_path
from mxtrain.config.yaml.source_text import ProblemReport
from mxtrain.kinds import listed_classes
from mxtrain.names import nearest
from mxtrain.types import Config

_AFFECTS_NO_RESULT = "changes no result, so there is nothing to search"
_REASONS_NOT_SEARCHABLE = {
    ("sweep",): "a sweep cannot search itself",
    ("extends",): "extends can only be used in a file",
    ("name",): _AFFECTS_NO_RESULT,
    ("seed",): "seed is not a hyperparameter; use sweep.seeds for several seeds per point",
    ("threads",): _AFFECTS_NO_RESULT,
    ("plugins",): "it is set by the run",
    ("backend",): _AFFECTS_NO_RESULT,
    ("model", "plugin"): "it is set by the run",
    ("fit", "metrics"): _AFFECTS_NO_RESULT,
    ("fit", "diagnostics"): _AFFECTS_NO_RESULT,
    ("fit", "checkpoint"): _AFFECTS_NO_RESULT,
    ("fit", "loggers"): _AFFECTS_NO_RESULT,
}


def why_not_searchable(path: tuple[str, ...]) -> str | None:
    """Return the reason that a path cannot be searched; None if it can.

    >>> why_not_searchable(("backend",)), why_not_searchable(("optimizer", "η"))
    ('changes no result, so there is nothing to search', None)
    """
    return next((reason for names, reason in _REASONS_NOT_SEARCHABLE.items() if path[: len(names)] == names), None)


def searchable_paths() -> Iterator[tuple[str, ...]]:
    """Yield the paths of all fields that can be searched.

    >>> ("optimizer", "η_sched", "γ") in searchable_paths(), ("seed",) in searchable_paths()
    (True, False)
    """
    return iter(dict.fromkeys(path for path in field_paths(RunConfig) if not why_not_searchable(path)))


def find_scalar_prefix(path: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the start of a path that is a scalar field and so has no fields; None if there is none.

    >>> find_scalar_prefix(("optimizer", "η", "x")), find_scalar_prefix(("model", "hidden", "0"))
    (('optimizer', 'η'), None)
    >>> find_scalar_prefix(("model", "settings", "width"))
    """
    within: tuple[type[Config], ...] = (RunConfig,)
    for i, name in enumerate(path[:-1]):
        fields = [model.model_fields[name] for model in within if name in model.model_fields]
        within = tuple(model for field in fields for model in allowed_models(field.annotation))
        if path[: i + 1] in (SETTINGS, GROUPS):
            return None  # the fields of a custom model are unknown, and those of a group depend on its kind
        if any(get_origin(field.annotation) is dict for field in fields):
            return None  # names that the user chooses, such as those in `let` of a formula
        if fields and not within and not path[i + 1].isdigit():
            return path[: i + 1]
    return None


def field_paths(model: type[Config], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every field of a model and of the models in it."""
    for name, info in model.model_fields.items():
        yield (*above, name)
        if not (is_mapping_of_models(info.annotation) or is_list_of_models(info.annotation)):
            for below in allowed_models(info.annotation):
                yield from field_paths(below, (*above, name))


SEARCH = ("sweep", "search")


def is_distribution(node: Node) -> bool:
    """Return True if a mapping is a distribution, possibly misspelled, rather than part of a path."""
    return isinstance(node, MapNode) and any(
        name in (*KEYWORDS, *OPTIONS) or (not isinstance(entry.value, MapNode) and closest_distribution(name))
        for name, entry in node.entries.items()
    )


def closest_distribution(name: str) -> str | None:
    """Return the keyword of a distribution that a name is a misspelling of; None for the name of a field."""
    return None if name in _field_names(listed_classes()) else nearest(name, KEYWORDS)


@cache
def _field_names(listed: tuple[type[Config], ...]) -> frozenset[str]:
    """Return the names of all fields of a run, with the listed classes of plugins."""
    return frozenset(path[-1] for path in field_paths(RunConfig))


def with_flattened_search(tree: MapNode, report: ProblemReport) -> MapNode:
    """Return the tree of a file with its `sweep.search` flattened."""
    if "sweep" not in tree.entries:
        return tree
    sweep = tree.entries["sweep"]
    return replace(
        tree, entries={**tree.entries, "sweep": replace(sweep, value=flatten_sweep_section(sweep.value, report))}
    )


def flatten_sweep_section(sweep: Node, report: ProblemReport) -> Node:
    """Return the value of `sweep` with `search` flattened, and `objective` atomic: merging replaces it as a whole."""
    if not isinstance(sweep, MapNode):
        return sweep
    entries = dict(sweep.entries)
    if "search" in entries:
        entries["search"] = replace(entries["search"], value=flatten_search(entries["search"].value, report))
    if "objective" in entries:
        entries["objective"] = replace(entries["objective"], value=_atomic(entries["objective"].value))
    return replace(sweep, entries=entries)


def flatten_search(search: Node, report: ProblemReport) -> Node:
    """Return the value of `sweep.search` as a flat mapping from canonical paths to distributions."""
    if not isinstance(search, MapNode):
        return search
    entries: dict[str, Entry] = {}
    is_valid = not search.invalid
    for keys, entry in _leaves(search, ()):
        names = [name.strip() for key in keys for name in key.split(".")]
        shown = ".".join(keys)
        if not all(names):
            report.add(format_path((*SEARCH, shown)), "must be a path, as in optimizer.η", entry.location)
            is_valid = False
            continue
        path = ".".join(map(canonical_name, names))
        if path in entries:
            report.add(format_path((*SEARCH, path)), _duplicate_message(entries[path], shown), entry.location)
            continue
        value = entry.value
        entries[path] = Entry(
            shown, replace(value, atomic=True) if isinstance(value, MapNode) else value, entry.location
        )
    return replace(search, entries=entries, invalid=not is_valid)


def _atomic(node: Node) -> Node:
    return replace(node, atomic=True) if isinstance(node, MapNode) else node


def _leaves(node: MapNode, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Entry]]:
    for entry in node.entries.values():
        keys = (*above, entry.key)
        if isinstance(entry.value, MapNode) and entry.value.entries and not is_distribution(entry.value):
            yield from _leaves(entry.value, keys)
        else:
            yield keys, entry


def _duplicate_message(first: Entry, key: str) -> str:
    where = f", first at {first.location}" if first.location else ""
    if first.key == key:
        return f"given twice{where}; keep one"
    return f"{key} and {first.key} are two names of one value{where}; keep one"
