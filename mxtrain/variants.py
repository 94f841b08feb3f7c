"""A rule, what each of its groups makes of it, and which parameters have which."""

from collections.abc import Hashable
from itertools import groupby
from typing import Any, NamedTuple

from mxtrain.flat import Place
from mxtrain.kernel import Program
from mxtrain.optimizers import Rule


class Variant(NamedTuple):
    """A rule with the settings that hold for some parameters.

    Attributes:
        rule: the rule with these settings.
        program: one update of it.
        fields: its fields by name, of which the program takes its scalars.
    """

    rule: Rule
    program: Program
    fields: dict[str, Any]


class Variants:
    """A rule as it is, and as it is for each of its groups.

    Attributes:
        all: the rule itself first, then one for each group.

    Example:
        >>> from mxtrain.optimizers import SGD
        >>> variants = Variants(SGD(groups={"b*": {"λ": 0}}))
        >>> [variant.rule.λ for variant in variants.all], variants.number("W1"), variants.number("b1")
        ([0.0001, 0.0], 0, 1)
    """

    def __init__(self, rule: Rule) -> None:
        rules = (rule, *(rule.with_settings(group) for group in rule.groups.values()))
        self.all = [Variant(each, each.program(), _fields(each)) for each in rules]
        self._order = {pattern: number for number, pattern in enumerate((None, *rule.groups))}
        self._numbers: dict[Hashable, int] = {}
        self._stretches: dict[str, tuple[tuple[Place, ...], dict[int, list[slice]]]] = {}

    def number(self, index: Hashable) -> int:
        """Which of all a parameter has."""
        number = self._numbers.get(index)
        if number is None:
            number = self._numbers[index] = self._order[self.all[0].rule.group_of(str(index))]
        return number

    def stretches(self, dtype: str, places: tuple[Place, ...]) -> dict[int, list[slice]]:
        """The parts of a dtype's buffer that have one variant each, by its number."""
        known, found = self._stretches.get(dtype, ((), {}))
        if known is not places:
            found = {}
            for number, run in groupby(places, lambda place: self.number(place.name)):
                first, *rest = run
                found.setdefault(number, []).append(slice(first.start, (rest[-1] if rest else first).stop))
            self._stretches[dtype] = places, found
        return found


def _fields(rule: Rule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in type(rule).model_fields}
