"""Base class of update rules: their coefficients, programs, groups and schedules."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from fractions import Fraction
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import ModelWrapValidatorHandler, ValidationError, model_validator

from mxtrain.errors import TraceError
from mxtrain.optim.groups.group import Group, apply_group, group_of, unused_groups
from mxtrain.optim.groups.selectors import Shape
from mxtrain.optim.groups.validation import error_line, validate_with_groups
from mxtrain.optim.ir import (
    AnyProgram,
    GradientStage,
    UpdateWrapper,
    Variant,
    accumulation_program,
    update_program,
    wrapping,
)
from mxtrain.optim.rules.fields import RuleFields
from mxtrain.optim.rules.scheduled import (
    is_scheduled,
    rule_at,
    scheduled_value,
    unknown_schedule_lines,
    with_largest_numbers,
)
from mxtrain.optim.rules.time import ScheduledValue, Time
from mxtrain.optim.rules.wrappers import rounded_bounds
from mxtrain.optim.schedules import LearningRateSchedule
from mxtrain.types import NON_NEGATIVE, Bounds


class Rule(RuleFields, ABC):
    """Update rule: its validated config, and its arithmetic, written once.

    A rule consists of data and two functions. `coefficients` is evaluated on the host in float64, once per update;
    `update` describes one element, and is traced into the program that every backend runs. The fields that every rule
    has are those of `RuleFields`.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    """Names of the arrays that are stored for each weight, of its dtype and shape; zeros at first (`slot_starts`)."""
    scalar_slots: ClassVar[Mapping[str, float]] = {}
    """Names and first values of the numbers that are stored for each weight."""
    scalar_bounds: ClassVar[Mapping[str, Bounds]] = {}
    """Bounds of these numbers after an update, which a loaded state must keep; without them, any finite number."""
    computed_scalars: ClassVar[tuple[str, ...]] = ()
    """Names of the scalar slots that `update` computes, after the slots; `coefficients` computes the others."""
    options: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that `update` gets as plain values, to branch on; each choice is a program of its own."""
    state_options: ClassVar[tuple[str, ...]] = ()
    """Names of fields that change the meaning of the slots: a state is loaded only with the values of its saving."""
    overflow_bounds: ClassVar[Literal["gradient", "all", "none"]] = "all"
    """Values whose size bounds that of the slots, so that `on_nonfinite` need not try every step on copies.

    - `gradient`: the gradient, which the slots average or square; weights enter only as `λ·W`.
    - `all`: the gradient, the weights and the slots, any of which `update` may square; the safe choice.
    - `none`: no bound holds, as where η multiplies what a slot adds up; every step is tried on copies.
    """
    slots_have_weight_shape: ClassVar[bool] = True
    """True if every slot has the shape of its weight; otherwise `slot_shapes` returns the shapes."""
    needs_values: ClassVar[bool] = False
    """True if an update evaluates the function, so that it needs `minimize` or `fit`."""
    holds_zero_weights: ClassVar[bool] = False
    """True if weights of 0 stay near 0, because steps are proportional to the weights or weights are set from slots."""
    evaluation_slot: ClassVar[str | None] = None
    """Name of the slot with the weights to evaluate; None if these are the trained weights."""

    update: ClassVar[Callable[..., tuple[Any, ...]]]
    """`update(W, g, *slots, *, coefficient…)` returns the new W, the new slots and the computed scalars, in that order.

    Keyword-only parameters are coefficients, fields, options or computed scalars, by their names.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _validate_groups(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate_with_groups(cls, data, handler, Rule)
        except ValidationError as error:
            found = error.errors(include_url=False)
            lines = list(unknown_schedule_lines(cls, data, found))
            if not lines:
                raise
            lines += [error_line(each, ()) for each in found]
        raise ValidationError.from_exception_data(cls.__name__, lines)

    @abstractmethod
    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """Return the scalars of one update, in float64; the name of a scalar slot gives its new value."""

    def active_slots(self) -> tuple[str, ...]:
        """Return the names of the slots that the rule itself needs with these values."""
        return self.slots

    def stored_slots(self) -> tuple[str, ...]:
        """Return the names of all slots: those of the rule, then those of its wrappers."""
        return (*self.active_slots(), *self.wrapper().slots)

    def stored_starts(self) -> dict[str, float | Literal["W"]]:
        """Return the first value of each slot that does not start at 0, with those of wrappers."""
        return dict(self.slot_starts()) | {wrapping.SLOW: "W"}

    def stored_shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Return the shape of each slot of a weight of this shape, with those of wrappers."""
        return (*self.slot_shapes(shape), *(shape,) * len(self.wrapper().slots))

    def stored_scalars(self) -> dict[str, float]:
        """Return the first value of each scalar slot, with those of wrappers."""
        counts = {wrapping.ACCUMULATED: 0.0} if self.accumulate > 1 else {}
        start = {wrapping.START_SHARE: 1.0} if self.ema is not None and self.ema.corrected else {}
        return self.initial_scalars() | counts | start

    def stored_scalar_bounds(self) -> dict[str, Bounds]:
        """Return the bounds of scalar slots after an update, with those of wrappers; others are any finite numbers."""
        return dict(self.scalar_bounds) | {wrapping.START_SHARE: Bounds(ge=0, lt=1)}

    def wrapper(self, variant: Variant = "update") -> UpdateWrapper:
        """Return the wrappers that these values need around the update."""
        low, high = self.bounds or (None, None)
        return UpdateWrapper(
            cautious=self.cautious,
            decouples=self.wraps_decay and self.λ > 0,
            has_low=low is not None,
            has_high=high is not None,
            lookahead=self.lookahead is not None,
            synchronizes=variant == "synchronize",
            averages=self.ema is not None,
            accumulates=self.accumulate > 1,
        )

    @property
    def wraps_decay(self) -> bool:
        """True if a wrapper decouples the decay, because `update` does not know `decoupled`."""
        return "decoupled" in type(self).model_fields and self.decoupled and "decoupled" not in self.options

    def wrapper_coefficients(
        self, time: Time, dtype: "np.dtype[Any]", scalars: Mapping[str, float]
    ) -> dict[str, float]:
        """Return the scalars of the wrappers for one update of arrays of a dtype, as `coefficients` does."""
        values: dict[str, float] = {}
        if self.wraps_decay:
            values[wrapping.DECAY] = self.decay_at(self.learning_rate_at(time))
        if self.bounds is not None:
            values[wrapping.LOW], values[wrapping.HIGH] = rounded_bounds(self.bounds, dtype)
        if self.lookahead is not None:
            values[wrapping.SLOW_STEP] = self.lookahead.slow_step
        if self.ema is not None:
            values[wrapping.KEEP] = self.ema.decay if self.ema.corrected or time.update > 1 else 0.0
        if wrapping.START_SHARE in scalars:
            values[wrapping.START_SHARE] = scalars[wrapping.START_SHARE] * values[wrapping.KEEP]
        return values

    def variant(self, time: Time, scalars: Mapping[str, float]) -> Variant:
        """Return the program that a call needs, by its counters.

        Returns:
            `begin` or `add` where a gradient is only stored for a later mean; `synchronize` for an update at which the
            slow weights of lookahead move; else `update`.
        """
        if self.accumulate > 1 and scalars[wrapping.ACCUMULATED] < self.accumulate - 1:
            return "add" if scalars[wrapping.ACCUMULATED] else "begin"
        return "synchronize" if self.lookahead is not None and time.update % self.lookahead.period == 0 else "update"

    def decay_at(self, η: float) -> float:
        """Return the factor of the weight in decoupled decay at a learning rate: `-η·λ`, or `-η·λ·(η/ηmax)`."""
        decay = -η * self.λ
        return decay * self._fraction_left(η) if self.corrects_decay and η > 0 else decay

    def corrected_λ(self, η: float) -> float:
        """Return λ at a learning rate: λ itself, or `λ·(η/ηmax)`."""
        return self.λ * self._fraction_left(η) if self.corrects_decay and η > 0 else self.λ

    def _fraction_left(self, η: float) -> float:
        return η / self.peak_learning_rate()

    def slot_starts(self) -> Mapping[str, float | Literal["W"]]:
        """Return the first value of each slot that does not start at 0: a number, or `W` for a copy of the weight."""
        return {}

    def slot_shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Return the shape of each slot of a weight of this shape; by default, that of the weight."""
        return (shape,) * len(self.active_slots())

    def is_idle(self, time: Time) -> bool:
        """Return True if an update at a time must change nothing and is not counted."""
        return False

    def initial_scalars(self) -> dict[str, float]:
        """Return the first value of each scalar slot."""
        return dict(self.scalar_slots)

    def for_vectors(self) -> "Rule":
        """Return the rule that parameters of fewer than two axes get; by default, this rule."""
        return self

    def with_settings(self, group: Group) -> "Rule":
        """Return the rule of the parameters of a group: this one with other values, or one of its own kind.

        A schedule of a number that the group sets starts at the group's value; a value of 0 ends the schedule.
        """
        return apply_group(self, group)

    def for_run(self, epochs: int, batches: int | Fraction) -> Self:
        """Return the rule with the lengths of its schedules resolved for a run.

        Args:
            epochs: the number of epochs.
            batches: the number of batches in an epoch.

        Raises:
            ConfigError: a warm-up takes the whole run.
        """
        changed: dict[str, Any] = {}
        batches = self.updates_in(batches)
        if self.η_sched is not None and self.η_sched.needs_run:
            changed["η_sched"] = self.η_sched.for_run(epochs, batches)
        if any(each.needs_run for each in self.schedules.values()):
            changed["schedules"] = {
                path: each.for_run(epochs, batches, f"optimizer.schedules.{path}") if each.needs_run else each
                for path, each in self.schedules.items()
            }
        if any(each.needs_run for group in self.groups.values() for each in group.all_schedules().values()):
            changed["groups"] = {selector: each.for_run(epochs, batches) for selector, each in self.groups.items()}
        return self.model_copy(update=changed) if changed else self

    @property
    def can_start_at_zero(self) -> bool:
        """True if the rule and those of its groups are built in and move weights of 0 like others.

        >>> import mxtrain
        >>> [rule.can_start_at_zero for rule in (mxtrain.Adam(), mxtrain.LAMB(), mxtrain.Adam(agc={"clipping": 0.1}))]
        [True, False, False]
        """
        rules = (self, *(group.rule for group in self.groups.values() if group.rule is not None))
        has_agc = self.agc is not None or any(group.values.get("agc") is not None for group in self.groups.values())
        is_built_in = all(type(rule).__module__.startswith("mxtrain.") for rule in rules)
        return (
            is_built_in and not has_agc and not any(rule.holds_zero_weights or rule.agc is not None for rule in rules)
        )

    def updates_in(self, batches: int | Fraction) -> int | Fraction:
        """Return the number of updates in a number of batches: a fraction if `accumulate` does not divide it."""
        return batches if self.accumulate == 1 else Fraction(batches, self.accumulate)

    def all_schedules(self) -> dict[str, LearningRateSchedule]:
        """Return the schedules of the rule and of its groups except those of momentum, by the path of their field."""
        rate = {} if self.η_sched is None else {"η_sched": self.η_sched}
        own = rate | {f"schedules.{path}": each for path, each in self.schedules.items()}
        groups = ((selector, group.all_schedules()) for selector, group in self.groups.items())
        return own | {f"groups.{name}.{path}": each for name, found in groups for path, each in found.items()}

    def at(self, time: Time) -> Self:
        """Return the rule with its scheduled numbers at a time; itself if only η and μ have schedules.

        Raises:
            ScheduleError: a value is out of the bounds of its number.
        """
        return rule_at(self, time) if self.has_scheduled_numbers else self

    @property
    def has_scheduled_numbers(self) -> bool:
        """True if numbers besides η and those of `μ_sched` have schedules."""
        return bool(self.schedules) or (self.η_sched is not None and is_scheduled(self))

    def with_largest_numbers(self) -> Self:
        """Return the rule whose scheduled numbers have their largest values, which choose the program and the slots."""
        return with_largest_numbers(self)

    def group_of(self, name: str, shape: Shape | None = None) -> str | None:
        """Return the selector that decides for a parameter, the first that fits; None if none does."""
        return group_of(self, name, shape)

    def unused_groups(self, params: Mapping[str, Shape | None] | Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield the selectors that decide for none of these parameters, each with the reason.

        Args:
            params: the names of the parameters, with their shapes if these are known.
        """
        return unused_groups(self, params)

    @property
    def gradient_stage(self) -> GradientStage:
        """Steps of the gradient stage that these values need."""
        low, high = self.bounds or (None, None)
        return GradientStage(
            scales=self.scale != 0 or self.clip_norm is not None,
            clips=self.clip > 0,
            decays=self.λ > 0 and not self.decouples_decay(),
            averages=self.accumulate > 1 and self.agc is None,  # adaptive clipping computes the mean before
            has_low=low is not None,
            has_high=high is not None,
        )

    def program(self, variant: Variant = "update") -> AnyProgram:
        """Return the traced program of one call with these slots, options, gradient stage and wrappers."""
        if variant in ("begin", "add"):
            return accumulation_program(variant)
        options = tuple((name, getattr(self, name)) for name in self.options)
        update = self.update_function()
        unknown = [name for name in self.computed_scalars if name not in self.initial_scalars()]
        if unknown:
            raise TraceError(f"computed_scalars of {self.kind} names {unknown[0]}, which is not in scalar_slots")
        if self.evaluation_slot is not None and self.evaluation_slot not in self.active_slots():
            raise TraceError(f"evaluation_slot of {self.kind} is {self.evaluation_slot!r}, which is not in its slots")
        return update_program(
            self.kind,
            update,
            self.active_slots(),
            self.gradient_stage,
            options,
            self.computed_scalars,
            self.wrapper(variant),
        )

    def stored_options(self) -> dict[str, Any]:
        """Return the values that give the slots their meaning, by the name of their field."""
        names = self.state_options if self.active_slots() else ()
        options = {name: getattr(self, name) for name in names}
        return options if self.ema is None else options | {"ema.corrected": self.ema.corrected}

    def update_function(self) -> Callable[..., tuple[Any, ...]]:
        """Return the function that is traced; by default, `update`."""
        return type(self).update

    def evaluation_weights(self) -> str | None:
        """Return the slot with the weights to evaluate, of a wrapper or of the rule; None if these are W."""
        if self.ema is not None:
            return wrapping.AVERAGE
        return wrapping.SLOW if self.lookahead is not None else self.evaluation_slot

    def learning_rate_at(self, time: Time) -> float:
        """Return η at a time: the value of the schedule, or the fixed value without a schedule."""
        if self.η_sched is None:
            return self.η
        if not self.η_sched.has_known_values:
            return scheduled_value("η_sched", self.η_sched, NON_NEGATIVE, self.η, time)
        return self.η_sched.value_at(time, self.η)

    def peak_learning_rate(self) -> float:
        """Return the largest η of the schedule, or the fixed value without a schedule."""
        if self.η_sched is None:
            return self.η
        highest = self.η_sched.highest(self.η)
        return highest if highest < float("inf") else self.η

    def momentum_at(self, iteration: int) -> float | None:
        """Return μ at an iteration, which is 1 at the first; None for a rule without momentum."""
        return None

    @property
    def learning_rate(self) -> ScheduledValue:
        """η; called with a time, the result of `learning_rate_at`."""
        return ScheduledValue(self.η, self.learning_rate_at)

    @property
    def momentum(self) -> ScheduledValue:
        """μ, for a rule that has it; called with an iteration, the result of `momentum_at`."""
        return ScheduledValue(getattr(self, "μ"), self.momentum_at)  # noqa: B009 - only some rules have it
