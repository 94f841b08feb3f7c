"""One value laid over a config at a path, by the rule of `extends`."""

from dataclasses import dataclass, replace
from typing import NoReturn

from mxtrain.config.extends import merged, merged_mappings
from mxtrain.config.nodes import Entry, ListNode, MapNode, Node, ScalarNode, canonical, dotted
from mxtrain.config.report import Report
from mxtrain.errors import Location
from mxtrain.types import describe


@dataclass(frozen=True, slots=True)
class Layer:
    """A value, and where it belongs.

    Args:
        keys: the names that lead there, as they were written.
        value: what is laid there.
        location: where that was said.
    """

    keys: tuple[str, ...]
    value: Node
    location: Location | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The canonical names that lead there."""
        return tuple(map(canonical, self.keys))

    def over(self, tree: MapNode, report: Report) -> MapNode:
        """The tree with this value in its place; a ConfigError where there is no such place."""
        return _Laying(self, self.path, report).in_mapping(tree, 0)


@dataclass(frozen=True, slots=True)
class _Laying:
    layer: Layer
    path: tuple[str, ...]
    report: Report

    def in_mapping(self, node: MapNode, level: int) -> MapNode:
        name, key, place = self.path[level], self.layer.keys[level], self.layer.location
        if level + 1 == len(self.path):
            return merged_mappings(node, MapNode({name: Entry(key, self.layer.value, place)}, node.location))
        below = node.entries.get(name, Entry(key, ScalarNode(None), place))
        entry = Entry(below.key, self._placed(below.value, level + 1), below.location)
        return replace(node, entries={**node.entries, name: entry})

    def _placed(self, node: Node, level: int) -> Node:
        """What stands at the first `level` names of the path, with the value in it."""
        if level == len(self.path):
            return merged(node, self.layer.value)
        if isinstance(node, ListNode):
            return self._in_list(node, level)
        if isinstance(node, ScalarNode):
            if node.value is not None:
                got = describe(node.value)
                self._fail(level, f"is {got}, which has nothing below it that could be set")
            node = MapNode({}, self.layer.location)
        return self.in_mapping(node, level)

    def _in_list(self, node: ListNode, level: int) -> ListNode:
        name, count = self.layer.keys[level], len(node.items)
        if not (name.isascii() and name.isdigit() and len(name) < 10 and int(name) < count):
            here = f"its items are 0 to {count - 1}" if count else "it is empty"
            self._fail(level, f"has no item {name}; {here}")
        i = int(name)
        return ListNode((*node.items[:i], self._placed(node.items[i], level + 1), *node.items[i + 1 :]), node.location)

    def _fail(self, level: int, message: str) -> NoReturn:
        self.report.fail(dotted(self.path[:level]), message, self.layer.location)
