"""Parameter groups: the settings and the program for each parameter."""

from collections.abc import Hashable
from itertools import groupby
from typing import Any, NamedTuple

from mxtrain.optim.flat_parameters import BufferSlice
from mxtrain.optim.ir import Program
from mxtrain.optim.rules import Rule


class ParamGroup(NamedTuple):
    """A rule with the settings that hold for some parameters.

    Attributes:
        rule: the rule with these settings.
        program: one update of it.
        fields: its fields by name, of which the program takes its scalars.
    """

    rule: Rule
    program: Program
    fields: dict[str, Any]


class ParamGroups:
    """A rule as it is, and as it is for each of its groups.

    Attributes:
        all: the rule itself first, then one for each group.

    Example:
        >>> from mxtrain.optim.rules import SGD
        >>> variants = ParamGroups(SGD(groups={"b*": {"λ": 0}}))
        >>> [variant.rule.λ for variant in variants.all], variants.number("W1"), variants.number("b1")
        ([0.0001, 0.0], 0, 1)
    """

    def __init__(self, rule: Rule) -> None:
        rules = (rule, *(rule.with_settings(group) for group in rule.groups.values()))
        self.all = [ParamGroup(each, each.program(), _field_values(each)) for each in rules]
        self._order = {pattern: number for number, pattern in enumerate((None, *rule.groups))}
        self._numbers: dict[Hashable, int] = {}
        self._slices: dict[str, tuple[tuple[BufferSlice, ...], dict[int, list[slice]]]] = {}

    def number(self, index: Hashable) -> int:
        """Which of all a parameter has."""
        number = self._numbers.get(index)
        if number is None:
            number = self._numbers[index] = self._order[self.all[0].rule.group_of(str(index))]
        return number

    def slices(self, dtype: str, places: tuple[BufferSlice, ...]) -> dict[int, list[slice]]:
        """The parts of a dtype's buffer that have one variant each, by its number."""
        known, found = self._slices.get(dtype, ((), {}))
        if known is not places:
            found = {}
            for number, run in groupby(places, lambda place: self.number(place.name)):
                first, *rest = run
                found.setdefault(number, []).append(slice(first.start, (rest[-1] if rest else first).stop))
            self._slices[dtype] = places, found
        return found


def _field_values(rule: Rule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in type(rule).model_fields}
