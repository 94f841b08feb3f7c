"""Base class of update rules: shared fields, parameter groups, the learning-rate schedule and the gradient stage."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self

from pydantic import ModelWrapValidatorHandler, model_validator

from mxtrain.errors import TraceError
from mxtrain.optim.groups.group import Group, apply_group, group_of, unused_groups
from mxtrain.optim.groups.selectors import Shape
from mxtrain.optim.groups.validation import validate_with_groups
from mxtrain.optim.ir import AnyProgram, GradientStage, update_program
from mxtrain.optim.schedules import LearningRateSchedule
from mxtrain.types import SMALLEST_NORMAL, Config, Finite, NonNegative, Positive, field_error


class Time(NamedTuple):
    """Time of an update.

    Args:
        update: the number of this update of this array, 1 at the first.
        iteration: the current iteration, 1 during the first.
        epochs: finished epochs, 0 during the first.
    """

    update: int
    iteration: int
    epochs: int = 0


class ScheduledValue(float):
    """A number that can also be called with a time, for its scheduled value.

    `learning_rate` and `momentum` are names of the fields η and μ, and were methods of rules in earlier versions.
    """

    _value_at: Callable[[Any], float | None]

    def __new__(cls, value: float, value_at: Callable[[Any], float | None]) -> Self:
        """Store the function from a time to the scheduled value."""
        self = super().__new__(cls, value)
        self._value_at = value_at
        return self

    def __call__(self, time: Any) -> float | None:
        """Return the scheduled value."""
        return self._value_at(time)

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        return float, (float(self),)


class Rule(Config, ABC):
    """Update rule: its validated config, and its arithmetic, written once.

    A rule consists of data and two functions. `coefficients` is evaluated on the host in float64, once per update;
    `update` describes one element, and is traced into the program that every backend runs.

    Args:
        η: learning rate, above 0.
        λ: weight decay, at least 0: `λ·W` is added to the gradient, except by rules with decoupled decay.
        clip: bound on each element of the gradient, at least 0; 0 means no clipping.
        scale: factor of the gradient, any finite number; 0 means unset, and `fit` sets it to `1/batch_size`, or to one
            over the number of training samples if there are fewer.
        η_sched: learning-rate schedule; if set, it overrides the fixed η.
        groups: settings or rules of parameter groups, by selectors: patterns of parameter names, such as `b*`, or
            comparisons, such as `ndim < 2`; the first that fits a parameter holds.
        groups_required: refuse parameters that no group takes.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    """Names of the arrays that are stored for each weight, of its dtype and shape; zeros at first (`slot_starts`)."""
    scalar_slots: ClassVar[Mapping[str, float]] = {}
    """Names and first values of the numbers that are stored for each weight."""
    computed_scalars: ClassVar[tuple[str, ...]] = ()
    """Names of the scalar slots that `update` computes, after the slots; `coefficients` computes the others."""
    options: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that `update` gets as plain values, to branch on; each choice is a program of its own."""
    decoupled: ClassVar[bool]
    """True, or a field that is true, if `update` decays the weight itself; the gradient stage then ignores λ."""
    overflow_bounds: ClassVar[Literal["gradient", "all", "none"]] = "all"
    """Values whose size bounds that of the slots, so that `on_nonfinite` need not try every step on copies.

    - `gradient`: the gradient, which the slots average or square; weights enter only as `λ·W`.
    - `all`: the gradient, the weights and the slots, any of which `update` may square; the safe choice.
    - `none`: no bound holds, as where η multiplies what a slot adds up; every step is tried on copies.
    """
    slots_have_weight_shape: ClassVar[bool] = True
    """True if every slot has the shape of its weight; otherwise `slot_shapes` returns the shapes."""
    evaluation_slot: ClassVar[str | None] = None
    """Name of the slot with the weights to evaluate; None if these are the trained weights."""

    hidden_defaults: ClassVar[tuple[str, ...]] = ("groups_required",)

    kind: str
    η: Positive
    λ: NonNegative
    clip: NonNegative = 0.0
    scale: Finite = 0.0
    η_sched: LearningRateSchedule | None = None
    groups: dict[str, Group] = {}
    groups_required: bool = False

    update: ClassVar[Callable[..., tuple[Any, ...]]]
    """`update(W, g, *slots, *, coefficient…)` returns the new W, the new slots and the computed scalars, in that order.

    Keyword-only parameters are coefficients, fields, options or computed scalars, by their names.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _validate_groups(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return validate_with_groups(cls, data, handler)

    @model_validator(mode="after")
    def _check_clip_is_normal(self) -> Self:
        # Backends may return either of two zeros of different sign, so no bound may be rounded to zero.
        if 0 < self.clip < SMALLEST_NORMAL:
            raise field_error(
                "clip", f"must be 0 or at least {SMALLEST_NORMAL}, the smallest normal float32, got {self.clip}"
            )
        return self

    @abstractmethod
    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """Return the scalars of one update, in float64; the name of a scalar slot gives its new value."""

    def active_slots(self) -> tuple[str, ...]:
        """Return the names of the slots that the rule needs with these values."""
        return self.slots

    def slot_starts(self) -> Mapping[str, float | Literal["W"]]:
        """Return the first value of each slot that does not start at 0: a number, or `W` for a copy of the weight."""
        return {}

    def decouples_decay(self) -> bool:
        """Return True if `update` decays the weight itself."""
        return bool(getattr(type(self), "decoupled", False) or self.__dict__.get("decoupled", False))

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
        """Return the rule of the parameters of a group: this one with other values, or one of its own kind."""
        return apply_group(self, group)

    def for_run(self, epochs: int, batches: int) -> Self:
        """Return the rule with the length of its schedule resolved for a run.

        Args:
            epochs: the number of epochs.
            batches: the number of batches in an epoch.

        Raises:
            ConfigError: the warm-up takes the whole run.
        """
        if all(schedule.run_length is None for schedule in self.schedules().values()):
            return self
        return self.model_copy(
            update={
                "η_sched": self.η_sched and self.η_sched.for_run(epochs, batches),
                "groups": {selector: group.for_run(epochs, batches) for selector, group in self.groups.items()},
            }
        )

    def schedules(self) -> dict[str, LearningRateSchedule]:
        """Return the learning-rate schedules of the rule and of its groups, by the path of their field."""
        own = {} if self.η_sched is None else {"η_sched": self.η_sched}
        groups = ((selector, group.schedules()) for selector, group in self.groups.items())
        return own | {f"groups.{name}.{path}": each for name, found in groups for path, each in found.items()}

    def group_of(self, name: str, shape: Shape | None = None) -> str | None:
        """Return the selector that decides for a parameter, the first that fits; None if none does."""
        return group_of(self, name, shape)

    def unused_groups(self, params: Mapping[str, Shape | None] | Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield the selectors that decide for none of these parameters, each with the reason.

        Args:
            params: the names of the parameters, with their shapes if these are known.
        """
        return unused_groups(self, params)

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Restore a pickle; fields that it lacks, because an earlier version had no such option, get their defaults."""
        fields = type(self).model_fields.items()
        defaults = {name: field.get_default() for name, field in fields if not field.is_required()}
        super().__setstate__(state | {"__dict__": defaults | state["__dict__"]})

    def __hash__(self) -> int:
        return hash((type(self), *(self.__dict__ | {"groups": frozenset(self.groups.items())}).values()))

    @property
    def gradient_stage(self) -> GradientStage:
        """Steps of the gradient stage that these values need."""
        return GradientStage(
            scales=self.scale != 0, clips=self.clip > 0, decays=self.λ > 0 and not self.decouples_decay()
        )

    def program(self) -> AnyProgram:
        """Return the traced program of one update with these slots, options and this gradient stage."""
        options = tuple((name, getattr(self, name)) for name in self.options)
        update = type(self).update
        unknown = [name for name in self.computed_scalars if name not in self.initial_scalars()]
        if unknown:
            raise TraceError(f"computed_scalars of {self.kind} names {unknown[0]}, which is not in scalar_slots")
        if self.evaluation_slot is not None and self.evaluation_slot not in self.active_slots():
            raise TraceError(f"evaluation_slot of {self.kind} is {self.evaluation_slot!r}, which is not in its slots")
        return update_program(
            self.kind, update, self.active_slots(), self.gradient_stage, options, self.computed_scalars
        )

    def learning_rate_at(self, time: Time) -> float:
        """Return η at a time: the value of the schedule, or the fixed value without a schedule."""
        if self.η_sched is None:
            return self.η
        finished = time.epochs if self.η_sched.per == "epoch" else time.iteration - 1
        return self.η_sched.value(finished, self.η)

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
