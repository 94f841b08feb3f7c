"""The search space: parameters, points, grids, and the combinations of values that are validated."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, combinations, islice, product
from math import prod
from typing import Any

from mxtrain.config.search.distributions import Distribution, FixedSuggester, Plain, Suggester
from mxtrain.config.yaml.nodes import Entry, ListNode, MapNode, Node, ScalarNode, format_path, to_python
from mxtrain.errors import Location
from mxtrain.names import display_name

MOST_PAIRS = 1000
"""Pairs of values that are tried; each value alone always is."""


def index_combinations(counts: Sequence[int], all_up_to: int) -> Iterator[tuple[int, ...]]:
    """An index for each of several choices at a time, those with the fewest differences from the first of all first.

    Args:
        counts: how many values each choice has.
        all_up_to: up to so many combinations, all of them; of more, each value alone, and pairs of two.

    Example:
        >>> list(index_combinations([2, 2], 4)), len(list(index_combinations([2] * 20, 4)))
        ([(0, 0), (0, 1), (1, 0), (1, 1)], 211)
    """
    if prod(counts) <= all_up_to:
        yield from sorted(product(*map(range, counts)), key=lambda indices: sum(map(bool, indices)))
        return
    alone, pairs = chain(_index_variations(counts, 0), _index_variations(counts, 1)), _index_variations(counts, 2)
    yield from chain(alone, islice(pairs, MOST_PAIRS))


def _index_variations(counts: Sequence[int], differences: int) -> Iterator[tuple[int, ...]]:
    for places in combinations(range(len(counts)), differences):
        for values in product(*(range(1, counts[place]) for place in places)):
            changed = dict(zip(places, values, strict=True))
            yield tuple(changed.get(i, 0) for i in range(len(counts)))


KeyPath = tuple[str | int, ...]

_MAX_NESTED_COMBINATIONS = 100
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
    written: KeyPath
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
    written: KeyPath
    distribution: Distribution | Options
    node: Node = field(compare=False)
    place: Location | None = field(compare=False, default=None)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value that was drawn is written: the path of the value itself, and of the key that it belongs to."""

    value: KeyPath
    key: KeyPath


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """A parameter with the value that a point gives it.

    Args:
        parameter: the parameter.
        node: the value, each part of it with the place where it, or what it was drawn from, is written.
        sources: for the path of each part of the run that was drawn, where it is written.
    """

    parameter: Parameter
    node: Node
    sources: Mapping[KeyPath, Source]

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

    def sample(self, draw: Suggester) -> Point:
        """A point, drawn in the order of the file."""
        filling = _PointBuilder(draw)
        for parameter in self.parameters:
            filling.fill(parameter)
        return Point(filling.drawn, filling.params)

    def point(self, drawn: Mapping[str, Any]) -> Point:
        """The point that something drawn earlier stands for; a KeyError where a parameter is missing."""
        return self.sample(FixedSuggester(drawn))

    def filled(self, drawn: Mapping[str, Any]) -> tuple[ParameterValue, ...]:
        """Each parameter with its value; of what a sampler drew, or what was drawn for ends and grids."""
        filling = _PointBuilder(FixedSuggester(drawn))
        return tuple(filling.fill(parameter) for parameter in self.parameters)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What samplers call the parameters, also those that occur in some trials only, in the order of the file."""
        return tuple(parameter.name for parameter in all_parameters(self.parameters))

    @cached_property
    def size(self) -> int | None:
        """How many points the grid has; None where something is drawn from numbers without number."""
        counts = [_count_points(parameter) for parameter in self.parameters]
        return prod(count for count in counts if count is not None) if None not in counts else None

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every point, as what would be drawn for it, in the order of the file, the last parameter fastest."""
        return _grid_points(self.parameters)


def all_parameters(parameters: Iterable[Parameter]) -> Iterator[Parameter]:
    """Parameters, and those inside of their choices."""
    for parameter in parameters:
        yield parameter
        if isinstance(parameter.distribution, Options):
            for option in parameter.distribution.options:
                yield from all_parameters(option.below)


def boundary_values(parameter: Parameter) -> list[dict[str, Any]]:
    """What would be drawn for the ends of a parameter, and for each of its choices, with the ends inside of it."""
    if isinstance(parameter.distribution, Distribution):
        return [{parameter.name: end} for end in parameter.distribution.ends()]
    found: list[dict[str, Any]] = []
    for option in parameter.distribution.options:
        below = [boundary_values(inside) for inside in option.below]
        for indices in index_combinations([len(each) for each in below], _MAX_NESTED_COMBINATIONS):
            parts = [each[i] for i, each in zip(indices, below, strict=True)]
            found.append({parameter.name: option.label} | {name: end for part in parts for name, end in part.items()})
    return found


def _grid_points(parameters: Sequence[Parameter]) -> Iterator[dict[str, Any]]:
    for parts in product(*map(_parameter_points, parameters)):
        yield {name: value for part in parts for name, value in part.items()}


def _parameter_points(parameter: Parameter) -> Iterator[dict[str, Any]]:
    match parameter.distribution:
        case Options(options):
            for option in options:
                for below in _grid_points(option.below):
                    yield {parameter.name: option.label} | below
        case distribution:
            for i in range(distribution.count or 0):
                yield {parameter.name: distribution.point(i)}


def _count_points(parameter: Parameter) -> int | None:
    if isinstance(parameter.distribution, Distribution):
        return parameter.distribution.count
    total = 0
    for option in parameter.distribution.options:
        count = Space(option.below).size
        if count is None:
            return None
        total += count
    return total


class _PointBuilder:
    """Draws parameters one after the other, and what is searched inside of what was chosen."""

    def __init__(self, draw: Suggester) -> None:
        self.draw = draw
        self.drawn: dict[str, Any] = {}
        self.params: dict[str, Any] = {}

    def fill(self, parameter: Parameter) -> ParameterValue:
        shown = format_path(parameter.path)
        self.params[shown] = None  # its place among the others is before what is inside of it
        match parameter.distribution:
            case Options() as options:
                label = self.drawn[parameter.name] = self.draw.suggest_categorical(parameter.name, options.labels)
                filled = self._fill_option(parameter, options.option(label))
            case distribution:
                drawn = self.drawn[parameter.name] = distribution.suggest(self.draw, parameter.name)
                filled = _numeric_value(parameter, distribution, drawn)
        self.params[shown] = with_canonical_names(to_python(filled.node))
        return filled

    def _fill_option(self, parameter: Parameter, option: Option) -> ParameterValue:
        node = option.node
        sources: dict[KeyPath, Source] = {parameter.path: Source(option.written, parameter.written)}
        for inside in option.below:
            filled = self.fill(inside)
            node = _replace_at_path(node, inside.path[len(parameter.path) :], filled.node)
            sources.update(filled.sources)
        return ParameterValue(parameter, node, sources)


def _numeric_value(parameter: Parameter, distribution: Distribution, drawn: Any) -> ParameterValue:
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
    return ParameterValue(parameter, ScalarNode(value, place), {parameter.path: source})


def _replace_at_path(node: Node, path: Sequence[str], value: Node) -> Node:
    """A node with another value at a path that leads through mappings."""
    if not path:
        return value
    assert isinstance(node, MapNode), "what is searched stands in mappings"
    entry = node.entries[path[0]]
    inside: Entry = replace(entry, value=_replace_at_path(entry.value, path[1:], value))
    return replace(node, entries={**node.entries, path[0]: inside})


def with_canonical_names(value: Any) -> Any:
    """Plain values, under the names that the documentation prints."""
    match value:
        case dict():
            return {display_name(name): with_canonical_names(item) for name, item in value.items()}
        case list():
            return [with_canonical_names(item) for item in value]
    return value
