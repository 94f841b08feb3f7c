"""The search space: parameters, points, grids, and the combinations of values that are validated."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, combinations, islice, product
from math import prod
from typing import Any

from mxtrain.config.search.distributions import Distribution, FixedSuggester, Scalar, Suggester
from mxtrain.config.yaml.nodes import Entry, ListNode, MapNode, Node, ScalarNode, format_path, to_python
from mxtrain.errors import Location
from mxtrain.names import display_name

KeyPath = tuple[str | int, ...]

MAX_PAIRS = 1000
"""Largest number of pairs of values that are validated."""
_MAX_NESTED_COMBINATIONS = 100
"""Largest number of combinations of bounds inside one value of a choice that are all validated."""


@dataclass(frozen=True)
class Point:
    """A point of a search space.

    Args:
        drawn: the drawn value of each parameter, by parameter name.
        params: the values in the run, by dotted path.
    """

    drawn: dict[str, Any]
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChoiceOption:
    """One value of a choice.

    Args:
        label: the value that a sampler draws for it.
        node: the value in the file.
        written_path: the path of the value in the file.
        nested: the parameters inside of the value.
        value: the value as plain Python objects.
    """

    label: Scalar
    node: Node = field(compare=False)
    written_path: KeyPath
    nested: tuple["Parameter", ...] = ()
    value: object = None


@dataclass(frozen=True, slots=True)
class ParsedChoice:
    """A choice with the parameters inside of its values."""

    options: tuple[ChoiceOption, ...]

    @property
    def labels(self) -> tuple[Scalar, ...]:
        """The values that a sampler draws from."""
        return tuple(option.label for option in self.options)

    def option(self, label: Scalar) -> ChoiceOption:
        """Return the option with a label.

        Raises:
            KeyError: there is none.
        """
        for option in self.options:
            if option.label == label and type(option.label) is type(label):
                return option
        raise KeyError(label)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value that is searched.

    Args:
        name: the name that samplers use; the same name always has the same distribution.
        path: the path of the value in a run.
        written_path: the path of its distribution in the file.
        distribution: its distribution.
        node: the distribution in the file.
        location: the line and column of the distribution.
    """

    name: str
    path: tuple[str, ...]
    written_path: KeyPath
    distribution: Distribution | ParsedChoice
    node: Node = field(compare=False)
    location: Location | None = field(compare=False, default=None)


@dataclass(frozen=True, slots=True)
class Source:
    """The paths in the file of a drawn value, and of the key that it belongs to."""

    value: KeyPath
    key: KeyPath


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """A parameter with its value at a point.

    Args:
        parameter: the parameter.
        node: the value; each part has the location of the value, or of the distribution that it was drawn from.
        sources: for the path of each drawn part of the run, the paths in the file.
    """

    parameter: Parameter
    node: Node
    sources: Mapping[KeyPath, Source]

    @property
    def source(self) -> Source:
        """The paths in the file of the whole value."""
        return self.sources[self.parameter.path]


@dataclass(frozen=True)
class Space:
    """A search space.

    Args:
        parameters: the parameters that are drawn in every trial, in the order of the file.
    """

    parameters: tuple[Parameter, ...]

    def sample(self, suggester: Suggester) -> Point:
        """Draw a point, in the order of the file."""
        builder = _PointBuilder(suggester)
        for parameter in self.parameters:
            builder.fill(parameter)
        return Point(builder.drawn, builder.params)

    def point(self, drawn: Mapping[str, Any]) -> Point:
        """Return the point of values that were drawn before.

        Raises:
            KeyError: a parameter or a label is missing.
        """
        return self.sample(FixedSuggester(drawn))

    def parameter_values(self, drawn: Mapping[str, Any]) -> tuple[ParameterValue, ...]:
        """Return each parameter with its value, for drawn values of a sampler, of a grid, or of bounds."""
        builder = _PointBuilder(FixedSuggester(drawn))
        return tuple(builder.fill(parameter) for parameter in self.parameters)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all parameters, including those inside of choices, in the order of the file."""
        return tuple(parameter.name for parameter in all_parameters(self.parameters))

    @cached_property
    def size(self) -> int | None:
        """Number of points of the grid; None if it is infinite."""
        counts = [_count_points(parameter) for parameter in self.parameters]
        return prod(count for count in counts if count is not None) if None not in counts else None

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield the drawn values of every point, in the order of the file; the last parameter changes fastest."""
        return _grid_points(self.parameters)


def all_parameters(parameters: Iterable[Parameter]) -> Iterator[Parameter]:
    """Yield parameters, and those inside of their choices."""
    for parameter in parameters:
        yield parameter
        if isinstance(parameter.distribution, ParsedChoice):
            for option in parameter.distribution.options:
                yield from all_parameters(option.nested)


def boundary_values(parameter: Parameter) -> list[dict[str, Any]]:
    """Return the drawn values of the bounds of a parameter, or of its options with the bounds inside of them."""
    if isinstance(parameter.distribution, Distribution):
        return [{parameter.name: end} for end in parameter.distribution.ends()]
    values: list[dict[str, Any]] = []
    for option in parameter.distribution.options:
        nested = [boundary_values(inside) for inside in option.nested]
        for indices in index_combinations([len(each) for each in nested], _MAX_NESTED_COMBINATIONS):
            parts = [each[i] for i, each in zip(indices, nested, strict=True)]
            values.append({parameter.name: option.label} | {name: end for part in parts for name, end in part.items()})
    return values


def index_combinations(counts: Sequence[int], max_combinations: int) -> Iterator[tuple[int, ...]]:
    """Yield combinations of indices, those with the fewest nonzero indices first.

    Args:
        counts: the number of values of each index.
        max_combinations: up to this number, all combinations; beyond it, each value alone, and pairs of values.

    Example:
        >>> list(index_combinations([2, 2], 4)), len(list(index_combinations([2] * 20, 4)))
        ([(0, 0), (0, 1), (1, 0), (1, 1)], 211)
    """
    if prod(counts) <= max_combinations:
        yield from sorted(product(*map(range, counts)), key=lambda indices: sum(map(bool, indices)))
        return
    alone, pairs = chain(_index_variations(counts, 0), _index_variations(counts, 1)), _index_variations(counts, 2)
    yield from chain(alone, islice(pairs, MAX_PAIRS))


def _index_variations(counts: Sequence[int], differences: int) -> Iterator[tuple[int, ...]]:
    """Yield the combinations with a given number of nonzero indices."""
    for positions in combinations(range(len(counts)), differences):
        for values in product(*(range(1, counts[position]) for position in positions)):
            changed = dict(zip(positions, values, strict=True))
            yield tuple(changed.get(i, 0) for i in range(len(counts)))


def _grid_points(parameters: Sequence[Parameter]) -> Iterator[dict[str, Any]]:
    for parts in product(*map(_parameter_points, parameters)):
        yield {name: value for part in parts for name, value in part.items()}


def _parameter_points(parameter: Parameter) -> Iterator[dict[str, Any]]:
    match parameter.distribution:
        case ParsedChoice(options):
            for option in options:
                for nested in _grid_points(option.nested):
                    yield {parameter.name: option.label} | nested
        case distribution:
            for i in range(distribution.count or 0):
                yield {parameter.name: distribution.point(i)}


def _count_points(parameter: Parameter) -> int | None:
    if isinstance(parameter.distribution, Distribution):
        return parameter.distribution.count
    total = 0
    for option in parameter.distribution.options:
        count = Space(option.nested).size
        if count is None:
            return None
        total += count
    return total


class _PointBuilder:
    """Draws one parameter after the other, and the parameters inside of drawn options."""

    def __init__(self, suggester: Suggester) -> None:
        self.suggester = suggester
        self.drawn: dict[str, Any] = {}
        self.params: dict[str, Any] = {}

    def fill(self, parameter: Parameter) -> ParameterValue:
        path = format_path(parameter.path)
        self.params[path] = None  # keeps its position before those of nested parameters
        match parameter.distribution:
            case ParsedChoice() as choice:
                label = self.drawn[parameter.name] = self.suggester.suggest_categorical(parameter.name, choice.labels)
                value = self._fill_option(parameter, choice.option(label))
            case distribution:
                drawn = self.drawn[parameter.name] = distribution.suggest(self.suggester, parameter.name)
                value = _numeric_value(parameter, distribution, drawn)
        self.params[path] = with_canonical_names(to_python(value.node))
        return value

    def _fill_option(self, parameter: Parameter, option: ChoiceOption) -> ParameterValue:
        node = option.node
        sources: dict[KeyPath, Source] = {parameter.path: Source(option.written_path, parameter.written_path)}
        for nested in option.nested:
            value = self.fill(nested)
            node = _replace_at_path(node, nested.path[len(parameter.path) :], value.node)
            sources.update(value.sources)
        return ParameterValue(parameter, node, sources)


def _numeric_value(parameter: Parameter, distribution: Distribution, drawn: Any) -> ParameterValue:
    value = distribution.value(drawn)
    path = distribution.path_to(value)
    node: Node | None = parameter.node
    for name in path:
        match node:
            case MapNode():
                node = node.entries[str(name)].value
            case ListNode(items) if isinstance(name, int):
                node = items[name]
    location = node.location if node is not None and path else parameter.location
    source = Source((*parameter.written_path, *path), parameter.written_path)
    return ParameterValue(parameter, ScalarNode(value, location), {parameter.path: source})


def _replace_at_path(node: Node, path: Sequence[str], value: Node) -> Node:
    """Return a node with another value at a path through mappings."""
    if not path:
        return value
    assert isinstance(node, MapNode), "parameters are only in mappings"
    entry = node.entries[path[0]]
    replaced: Entry = replace(entry, value=_replace_at_path(entry.value, path[1:], value))
    return replace(node, entries={**node.entries, path[0]: replaced})


def with_canonical_names(value: Any) -> Any:
    """Return plain values with keys renamed as the documentation prints them."""
    match value:
        case dict():
            return {display_name(name): with_canonical_names(item) for name, item in value.items()}
        case list():
            return [with_canonical_names(item) for item in value]
    return value
