"""A tree with a `sweep` becomes a checked sweep."""

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from mxtrain.config.explain import explain
from mxtrain.config.nodes import MapNode, Node, ScalarNode, find, plain
from mxtrain.config.report import Report
from mxtrain.config.search.checks import TrialChecker
from mxtrain.config.search.fits import check_fit
from mxtrain.config.search.flat import SEARCH
from mxtrain.config.search.reading import SearchReader
from mxtrain.config.search.section import SweepConfig
from mxtrain.config.search.space import Space
from mxtrain.config.search.sweep import Sweep, filled_in
from mxtrain.config.validating import absolute
from mxtrain.errors import Location
from mxtrain.types import Config, describe


class SweepSection(SweepConfig):
    """The whole of the section, as it is checked and described."""

    search: Any = None


class _SectionAlone(Config):
    sweep: SweepSection


def has_sweep(tree: MapNode) -> bool:
    """Whether a file describes a sweep; `sweep: null` takes one away."""
    entry = tree.entries.get("sweep")
    return entry is not None and not (isinstance(entry.value, ScalarNode) and entry.value.value is None)


def without_sweep(tree: MapNode) -> MapNode:
    """The run alone."""
    return replace(tree, entries={name: entry for name, entry in tree.entries.items() if name != "sweep"})


def built(tree: MapNode, report: Report) -> Sweep:
    """The sweep that a tree holds; a ConfigError with every problem of it and of the runs that it can come to."""
    settings = _settings(tree, report)
    reader = SearchReader(tree, report)
    space = Space(reader.parameters(_search(tree, report)))
    base = without_sweep(tree)
    max_epochs = TrialChecker(tree, base, space, reader.faulty, settings).check(report)
    if settings is not None:
        check_fit(settings, space, max_epochs, tree, report)
    report.check()
    assert settings is not None, "what is wrong with it was reported"
    return Sweep(settings, space, filled_in(base), max_epochs, base)


def _settings(tree: MapNode, report: Report) -> SweepConfig | None:
    alone = MapNode({"sweep": tree.entries["sweep"]}, tree.location)
    try:
        section = _SectionAlone.model_validate(plain(alone)).sweep
    except ValidationError as error:
        explain(error, _SectionAlone, alone, report)
        return None
    values = {name: getattr(section, name) for name in SweepConfig.model_fields}
    node, _ = find(tree, ("sweep", "storage"))
    if isinstance(node, ScalarNode) and section.storage and section.storage.startswith("sqlite"):
        values["storage"] = _absolute_sqlite(section.storage, node.location)
    return SweepConfig.model_validate(values)


def _absolute_sqlite(url: str, location: Location | None) -> str:
    """Return the address of a SQLite database with the absolute path of its file."""
    from sqlalchemy.engine import make_url  # heavy, and seldom needed

    parts = make_url(url)
    if not parts.database:
        return url
    url = parts.set(database=absolute(parts.database, location)).render_as_string(hide_password=False)
    return url.replace(" ", "%20")


def _search(tree: MapNode, report: Report) -> MapNode:
    """What is searched; an empty mapping where there is nothing."""
    example = "{optimizer.η: {log: [1e-4, 1e-1]}}"
    sweep = tree.entries["sweep"].value
    node, place = find(tree, SEARCH)
    if isinstance(node, MapNode):
        if not any(map(_is_something, (entry.value for entry in node.entries.values()))) and not node.broken:
            report.add("sweep.search", f"is empty; say what is searched, as in {example}", node.location)
        return node
    if isinstance(sweep, MapNode) and not sweep.broken:
        if node is None:
            report.add("sweep.search", f"required; a mapping such as {example}", place)
        elif not (isinstance(node, ScalarNode) and node.broken):
            report.add(
                "sweep.search", f"must be a mapping such as {example}, got {describe(plain(node))}", node.location
            )
    return MapNode({})


def _is_something(node: Node) -> bool:
    return not (isinstance(node, ScalarNode) and node.value is None and not node.broken)
