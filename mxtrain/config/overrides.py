"""Command-line overrides: `--set optimizer.η=0.01`."""

from collections.abc import Sequence

from mxtrain.config.search.distributions import OPTIONS
from mxtrain.config.search.search_paths import SEARCH, flatten_search, flatten_sweep_section
from mxtrain.config.yaml.merge import Override
from mxtrain.config.yaml.nodes import Entry, MapNode, canonical_name, find_node, shorten
from mxtrain.config.yaml.parser import read_value
from mxtrain.config.yaml.problem_report import ProblemReport
from mxtrain.errors import ConfigError, ConfigProblem, Location
from mxtrain.redaction import may_contain_password
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
    raise ConfigError([ConfigProblem("overrides", f"must be a list of texts, such as {example!r}, got {got}")])


def apply_overrides(tree: MapNode, overrides: Sequence[str], report: ProblemReport) -> MapNode:
    """The tree with each `path=value` in turn laid over it, by the rule of `extends`."""
    for override in check_overrides(overrides):
        try:
            tree = _normalize_search_override(_parse_override(override, report), tree, report).apply(tree, report)
        except ConfigError:
            continue  # the report has it; the other overrides are looked at all the same
    return tree


def _parse_override(text: str, report: ProblemReport) -> Override:
    """One `path=value`."""
    location = Location(f"--set {_displayed_text(text)}")
    report.open(location.source)
    path, equals, value = text.partition("=")
    keys = tuple(key.strip() for key in path.split("."))
    names = tuple(map(canonical_name, keys))
    if not equals or not all(keys):
        report.fail("", "must be written path=value, as in optimizer.η=0.01", location)
    if names[0] == "extends":
        report.fail("", "extends belongs into a file; name that file instead", location)
    return Override(keys, read_value(value, location.source, names, report), location)


def _displayed_text(text: str) -> str:
    """Return an override as messages show it; if it may hold a password, only its path."""
    shown = f"{text.partition('=')[0]}=…" if "=" in text and may_contain_password(text) else text
    return shorten(shown, 100)


def _normalize_search_override(layer: Override, tree: MapNode, report: ProblemReport) -> Override:
    """The same for a tree whose `sweep.search` is flat."""
    path, keys, value = layer.path, layer.keys, layer.value
    if path == SEARCH[:1]:
        return Override(keys, flatten_sweep_section(value, report), layer.location)
    if path == SEARCH:
        return Override(keys, flatten_search(value, report), layer.location)
    return _locate_in_search(layer, tree, report) if path[:2] == SEARCH else layer


def _locate_in_search(layer: Override, tree: MapNode, report: ProblemReport) -> Override:
    """A path through the search: to a value that is searched, or into the distribution that it has."""
    search, _ = find_node(tree, SEARCH)
    for i in range(3, len(layer.path)):
        path, name = ".".join(layer.path[2:i]), layer.path[i]
        node, _ = find_node(search, (path,)) if search else (None, None)
        if isinstance(node, MapNode) and (name in node.entries or name in OPTIONS):
            return Override((*SEARCH, path, *layer.keys[i:]), layer.value, layer.location)
    nested = layer.value
    for key in reversed(layer.keys[2:]):
        nested = MapNode({canonical_name(key): Entry(key, nested, layer.location)}, layer.location)
    return Override(SEARCH, flatten_search(nested, report), layer.location)
