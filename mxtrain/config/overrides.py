"""Overrides of single values: `path=value`, such as `optimizer.η=0.01`.

1. `cli/options.py` passes the texts of `--set` as `SetOption`.
2. The functions in `loader` parse the file to a tree, and call `apply_overrides`.
3. `_parse_override` parses each text, and `_normalize_search_override` finds paths inside of a `sweep` section.
4. `Override.apply` in `yaml/merge` replaces the value in the tree.
5. `loader` validates the tree as a whole, so that an error names the override as it was typed.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from mxtrain.config.search.distributions import OPTIONS
from mxtrain.config.search.search_paths import SEARCH, flatten_search, flatten_sweep_section
from mxtrain.config.yaml.merge import Override
from mxtrain.config.yaml.nodes import Entry, MapNode, canonical_name, find_node, format_path, shorten
from mxtrain.config.yaml.parser import read_value
from mxtrain.config.yaml.source_text import ProblemReport
from mxtrain.errors import ConfigError, ConfigProblem, Location
from mxtrain.formatting import may_contain_password
from mxtrain.types import describe


class SetOption(str):
    """An override that was given as `--set` on the command line; error messages name the option."""

    __slots__ = ()


def check_overrides(overrides: Sequence[str]) -> Sequence[str]:
    """Return the overrides unchanged if they are a list of strings.

    Raises:
        ConfigError: they are not, for example one string, which is a sequence of characters.
    """
    is_list = isinstance(overrides, list | tuple)
    if is_list and all(isinstance(override, str) for override in overrides):
        return overrides
    example = [overrides] if isinstance(overrides, str) else ["optimizer.η=0.01"]
    got = "one string" if isinstance(overrides, str) else "other values in it" if is_list else describe(overrides)
    raise ConfigError([ConfigProblem("overrides", f"must be a list of strings, such as {example!r}, got {got}")])


def apply_overrides(tree: MapNode, overrides: Sequence[str], report: ProblemReport) -> MapNode:
    """Return the tree with each `path=value` in turn merged over it, by the rules of `extends`."""
    for override in check_overrides(overrides):
        try:
            tree = _normalize_search_override(_parse_override(override, report), tree, report).apply(tree, report)
        except ConfigError:
            continue  # its problem is in the report; the other overrides are checked too
    return tree


@contextmanager
def located_at_overrides(overrides: Sequence[str]) -> Iterator[None]:
    """Locate problems of a ConfigError at the overrides that cause them, and spell their paths as there."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError([_locate_at_override(problem, overrides) for problem in error.problems]) from None


def _locate_at_override(problem: ConfigProblem, overrides: Sequence[str]) -> ConfigProblem:
    if problem.location is not None:
        return problem
    for override in reversed(overrides):  # the last one wins
        typed = _split(override)[0].strip()
        path = format_path(map(canonical_name, typed.split(".")))
        if problem.path == path or problem.path.startswith(f"{path}."):
            rest = problem.path.removeprefix(path)
            return replace(problem, path=f"{typed}{rest}", location=_override_location(override))
    return problem


def _override_location(text: str) -> Location:
    """Return the location of an override for error messages, which hides a value that may contain a password."""
    return Location(f"{'--set' if isinstance(text, SetOption) else 'overrides:'} {_displayed_text(text)}")


def _parse_override(text: str, report: ProblemReport) -> Override:
    """Parse one `path=value`."""
    location = _override_location(text)
    report.open(location.source)
    path, equals, value = _split(text)
    keys = tuple(key.strip() for key in path.split("."))
    if not equals or not all(keys):
        report.fail("", "must have the form path=value, as in optimizer.η=0.01", location)
    if canonical_name(keys[0]) == "extends":
        report.fail("", "extends works only in a file; name that file instead", location)
    return Override(keys, read_value(value, location.source, keys, report), location)


_EQUALS = re.compile(r"(?<![<>=!])=(?!=)")


def _split(text: str) -> tuple[str, str, str]:
    """Return the path, `=` and the value of an override; selectors of groups may hold `<=`, `>=`, `==` and `!=`.

    >>> _split("optimizer.groups.ndim >= 2.η=0.1")
    ('optimizer.groups.ndim >= 2.η', '=', '0.1')
    """
    found = _EQUALS.search(text) if ".groups." in text.partition("=")[0] else None
    return (text[: found.start()], "=", text[found.end() :]) if found else text.partition("=")


def _displayed_text(text: str) -> str:
    """Return an override for error messages; without its value if that may contain a password."""
    shown = f"{text.partition('=')[0]}=…" if "=" in text and may_contain_password(text) else text
    return shorten(shown, 100)


def _normalize_search_override(override: Override, tree: MapNode, report: ProblemReport) -> Override:
    """Return the equivalent override of a tree whose `sweep.search` is flat."""
    path, value = override.path, override.value
    if path == SEARCH[:1]:
        return replace(override, value=flatten_sweep_section(value, report))
    if path == SEARCH:
        return replace(override, value=flatten_search(value, report))
    return _locate_in_search(override, tree, report) if path[:2] == SEARCH else override


def _locate_in_search(override: Override, tree: MapNode, report: ProblemReport) -> Override:
    """Return an override of a searched path, or of a field of the distribution that it already has."""
    path, keys = override.path, override.keys
    search, _ = find_node(tree, SEARCH)
    for i in range(3, len(path)):
        node, _ = find_node(search, (".".join(path[2:i]),)) if search else (None, None)
        if isinstance(node, MapNode) and (path[i] in node.entries or path[i] in OPTIONS):
            return replace(override, keys=(*keys[:2], ".".join(keys[2:i]), *keys[i:]))
    nested = override.value
    for key in reversed(keys[2:]):
        nested = MapNode({canonical_name(key): Entry(key, nested, override.location)}, override.location)
    return Override(keys[:2], flatten_search(nested, report), override.location)
