"""`extends: base.yaml`: a file that starts from another one, and the rule by which mappings are merged."""

from pathlib import Path

from mxtrain.config.nodes import Entry, MapNode, Node, ScalarNode, clipped, plain
from mxtrain.config.reader import read_file
from mxtrain.config.report import Report
from mxtrain.config.search.flat import with_flat_search
from mxtrain.config.source import UnreadableError, expand_home, url_problem
from mxtrain.errors import Location
from mxtrain.types import describe

MAX_CHAIN = 10
"""Files in one chain of `extends`."""


def merged(base: Node, own: Node) -> Node:
    """One node over another: mappings are merged key by key; of everything else, the own value holds.

    Of two mappings of different kinds the own one holds too: the fields of one kind mean nothing, or
    something else, in another.
    """
    if not (isinstance(base, MapNode) and isinstance(own, MapNode)) or base.atomic or own.atomic:
        return own
    return merged_mappings(base, own)


def merged_mappings(base: MapNode, own: MapNode) -> MapNode:
    """One mapping over another."""
    if _changes_kind(base, own):
        return own
    entries = dict(base.entries)
    for name, entry in own.entries.items():
        below = entries.get(name)
        value = entry.value if below is None else merged(below.value, entry.value)
        entries[name] = Entry(entry.key, value, entry.location)
    return MapNode(entries, own.location, base.broken or own.broken, base.atomic)


def _changes_kind(base: MapNode, own: MapNode) -> bool:
    if "kind" not in base.entries or "kind" not in own.entries:
        return False
    was, now = base.entries["kind"].value, own.entries["kind"].value
    return isinstance(was, ScalarNode) and isinstance(now, ScalarNode) and was.value != now.value


def read_tree(source: str, report: Report) -> MapNode:
    """A file, over all that it extends."""
    try:
        return _extended(_read(source, report), (source,), report)
    except UnreadableError as error:
        report.fail("", str(error), Location(source))


def _read(source: str, report: Report) -> MapNode:
    return with_flat_search(read_file(source, report), report)


def _extended(own: MapNode, chain: tuple[str, ...], report: Report) -> MapNode:
    if "extends" not in own.entries:
        return own
    rest = {name: entry for name, entry in own.entries.items() if name != "extends"}
    value = own.entries["extends"].value
    place = value.location
    if not isinstance(value, ScalarNode) or not isinstance(value.value, str) or not value.value:
        got = describe(plain(value))
        report.fail("extends", f"must be the path of one file, got {got}", place)

    if problem := url_problem(value.value):
        report.fail("extends", problem, place)
    base = str(Path(chain[-1]).parent / expand_home(value.value))
    shown = clipped(" → ".join((*chain, base)), 1000)
    if len(chain) == MAX_CHAIN:
        report.fail("extends", f"more than {MAX_CHAIN} files extend each other: {shown}", place)
    if any(_are_one(base, file) for file in chain):
        report.fail("extends", f"files extend each other in a circle: {shown}", place)
    try:
        tree = _read(base, report)
    except UnreadableError as error:
        report.fail("extends", f"{clipped(base, 200)}: {error}", place)
    below = _extended(tree, (*chain, base), report)
    return merged_mappings(below, MapNode(rest, own.location, own.broken))


def _are_one(one: str, other: str) -> bool:
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):
        return False  # whoever reads it says why
