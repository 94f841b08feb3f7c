"""Parameter groups: the settings and the program of each parameter."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from mxtrain.errors import ArrayError, ConfigError, ConfigProblem
from mxtrain.optim.flat_parameters import BufferSlice, FlatParameters
from mxtrain.optim.groups.group import ungrouped, unused_groups
from mxtrain.optim.groups.selectors import Shape, parse_selector
from mxtrain.optim.ir import AnyProgram, MatrixProgram, MultiPassProgram, Variant, Workspace
from mxtrain.optim.rule_checks import checked_program
from mxtrain.optim.rules import Rule
from mxtrain.optim.rules.matrix_rule import MatrixRule
from mxtrain.types import Array


class StoredRule(NamedTuple):
    """Record of the rule that made the slots of a state: another rule gives them another meaning.

    Attributes:
        kind: the kind of the rule.
        options: its values that change the meaning of the slots, by the name of their field.
    """

    kind: str
    options: dict[str, Any]


class ParamGroup(NamedTuple):
    """A rule with the settings of some parameters.

    Attributes:
        rule: the rule with these settings.
        program: the program of its update.
        fields: its fields by name, from which the program computes its scalars.
        slots: the names of its slots, with those of its wrappers.
        is_wrapped: True if a wrapper has coefficients.
        family: a number that is the same for the optimizer's rule and for groups that change values of it. Sums over
            all parameters cover those with the same number.
        is_scheduled: True if numbers besides η have schedules.
        has_variants: True if the program of a call depends on counters.
        may_be_idle: True if updates at some times change nothing.
        wraps_steps: True if gradients are clipped by their norm or accumulated.
        clips_columns: True if the gradients of columns are clipped.
        stored: the record of the rule in states.
    """

    rule: Rule
    program: AnyProgram
    fields: dict[str, Any]
    slots: tuple[str, ...]
    is_wrapped: bool = False
    family: int = 0
    is_scheduled: bool = False
    has_variants: bool = False
    may_be_idle: bool = False
    wraps_steps: bool = False
    clips_columns: bool = False
    stored: StoredRule = StoredRule("", {})


class ParamGroups:
    """The parameter groups of a rule.

    Attributes:
        all: the rule itself, for parameters in no group, then each group in the order of `rule.groups`; after a rule
            that has another one for vectors, the latter.
        differ: True if not all parameters have the same rule and settings.
        have_totals: True if an update needs the arrays of all parameters.
        kind_with_totals: the kind of the first rule that does; None if there is none.
        have_own_states: True if states of parameters may differ: as groups differ and rules have scalar slots, or as
            rules have other slots.
        have_matrices: True if a rule updates whole arrays, or clips the gradients of their columns, so that parts of a
            buffer cannot be updated together.
        need_positions: True if sums over all parameters are needed, to which each parameter contributes by itself.
        wrap_steps: True if a step clips gradients by their norm, accumulates them or skips those that are not finite.
        evaluate_slots: True if the weights to evaluate are in slots.
        need_check: True if `check` is needed, because there are groups, or a parameter in none is an error.
        rule: the rule.
        workspace: buffers for the temporary arrays of such rules.

    Example:
        >>> from mxtrain.optim.rules import SGD
        >>> groups = ParamGroups(SGD(groups={"b*": {"λ": 0}}))
        >>> [group.rule.λ for group in groups.all], groups.number("W1", (3, 2)), groups.number("b1", (2,))
        ([0.0001, 0.0], 0, 1)
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.workspace = Workspace()
        self._parts: list[_Part] = []
        self._part_of: dict[Hashable, int] = {}
        self._families: dict[tuple[str | None, bool], int] = {}
        self._slices: dict[str, tuple[tuple[BufferSlice, ...], dict[int, list[tuple[int, slice]]]]] = {}
        self.set_part(0, rule)

    def set_part(self, part: int, rule: Rule, names: Iterable[Hashable] = ()) -> None:
        """Set the rule of a part of the parameters, which differs from the optimizer's in its numbers or its kind.

        Args:
            part: the number of the part, or that of a new part; part 0 has all parameters of no other part.
            rule: the rule of its parameters, with groups of its own.
            names: the names of parameters that the part has in addition.
        """
        self._parts[part : part + 1] = [_make_part(rule, self.rule.kind, self._families)]
        self._part_of |= dict.fromkeys(names, part)
        self.all: list[ParamGroup] = [group for each in self._parts for group in each.groups]
        self.differ = len(self.all) > 1
        totals = [each for each in self.all if isinstance(each.program, MultiPassProgram) and each.program.has_totals]
        self.have_totals = bool(totals)
        self.kind_with_totals = totals[0].rule.kind if totals else None
        self.have_own_states = self.differ and (
            len({each.slots for each in self.all}) > 1
            or any(each.rule.initial_scalars() for each in self.all)
            or len({(each.rule.ema, each.rule.schedules.get("ema.decay")) for each in self.all}) > 1
        )
        self.have_matrices = any(
            isinstance(each.program, MatrixProgram) or each.rule.agc is not None for each in self.all
        )
        self.need_positions = self.have_totals or self.rule.clip_norm is not None
        self.wrap_steps = self.rule.skip_nonfinite or self.rule.clip_norm is not None or self.rule.accumulate > 1
        self.evaluate_slots = any(each.rule.evaluation_weights() is not None for each in self.all)
        self.need_check = bool(self.rule.groups) or self.rule.groups_required
        self._programs: dict[tuple[int, Variant], AnyProgram] = {}
        self._numbers: dict[Hashable, tuple[tuple[int, ...], bool, int]] = {}
        self._checked: tuple[Any, ...] | None = None
        self._slices.clear()

    def program(self, group: int, variant: Variant) -> AnyProgram:
        """Return the program of a group's rule for one kind of call."""
        if variant == "update":
            return self.all[group].program
        program = self._programs.get((group, variant))
        if program is None:
            program = self._programs[group, variant] = self.all[group].rule.program(variant)
        return program

    def number(self, index: Hashable, shape: tuple[int, ...], *, is_complex: bool = False) -> int:
        """Return the position in `all` of the group of a parameter of this shape.

        Complex parameters of matrix rules get the rule for vectors.

        Raises:
            ConfigError: no group takes it, and `groups_required` is true.
        """
        known = self._numbers.get(index)
        if known is None or known[0] != shape or known[1] != is_complex:
            problem = ungrouped(self.rule, {str(index): shape})
            if problem is not None:
                raise ConfigError([ConfigProblem("optimizer.groups_required", problem)])
            part = self._part_of.get(index, 0)
            rule, order = self._parts[part].rule, self._parts[part].order
            offset = sum(len(each.groups) for each in self._parts[:part])
            first, vectors = order[rule.group_of(str(index), shape)]
            is_vector = len(shape) < 2 or (is_complex and isinstance(self.all[offset + first].rule, MatrixRule))
            number = offset + (vectors if is_vector else first)
            known = self._numbers[index] = shape, is_complex, number
        return known[2]

    def rules_for(self, index: Hashable) -> list[Rule]:
        """Return the rules that a parameter of this name may have, for its shape decides between some groups."""
        part = self._parts[self._part_of.get(index, 0)]
        selectors: list[str | None] = []
        for selector in part.rule.groups:
            fits = parse_selector(selector).matches(str(index), None)
            if fits is not False:
                selectors.append(selector)
            if fits:
                break
        else:
            selectors.append(None)
        numbers = dict.fromkeys(number for selector in selectors for number in part.order[selector])
        return [part.groups[number].rule for number in numbers]

    def check(self, params: Mapping[Any, Array], known: Iterable[Hashable]) -> None:
        """Refuse groups that decide for none of the parameters of a step; checked once for each set of names.

        Args:
            params: the parameters of the step.
            known: the names of those that have a state, which earlier steps may have updated.

        Raises:
            ConfigError: a group matches no parameter, or earlier ones take all that it matches; or no group takes a
                parameter, and `groups_required` is true.
        """
        names = params.layout if isinstance(params, FlatParameters) else tuple(params)
        if names is self._checked or (names == self._checked and not isinstance(params, FlatParameters)):
            return
        shapes: dict[str, Shape | None] = {str(name): None for name in known if name not in params}
        shapes |= {str(name): getattr(weight, "shape", None) for name, weight in params.items()}
        check_groups(self.rule, shapes)
        self._checked = names

    def refuse_single_array(self) -> None:
        """Raise an ArrayError if arrays cannot be updated one by one, because a step needs all of them."""
        reason = f"{self.kind_with_totals} has sums over" if self.have_totals else None
        if self.rule.clip_norm is not None:
            reason = "clip_norm is a bound of the norm over"
        elif self.rule.skip_nonfinite:
            reason = "skip_nonfinite looks at the gradients of"
        if reason is not None:
            raise ArrayError(
                f"{reason} all parameters, so no array can be updated alone; "
                "call optimizer.step(params, grads) with all of them"
            )

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
        is_alone = self.need_positions or isinstance(self.all[number].program, MultiPassProgram)
        return number, position if is_alone else -1


class _Part(NamedTuple):
    """A rule, the groups of its parameters, and by selector the numbers of its groups for arrays and for vectors."""

    rule: Rule
    groups: list[ParamGroup]
    order: dict[str | None, tuple[int, int]]


def _make_part(rule: Rule, kind: str, families: dict[tuple[str | None, bool], int]) -> _Part:
    """Return the part of a rule; families with new keys are added.

    Args:
        rule: the rule.
        kind: the kind of the optimizer's rule.
        families: the number of each family, by the kind or the group of the rule, and by whether it is for vectors.
    """
    groups: list[ParamGroup] = []
    order: dict[str | None, tuple[int, int]] = {}
    for selector, each, vectors in rules_of_groups(rule):
        own = None if rule.kind == kind else f"{rule.kind} "  # no selector ends with a space
        if selector is not None and rule.groups[selector].rule is not None:
            own = selector
        groups.append(_make_group(each, families.setdefault((own, False), len(families))))
        first = len(groups) - 1
        if vectors is not each:
            groups.append(_make_group(vectors, families.setdefault((own, True), len(families))))
        order[selector] = first, len(groups) - 1
    return _Part(rule, groups, order)


def rules_of_groups(rule: Rule) -> Iterator[tuple[str | None, Rule, Rule]]:
    """Yield the selector of each group, None for parameters in no group, its rule, and its rule for vectors."""
    yield None, rule, rule.for_vectors()
    for selector, group in rule.groups.items():
        each = rule.with_settings(group)
        yield selector, each, each.for_vectors()


def check_groups(rule: Rule, shapes: Mapping[str, Shape | None]) -> None:
    """Refuse groups that decide for none of some parameters.

    Args:
        rule: the rule.
        shapes: the shapes of the parameters by their names; None for one that is unknown.

    Raises:
        ConfigError: as `ParamGroups.check`.
    """
    problems = [
        ConfigProblem(f"optimizer.groups.{selector}", message, rule.groups[selector].location)
        for selector, message in unused_groups(rule, shapes)
    ]
    if problem := ungrouped(rule, shapes):
        problems.append(ConfigProblem("optimizer.groups_required", problem))
    if problems:
        raise ConfigError(problems)


def _make_group(rule: Rule, family: int) -> ParamGroup:
    rule = rule.with_largest_numbers()
    fields = {name: getattr(rule, name) for name in type(rule).model_fields}
    return ParamGroup(
        rule,
        checked_program(rule),
        fields,
        rule.stored_slots(),
        bool(rule.wrapper().scalars) or rule.lookahead is not None,
        family,
        rule.has_scheduled_numbers,
        rule.accumulate > 1 or rule.lookahead is not None,
        type(rule).is_idle is not Rule.is_idle,
        rule.accumulate > 1 or rule.clip_norm is not None,
        rule.agc is not None,
        StoredRule(rule.kind, rule.stored_options()),
    )
