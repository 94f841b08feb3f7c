"""Parameter groups: the settings and the program of each parameter."""

from collections.abc import Hashable
from itertools import groupby
from typing import Any, NamedTuple

from mxtrain.optim.flat_parameters import BufferSlice
from mxtrain.optim.ir import Program
from mxtrain.optim.rules import Rule


class ParamGroup(NamedTuple):
    """A rule with the settings of some parameters.

    Attributes:
        rule: the rule with these settings.
        program: the program of its update.
        fields: its fields by name, from which the program computes its scalars.
    """

    rule: Rule
    program: Program
    fields: dict[str, Any]


class ParamGroups:
    """The parameter groups of a rule.

    Attributes:
        all: the rule itself, for parameters in no group, then each group in the order of `rule.groups`.

    Example:
        >>> from mxtrain.optim.rules import SGD
        >>> groups = ParamGroups(SGD(groups={"b*": {"λ": 0}}))
        >>> [group.rule.λ for group in groups.all], groups.number("W1"), groups.number("b1")
        ([0.0001, 0.0], 0, 1)
    """

    def __init__(self, rule: Rule) -> None:
        rules = (rule, *(rule.with_settings(group) for group in rule.groups.values()))
        self.all = [ParamGroup(each, each.program(), _field_values(each)) for each in rules]
        self._order = {pattern: number for number, pattern in enumerate((None, *rule.groups))}
        self._numbers: dict[Hashable, int] = {}
        self._slices: dict[str, tuple[tuple[BufferSlice, ...], dict[int, list[slice]]]] = {}

    def number(self, index: Hashable) -> int:
        """Return the position in `all` of a parameter's group."""
        number = self._numbers.get(index)
        if number is None:
            number = self._numbers[index] = self._order[self.all[0].rule.group_of(str(index))]
        return number

    def slices(self, dtype: str, places: tuple[BufferSlice, ...]) -> dict[int, list[slice]]:
        """Return the parts of a dtype's buffer that belong to each group, by the number of the group."""
        cached_places, slices = self._slices.get(dtype, ((), {}))
        if cached_places is not places:
            slices = {}
            for number, members in groupby(places, lambda place: self.number(place.name)):
                first, *rest = members
                slices.setdefault(number, []).append(slice(first.start, (rest[-1] if rest else first).stop))
            self._slices[dtype] = places, slices
        return slices


def _field_values(rule: Rule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in type(rule).model_fields}
