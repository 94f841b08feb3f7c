"""`sweep.search` as one mapping of dotted paths, however it was written.

A search may be written with dotted keys, with mappings inside each other, or both; it is brought to one form as soon as
it is read, so that files that extend each other, and `--set`, mean the same value when they say the same path.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from mxtrain.config.nodes import Entry, MapNode, Node, canonical, dotted
from mxtrain.config.report import Report
from mxtrain.config.run import RunConfig
from mxtrain.config.search.distributions import OPTIONS, WORDS
from mxtrain.config.search.searchable import paths
from mxtrain.names import nearest

SEARCH = ("sweep", "search")


def is_distribution(node: Node) -> bool:
    """Whether a mapping is meant as a distribution, be it a misspelt one, rather than as a part of a path."""
    return isinstance(node, MapNode) and any(
        name in (*WORDS, *OPTIONS) or (not isinstance(entry.value, MapNode) and meant_word(name))
        for name, entry in node.entries.items()
    )


def meant_word(name: str) -> str | None:
    """The word of a distribution that a name was most likely meant to be; None for the name of a field."""
    return None if name in _fields() else nearest(name, WORDS)


@cache
def _fields() -> frozenset[str]:
    """The name of every field in a run."""
    return frozenset(path[-1] for path in paths(RunConfig))


def with_flat_search(tree: MapNode, report: Report) -> MapNode:
    """The tree of a file, its `sweep.search` flat."""
    if "sweep" not in tree.entries:
        return tree
    sweep = tree.entries["sweep"]
    return replace(tree, entries={**tree.entries, "sweep": replace(sweep, value=flat_sweep(sweep.value, report))})


def flat_sweep(sweep: Node, report: Report) -> Node:
    """The value of `sweep`, its `search` flat, and its `objective` one value, which another one replaces."""
    if not isinstance(sweep, MapNode):
        return sweep
    entries = dict(sweep.entries)
    if "search" in entries:
        entries["search"] = replace(entries["search"], value=flat_search(entries["search"].value, report))
    if "objective" in entries:
        entries["objective"] = replace(entries["objective"], value=_atomic(entries["objective"].value))
    return replace(sweep, entries=entries)


def flat_search(search: Node, report: Report) -> Node:
    """The value of `sweep.search`: by the canonical path of each value that is searched, what it is drawn from."""
    if not isinstance(search, MapNode):
        return search
    entries: dict[str, Entry] = {}
    whole = not search.broken
    for keys, entry in _leaves(search, ()):
        names = [name.strip() for key in keys for name in key.split(".")]
        shown = ".".join(keys)
        if not all(names):
            report.add(dotted((*SEARCH, shown)), "must be a path, as in optimizer.η", entry.location)
            whole = False
            continue
        path = ".".join(map(canonical, names))
        if path in entries:
            report.add(dotted((*SEARCH, path)), _twice(entries[path], shown), entry.location)
            continue
        value = entry.value
        entries[path] = Entry(
            shown, replace(value, atomic=True) if isinstance(value, MapNode) else value, entry.location
        )
    return replace(search, entries=entries, broken=not whole)


def _atomic(node: Node) -> Node:
    return replace(node, atomic=True) if isinstance(node, MapNode) else node


def _leaves(node: MapNode, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Entry]]:
    for entry in node.entries.values():
        keys = (*above, entry.key)
        if isinstance(entry.value, MapNode) and entry.value.entries and not is_distribution(entry.value):
            yield from _leaves(entry.value, keys)
        else:
            yield keys, entry


def _twice(first: Entry, key: str) -> str:
    where = f", first at {first.location}" if first.location else ""
    if first.key == key:
        return f"given twice{where}; keep one"
    return f"{key} and {first.key} are two names of one value{where}; keep one"
