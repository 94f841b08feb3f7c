"""Parameter groups: the settings and the program of each parameter."""

from collections.abc import Hashable
from itertools import groupby
from typing import Any, NamedTuple

from mxtrain.optim.flat_parameters import BufferSlice
from mxtrain.optim.ir import AnyProgram, MatrixProgram, MultiPassProgram, Variant, Workspace
from mxtrain.optim.rule_checks import checked_program
from mxtrain.optim.rules import Rule


class ParamGroup(NamedTuple):
    """A rule with the settings of some parameters.

    Attributes:
        rule: the rule with these settings.
        program: the program of its update.
        fields: its fields by name, from which the program computes its scalars.
        slots: the names of its slots, with those of its wrappers.
        is_wrapped: True if a wrapper has coefficients.
    """

    rule: Rule
    program: AnyProgram
    fields: dict[str, Any]
    slots: tuple[str, ...]
    is_wrapped: bool = False


class ParamGroups:
    """The parameter groups of a rule.

    Attributes:
        all: the rule itself, for parameters in no group, then each group in the order of `rule.groups`; after a rule
            that has another one for vectors, the latter.
        differ: True if not all parameters have the same rule and settings.
        have_totals: True if an update needs the arrays of all parameters.
        have_own_scalars: True if the scalar slots of parameters may differ, as groups differ and rules have some.
        have_matrices: True if a rule updates whole arrays, or clips the gradients of their columns, so that parts of a
            buffer cannot be updated together.
        workspace: buffers for the temporary arrays of such rules.

    Example:
        >>> from mxtrain.optim.rules import SGD
        >>> groups = ParamGroups(SGD(groups={"b*": {"λ": 0}}))
        >>> [group.rule.λ for group in groups.all], groups.number("W1", (3, 2)), groups.number("b1", (2,))
        ([0.0001, 0.0], 0, 1)
    """

    def __init__(self, rule: Rule) -> None:
        self.all: list[ParamGroup] = []
        self._order: dict[str | None, tuple[int, int]] = {}
        for pattern, settings in ((None, None), *rule.groups.items()):
            each = rule if settings is None else rule.with_settings(settings)
            vectors = each.for_vectors()
            self.all.append(_make_group(each))
            first = len(self.all) - 1
            if vectors is not each:
                self.all.append(_make_group(vectors))
            self._order[pattern] = first, len(self.all) - 1
        self.differ = len(self.all) > 1
        self.have_totals = any(
            isinstance(each.program, MultiPassProgram) and each.program.has_totals for each in self.all
        )
        self.have_own_scalars = self.differ and any(each.rule.initial_scalars() for each in self.all)
        self.have_matrices = any(
            isinstance(each.program, MatrixProgram) or each.rule.agc is not None for each in self.all
        )
        self.workspace = Workspace()
        self._rule = rule
        self._programs: dict[tuple[int, Variant], AnyProgram] = {}
        self._numbers: dict[Hashable, tuple[int, int]] = {}
        self._slices: dict[str, tuple[tuple[BufferSlice, ...], dict[int, list[tuple[int, slice]]]]] = {}

    def program(self, group: int, variant: Variant) -> AnyProgram:
        """Return the program of a group's rule for one kind of call."""
        if variant == "update":
            return self.all[group].program
        program = self._programs.get((group, variant))
        if program is None:
            program = self._programs[group, variant] = self.all[group].rule.program(variant)
        return program

    def number(self, index: Hashable, shape: tuple[int, ...]) -> int:
        """Return the position in `all` of the group of a parameter of this shape."""
        numbers = self._numbers.get(index)
        if numbers is None:
            numbers = self._numbers[index] = self._order[self._rule.group_of(str(index))]
        return numbers[len(shape) < 2]

    def slices(self, dtype: str, places: tuple[BufferSlice, ...]) -> dict[int, list[tuple[int, slice]]]:
        """Return the parts of a dtype's buffer that belong to each group, by the number of the group.

        Neighbours are one part, unless a rule has sums over each parameter. With each part comes the position of its
        first parameter in `places`.
        """
        cached_places, slices = self._slices.get(dtype, ((), {}))
        if cached_places is not places:
            slices = {}
            for (number, _), members in groupby(enumerate(places), self._part_key):
                (position, first), *rest = members
                stop = (rest[-1][1] if rest else first).stop
                slices.setdefault(number, []).append((position, slice(first.start, stop)))
            self._slices[dtype] = places, slices
        return slices

    def _part_key(self, numbered: tuple[int, BufferSlice]) -> tuple[int, int]:
        position, place = numbered
        number = self.number(place.name, place.shape)
        return number, position if isinstance(self.all[number].program, MultiPassProgram) else -1


def _make_group(rule: Rule) -> ParamGroup:
    rule = rule.with_largest_numbers()
    fields = {name: getattr(rule, name) for name in type(rule).model_fields}
    return ParamGroup(
        rule,
        checked_program(rule),
        fields,
        rule.stored_slots(),
        bool(rule.wrapper().scalars) or rule.lookahead is not None,
    )
