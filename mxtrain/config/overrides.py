"""`--set optimizer.η=0.01`: single values over what the files say."""

from collections.abc import Sequence

from mxtrain.config.laying import Layer
from mxtrain.config.nodes import Entry, MapNode, canonical, clipped, find
from mxtrain.config.reader import read_value
from mxtrain.config.report import Report
from mxtrain.config.search.distributions import OPTIONS
from mxtrain.config.search.flat import SEARCH, flat_search, flat_sweep
from mxtrain.errors import ConfigError, Location, Problem
from mxtrain.redaction import may_hold_password
from mxtrain.types import describe


def check_overrides(overrides: Sequence[str]) -> Sequence[str]:
    """The overrides, which are a list of texts.

    Raises:
        ConfigError: they are something else, such as one text, which is a sequence of letters.
    """
    is_list = isinstance(overrides, list | tuple)
    if is_list and all(isinstance(override, str) for override in overrides):
        return overrides
    example = [overrides] if isinstance(overrides, str) else ["optimizer.η=0.01"]
    got = "one text" if isinstance(overrides, str) else describe(overrides) if not is_list else "something else in it"
    raise ConfigError([Problem("overrides", f"must be a list of texts, such as {example!r}, got {got}")])


def overridden(tree: MapNode, overrides: Sequence[str], report: Report) -> MapNode:
    """The tree with each `path=value` in turn laid over it, by the rule of `extends`."""
    for override in check_overrides(overrides):
        try:
            tree = _in_search(_parsed(override, report), tree, report).over(tree, report)
        except ConfigError:
            continue  # the report has it; the other overrides are looked at all the same
    return tree


def _parsed(text: str, report: Report) -> Layer:
    """One `path=value`."""
    location = Location(f"--set {_shown(text)}")
    report.open(location.source)
    path, equals, value = text.partition("=")
    keys = tuple(key.strip() for key in path.split("."))
    names = tuple(map(canonical, keys))
    if not equals or not all(keys):
        report.fail("", "must be written path=value, as in optimizer.η=0.01", location)
    if names[0] == "extends":
        report.fail("", "extends belongs into a file; name that file instead", location)
    return Layer(keys, read_value(value, location.source, names, report), location)


def _shown(text: str) -> str:
    """Return an override as messages show it; if it may hold a password, only its path."""
    shown = f"{text.partition('=')[0]}=…" if "=" in text and may_hold_password(text) else text
    return clipped(shown, 100)


def _in_search(layer: Layer, tree: MapNode, report: Report) -> Layer:
    """The same for a tree whose `sweep.search` is flat."""
    path, keys, value = layer.path, layer.keys, layer.value
    if path == SEARCH[:1]:
        return Layer(keys, flat_sweep(value, report), layer.location)
    if path == SEARCH:
        return Layer(keys, flat_search(value, report), layer.location)
    return _below_search(layer, tree, report) if path[:2] == SEARCH else layer


def _below_search(layer: Layer, tree: MapNode, report: Report) -> Layer:
    """A path through the search: to a value that is searched, or into the distribution that it has."""
    search, _ = find(tree, SEARCH)
    for i in range(3, len(layer.path)):
        path, name = ".".join(layer.path[2:i]), layer.path[i]
        node, _ = find(search, (path,)) if search else (None, None)
        if isinstance(node, MapNode) and (name in node.entries or name in OPTIONS):
            return Layer((*SEARCH, path, *layer.keys[i:]), layer.value, layer.location)
    nested = layer.value
    for key in reversed(layer.keys[2:]):
        nested = MapNode({canonical(key): Entry(key, nested, layer.location)}, layer.location)
    return Layer(SEARCH, flat_search(nested, report), layer.location)
