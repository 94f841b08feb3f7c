"""Paths in `sweep.search`: which fields can be searched, and one flat form for dotted and nested keys.

A search may be written with dotted keys, nested mappings, or both. It is flattened as soon as it is read, so that
`extends` and
`--set` refer to the same value by the same path."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from mxtrain.config.introspection import allowed_models, is_mapping_of_models
from mxtrain.config.run_section import RunConfig
from mxtrain.config.search.distributions import OPTIONS, WORDS
from mxtrain.config.yaml.nodes import Entry, MapNode, Node, canonical_name, format_path
from mxtrain.config.yaml.problem_report import ProblemReport
from mxtrain.names import nearest
from mxtrain.types import Config

_AFFECTS_NO_RESULT = "changes no result, so there is nothing to search"
_REASONS_NOT_SEARCHABLE = {
    ("sweep",): "a sweep cannot search itself",
    ("extends",): "extends belongs into a file",
    ("name",): _AFFECTS_NO_RESULT,
    ("seed",): "a seed is no better than another; for several seeds at each point say sweep.seeds",
    ("threads",): _AFFECTS_NO_RESULT,
    ("backend",): _AFFECTS_NO_RESULT,
    ("model", "plugin"): "the run fills this in",
    ("fit", "metrics"): _AFFECTS_NO_RESULT,
    ("fit", "diagnostics"): _AFFECTS_NO_RESULT,
    ("fit", "checkpoint"): _AFFECTS_NO_RESULT,
    ("fit", "loggers"): _AFFECTS_NO_RESULT,
}


def why_not_searchable(path: tuple[str, ...]) -> str | None:
    """Why a path may not be searched; None for one that may.

    >>> why_not_searchable(("backend",)), why_not_searchable(("optimizer", "η"))
    ('changes no result, so there is nothing to search', None)
    """
    return next((reason for names, reason in _REASONS_NOT_SEARCHABLE.items() if path[: len(names)] == names), None)


def searchable_paths() -> Iterator[tuple[str, ...]]:
    """The paths of all that may be searched.

    >>> ("optimizer", "η_sched", "γ") in searchable_paths(), ("seed",) in searchable_paths()
    (True, False)
    """
    return iter(dict.fromkeys(path for path in field_paths(RunConfig) if not why_not_searchable(path)))


def find_scalar_prefix(path: tuple[str, ...]) -> tuple[str, ...] | None:
    """The single value that a path leads below; None for any other path.

    >>> find_scalar_prefix(("optimizer", "η", "x")), find_scalar_prefix(("model", "hidden", "0"))
    (('optimizer', 'η'), None)
    >>> find_scalar_prefix(("model", "settings", "width"))
    """
    within: tuple[type[Config], ...] = (RunConfig,)
    for i, name in enumerate(path[:-1]):
        fields = [model.model_fields[name] for model in within if name in model.model_fields]
        within = tuple(model for field in fields for model in allowed_models(field.annotation))
        if path[: i + 1] == ("model", "settings"):
            return None  # what is below is the model's own
        if fields and not within and not path[i + 1].isdigit():
            return path[: i + 1]
    return None


def field_paths(model: type[Config], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every field below a model."""
    for name, info in model.model_fields.items():
        yield (*above, name)
        if not is_mapping_of_models(info.annotation):
            for below in allowed_models(info.annotation):
                yield from field_paths(below, (*above, name))


SEARCH = ("sweep", "search")


def is_distribution(node: Node) -> bool:
    """Whether a mapping is meant as a distribution, be it a misspelt one, rather than as a part of a path."""
    return isinstance(node, MapNode) and any(
        name in (*WORDS, *OPTIONS) or (not isinstance(entry.value, MapNode) and closest_distribution(name))
        for name, entry in node.entries.items()
    )


def closest_distribution(name: str) -> str | None:
    """The word of a distribution that a name was most likely meant to be; None for the name of a field."""
    return None if name in _field_names() else nearest(name, WORDS)


@cache
def _field_names() -> frozenset[str]:
    """The name of every field in a run."""
    return frozenset(path[-1] for path in field_paths(RunConfig))


def with_flattened_search(tree: MapNode, report: ProblemReport) -> MapNode:
    """The tree of a file, its `sweep.search` flat."""
    if "sweep" not in tree.entries:
        return tree
    sweep = tree.entries["sweep"]
    return replace(
        tree, entries={**tree.entries, "sweep": replace(sweep, value=flatten_sweep_section(sweep.value, report))}
    )


def flatten_sweep_section(sweep: Node, report: ProblemReport) -> Node:
    """The value of `sweep`, its `search` flat, and its `objective` one value, which another one replaces."""
    if not isinstance(sweep, MapNode):
        return sweep
    entries = dict(sweep.entries)
    if "search" in entries:
        entries["search"] = replace(entries["search"], value=flatten_search(entries["search"].value, report))
    if "objective" in entries:
        entries["objective"] = replace(entries["objective"], value=_atomic(entries["objective"].value))
    return replace(sweep, entries=entries)


def flatten_search(search: Node, report: ProblemReport) -> Node:
    """The value of `sweep.search`: by the canonical path of each value that is searched, what it is drawn from."""
    if not isinstance(search, MapNode):
        return search
    entries: dict[str, Entry] = {}
    whole = not search.invalid
    for keys, entry in _leaves(search, ()):
        names = [name.strip() for key in keys for name in key.split(".")]
        shown = ".".join(keys)
        if not all(names):
            report.add(format_path((*SEARCH, shown)), "must be a path, as in optimizer.η", entry.location)
            whole = False
            continue
        path = ".".join(map(canonical_name, names))
        if path in entries:
            report.add(format_path((*SEARCH, path)), _duplicate_message(entries[path], shown), entry.location)
            continue
        value = entry.value
        entries[path] = Entry(
            shown, replace(value, atomic=True) if isinstance(value, MapNode) else value, entry.location
        )
    return replace(search, entries=entries, invalid=not whole)


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
