"""What is searched: parameters, the points of their space, and what each point says of a run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

from mxtrain.config.nodes import Entry, ListNode, MapNode, Node, ScalarNode, dotted, plain
from mxtrain.config.search.combining import combined
from mxtrain.config.search.distributions import Distribution
from mxtrain.config.search.draw import Draw, Plain, Replay
from mxtrain.errors import Location
from mxtrain.names import spelling

Path = tuple[str | int, ...]

_LEVELS_INSIDE = 100
"""Combinations of ends inside of one value of a choice, up to which all are tried."""


@dataclass(frozen=True)
class Point:
    """A point of a space.

    Args:
        drawn: what was drawn, by the sampler's name of each parameter.
        params: what that makes of the run's values, by dotted path.
    """

    drawn: dict[str, Any]
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Option:
    """One of the values of a choice.

    Args:
        label: what a sampler draws for it.
        node: the value, as it is written.
        written: the path at which it is written.
        below: what is searched inside of it.
    """

    label: Plain
    node: Node = field(compare=False)
    written: Path
    below: tuple["Parameter", ...] = ()
    value: object = None


@dataclass(frozen=True, slots=True)
class Options:
    """A choice, with what is searched inside of its values."""

    options: tuple[Option, ...]

    @property
    def labels(self) -> tuple[Plain, ...]:
        """What a sampler draws from."""
        return tuple(option.label for option in self.options)

    def option(self, label: Plain) -> Option:
        """The option that a label means; a KeyError where there is none."""
        for option in self.options:
            if option.label == label and type(option.label) is type(label):
                return option
        raise KeyError(label)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value that is searched.

    Args:
        name: what samplers call it; the same name always has the same distribution.
        path: the names that lead to the value in a run.
        written: the path at which its distribution is written.
        distribution: what it is drawn from.
        node: the distribution as it is written.
        place: where it is written.
    """

    name: str
    path: tuple[str, ...]
    written: Path
    distribution: Distribution | Options
    node: Node = field(compare=False)
    place: Location | None = field(compare=False, default=None)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value that was drawn is written: the path of the value itself, and of the key that it belongs to."""

    value: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Filled:
    """A parameter with the value that a point gives it.

    Args:
        parameter: the parameter.
        node: the value, each part of it with the place where it, or what it was drawn from, is written.
        sources: for the path of each part of the run that was drawn, where it is written.
    """

    parameter: Parameter
    node: Node
    sources: Mapping[Path, Source]

    @property
    def source(self) -> Source:
        """Where the whole value is written."""
        return self.sources[self.parameter.path]


@dataclass(frozen=True)
class Space:
    """All that is searched.

    Args:
        parameters: what is drawn in every trial, in the order of the file.
    """

    parameters: tuple[Parameter, ...]

    def sample(self, draw: Draw) -> Point:
        """A point, drawn in the order of the file."""
        filling = _Filling(draw)
        for parameter in self.parameters:
            filling.fill(parameter)
        return Point(filling.drawn, filling.params)

    def point(self, drawn: Mapping[str, Any]) -> Point:
        """The point that something drawn earlier stands for; a KeyError where a parameter is missing."""
        return self.sample(Replay(drawn))

    def filled(self, drawn: Mapping[str, Any]) -> tuple[Filled, ...]:
        """Each parameter with its value; of what a sampler drew, or what was drawn for ends and grids."""
        filling = _Filling(Replay(drawn))
        return tuple(filling.fill(parameter) for parameter in self.parameters)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What samplers call the parameters, also those that occur in some trials only, in the order of the file."""
        return tuple(parameter.name for parameter in everything(self.parameters))

    @cached_property
    def size(self) -> int | None:
        """How many points the grid has; None where something is drawn from numbers without number."""
        counts = [_count(parameter) for parameter in self.parameters]
        return prod(count for count in counts if count is not None) if None not in counts else None

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every point, as what would be drawn for it, in the order of the file, the last parameter fastest."""
        return _points(self.parameters)


def everything(parameters: Iterable[Parameter]) -> Iterator[Parameter]:
    """Parameters, and those inside of their choices."""
    for parameter in parameters:
        yield parameter
        if isinstance(parameter.distribution, Options):
            for option in parameter.distribution.options:
                yield from everything(option.below)


def levels(parameter: Parameter) -> list[dict[str, Any]]:
    """What would be drawn for the ends of a parameter, and for each of its choices, with the ends inside of it."""
    if isinstance(parameter.distribution, Distribution):
        return [{parameter.name: end} for end in parameter.distribution.ends()]
    found: list[dict[str, Any]] = []
    for option in parameter.distribution.options:
        below = [levels(inside) for inside in option.below]
        for indices in combined([len(each) for each in below], _LEVELS_INSIDE):
            parts = [each[i] for i, each in zip(indices, below, strict=True)]
            found.append({parameter.name: option.label} | {name: end for part in parts for name, end in part.items()})
    return found


def _points(parameters: Sequence[Parameter]) -> Iterator[dict[str, Any]]:
    for parts in product(*map(_points_of, parameters)):
        yield {name: value for part in parts for name, value in part.items()}


def _points_of(parameter: Parameter) -> Iterator[dict[str, Any]]:
    match parameter.distribution:
        case Options(options):
            for option in options:
                for below in _points(option.below):
                    yield {parameter.name: option.label} | below
        case distribution:
            for i in range(distribution.count or 0):
                yield {parameter.name: distribution.point(i)}


def _count(parameter: Parameter) -> int | None:
    if isinstance(parameter.distribution, Distribution):
        return parameter.distribution.count
    total = 0
    for option in parameter.distribution.options:
        count = Space(option.below).size
        if count is None:
            return None
        total += count
    return total


class _Filling:
    """Draws parameters one after the other, and what is searched inside of what was chosen."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.drawn: dict[str, Any] = {}
        self.params: dict[str, Any] = {}

    def fill(self, parameter: Parameter) -> Filled:
        shown = dotted(parameter.path)
        self.params[shown] = None  # its place among the others is before what is inside of it
        match parameter.distribution:
            case Options() as options:
                label = self.drawn[parameter.name] = self.draw.suggest_categorical(parameter.name, options.labels)
                filled = self._chosen(parameter, options.option(label))
            case distribution:
                drawn = self.drawn[parameter.name] = distribution.suggest(self.draw, parameter.name)
                filled = _number(parameter, distribution, drawn)
        self.params[shown] = spelled(plain(filled.node))
        return filled

    def _chosen(self, parameter: Parameter, option: Option) -> Filled:
        node = option.node
        sources: dict[Path, Source] = {parameter.path: Source(option.written, parameter.written)}
        for inside in option.below:
            filled = self.fill(inside)
            node = _with(node, inside.path[len(parameter.path) :], filled.node)
            sources.update(filled.sources)
        return Filled(parameter, node, sources)


def _number(parameter: Parameter, distribution: Distribution, drawn: Any) -> Filled:
    value = distribution.value(drawn)
    below = distribution.place(value)
    node: Node | None = parameter.node
    for name in below:
        match node:
            case MapNode():
                node = node.entries[str(name)].value
            case ListNode(items) if isinstance(name, int):
                node = items[name]
    place = node.location if node is not None and below else parameter.place
    source = Source((*parameter.written, *below), parameter.written)
    return Filled(parameter, ScalarNode(value, place), {parameter.path: source})


def _with(node: Node, path: Sequence[str], value: Node) -> Node:
    """A node with another value at a path that leads through mappings."""
    if not path:
        return value
    assert isinstance(node, MapNode), "what is searched stands in mappings"
    entry = node.entries[path[0]]
    inside: Entry = replace(entry, value=_with(entry.value, path[1:], value))
    return replace(node, entries={**node.entries, path[0]: inside})


def spelled(value: Any) -> Any:
    """Plain values, under the names that the documentation prints."""
    match value:
        case dict():
            return {spelling(name): spelled(item) for name, item in value.items()}
        case list():
            return [spelled(item) for item in value]
    return value
