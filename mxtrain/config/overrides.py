"""`--set optimizer.η=0.01`: single values over what the files say."""

from collections.abc import Sequence
from typing import NoReturn

from mxtrain.config.extends import merged, merged_mappings
from mxtrain.config.nodes import Entry, ListNode, MapNode, Node, ScalarNode, canonical, clipped, dotted
from mxtrain.config.reader import read_value
from mxtrain.config.report import Report
from mxtrain.errors import ConfigError, Location, Problem
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
            tree = _Override(override, report).over(tree)
        except ConfigError:
            continue  # the report has it; the other overrides are looked at all the same
    return tree


class _Override:
    """One `path=value`."""

    def __init__(self, text: str, report: Report) -> None:
        self.location = Location(f"--set {clipped(text, 100)}")
        self.report = report
        report.open(self.location.source)
        path, equals, value = text.partition("=")
        self.keys = tuple(key.strip() for key in path.split("."))
        self.path = tuple(canonical(key) for key in self.keys)
        if not equals or not all(self.keys):
            self.fail((), "must be written path=value, as in optimizer.η=0.01")
        if self.path[0] == "extends":
            self.fail((), "extends belongs into a file; name that file instead")
        self.value = read_value(value, self.location.source, self.path, report)

    def fail(self, path: tuple[str, ...], message: str) -> NoReturn:
        """This override cannot be applied."""
        self.report.fail(dotted(path), message, self.location)

    def over(self, tree: MapNode) -> MapNode:
        """The tree with this value in its place."""
        return self._in_mapping(tree, 0)

    def _placed(self, node: Node, level: int) -> Node:
        """What stands at the first `level` names of the path, with the value in it."""
        if level == len(self.path):
            return merged(node, self.value)
        if isinstance(node, ListNode):
            return self._in_list(node, level)
        if isinstance(node, ScalarNode):
            if node.value is not None:
                got = describe(node.value)
                self.fail(self.path[:level], f"is {got}, which has nothing below it that could be set")
            node = MapNode({}, self.location)
        return self._in_mapping(node, level)

    def _in_mapping(self, node: MapNode, level: int) -> MapNode:
        name, key = self.path[level], self.keys[level]
        if level + 1 == len(self.path):
            return merged_mappings(node, MapNode({name: Entry(key, self.value, self.location)}, node.location))
        below = node.entries.get(name, Entry(key, ScalarNode(None), self.location))
        entry = Entry(below.key, self._placed(below.value, level + 1), below.location)
        return MapNode({**node.entries, name: entry}, node.location, node.broken)

    def _in_list(self, node: ListNode, level: int) -> ListNode:
        name, count = self.keys[level], len(node.items)
        if not (name.isascii() and name.isdigit() and len(name) < 10 and int(name) < count):
            here = f"its items are 0 to {count - 1}" if count else "it is empty"
            self.fail(self.path[:level], f"has no item {name}; {here}")
        i = int(name)
        return ListNode((*node.items[:i], self._placed(node.items[i], level + 1), *node.items[i + 1 :]), node.location)
