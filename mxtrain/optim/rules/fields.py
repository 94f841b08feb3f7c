"""Fields of every rule, and their validation and output."""

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from mxtrain.optim.groups.group import STEP_FIELDS, Group
from mxtrain.optim.rules.scheduled import check_schedules
from mxtrain.optim.rules.wrappers import AGC, EMA, WRAPPER_FIELDS, Box, Lookahead
from mxtrain.optim.schedules import LearningRateSchedule
from mxtrain.optim.schedules.paths import canonical_schedules
from mxtrain.types import (
    LARGEST_FLOAT32,
    SMALLEST_NORMAL,
    Config,
    Finite,
    NonNegative,
    Positive,
    PositiveInt,
    field_error,
)


class RuleFields(Config):
    """Fields of every rule.

    Args:
        η: learning rate, above 0.
        λ: weight decay, at least 0: `λ·W` is added to the gradient, except by rules with decoupled decay.
        clip: bound on each element of the gradient, at least 0; 0 means no clipping.
        scale: factor of the gradient, any finite number; 0 means unset, and `fit` sets it to `1/batch_size`, or to one
            over the number of training samples if there are fewer.
        η_sched: learning-rate schedule; if set, it overrides the fixed η.
        schedules: schedules of other numbers of the rule, by their names, such as `β2` or `λ`; they start at the value
            of the field.
        groups: settings or rules of parameter groups, by selectors: patterns of parameter names, such as `b*`, or
            comparisons, such as `ndim < 2`; the first that fits a parameter holds.
        groups_required: refuse parameters that no group takes.
        cautious: leave out the elements of a step whose sign agrees with that of the gradient.
        agc: adaptive gradient clipping: bound the norm of each column of the gradient by that of the weights.
        lookahead: slow weights that follow the trained weights every few updates.
        ema: an exponential moving average of the weights, for evaluation.
        bounds: lower and upper bound of every weight, as `[low, high]`; null means none.
        master: keep a float32 copy of float16 and bfloat16 weights in the state, from which they are rounded.
        row_updates: counts of `step` with `rows` from which bias corrections are computed: `step` counts the updates of
            the parameter, `own` those of each row.
        decoupled: subtract `η·λ` times the weight, in place of adding `λ·W` to the gradient.
        corrected: multiply decoupled decay by `η/ηmax`, the fraction of the largest η that the schedule has left.
        clip_norm: bound on the norm of the scaled gradient over all parameters, above 0; null means none.
        skip_nonfinite: skip and count a step in which a gradient is not finite.
        accumulate: number of gradients whose mean one update uses, at least 1.
    """

    hidden_defaults: ClassVar[tuple[str, ...]] = ("schedules", "groups_required")

    if TYPE_CHECKING:  # a field of rules with coupled decay, a class variable of others
        decoupled: ClassVar[bool]
        """True if `update` decays the weight itself; the gradient stage then ignores λ."""
        corrected: ClassVar[bool]
        """A field, except in rules whose decay has no part of its own in `update`."""

    kind: str
    η: Positive
    λ: NonNegative
    clip: NonNegative = 0.0
    scale: Finite = 0.0
    η_sched: LearningRateSchedule | None = None
    schedules: dict[str, LearningRateSchedule] = {}
    groups: dict[str, Group] = {}
    groups_required: bool = False
    cautious: bool = False
    agc: AGC | None = None
    lookahead: Lookahead | None = None
    ema: EMA | None = None
    bounds: Box | None = None
    master: bool = False
    row_updates: Literal["step", "own"] = "step"
    if not TYPE_CHECKING:
        decoupled: bool = False
        corrected: bool = False
    clip_norm: Positive | None = None
    skip_nonfinite: bool = False
    accumulate: PositiveInt = 1

    @field_validator("schedules", mode="before")
    @classmethod
    def _canonical_paths(cls, data: Any) -> Any:
        return canonical_schedules(data, cls.model_fields)

    @model_validator(mode="after")
    def _check_schedules(self) -> Self:
        check_schedules(self)
        return self

    @model_validator(mode="after")
    def _check_clip_is_normal(self) -> Self:
        # Backends may return either of two zeros of different sign, so no bound may be rounded to zero.
        if 0 < self.clip < SMALLEST_NORMAL:
            raise field_error(
                "clip", f"must be 0 or at least {SMALLEST_NORMAL}, the smallest normal float32, got {self.clip}"
            )
        return self

    @model_validator(mode="after")
    def _check_wrappers(self) -> Self:
        if self.bounds is not None:
            low, high = self.bounds
            if low is None and high is None:
                raise field_error("bounds", "must have a lower or an upper bound, got [null, null]; omit it for none")
            if low is not None and high is not None and low > high:
                raise field_error("bounds", f"the lower bound must be at most the upper one, got {[low, high]}")
            if (low or 0) > LARGEST_FLOAT32 or (high or 0) < -LARGEST_FLOAT32:
                raise field_error(
                    "bounds", f"must have float32 numbers between them, which end at 3.4e+38, got {[low, high]}"
                )
        if "corrected" in type(self).model_fields and self.corrects_decay and not self.decouples_decay():
            raise field_error(
                "corrected", "applies to decoupled decay, and that of this rule is coupled; set decoupled: true"
            )
        return self

    @property
    def corrects_decay(self) -> bool:
        """True if decoupled decay is multiplied by `η/ηmax`."""
        return self.corrected

    def decouples_decay(self) -> bool:
        """Return True if `update` decays the weight itself."""
        return bool(getattr(type(self), "decoupled", False) or self.__dict__.get("decoupled", False))

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Restore a pickle; fields that it lacks, because an earlier version had no such option, get their defaults."""
        fields = type(self).model_fields.items()
        defaults = {name: field.get_default() for name, field in fields if not field.is_required()}
        super().__setstate__(state | {"__dict__": defaults | state["__dict__"]})

    def __hash__(self) -> int:
        values = (frozenset(value.items()) if isinstance(value, dict) else value for value in self.__dict__.values())
        return hash((type(self), *values))

    @classmethod
    def listed_fields(cls) -> tuple[str, ...]:
        """Return the names of the fields that a message lists: without the wrappers of every rule."""
        unlisted = [name for name in (*_WRAPPERS, *cls.hidden_defaults) if not _declares(cls, name)]
        return tuple(name for name in cls.model_fields if name not in unlisted)

    def to_dict(self) -> dict[str, Any]:
        """Return every field as plain values, without wrappers that are off."""
        return {name: value for name, value in super().to_dict().items() if not self._is_off(name)}

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        return ((name, value) for name, value in super().__repr_args__() if name is None or not self._is_off(name))

    def _is_off(self, name: str) -> bool:
        """Return True for a wrapper, of every rule, that has its default value."""
        fields = type(self).model_fields
        is_wrapper = name in _WRAPPERS and name in fields and not _declares(type(self), name)
        return is_wrapper and getattr(self, name) == fields[name].default


_WRAPPERS = (*WRAPPER_FIELDS, "decoupled", "corrected", *(name for name in STEP_FIELDS if "groups" not in name))


def _declares(rule: type[RuleFields], field: str) -> bool:
    """Return True if a rule has a field of its own with a name that every rule has."""
    classes = (each for each in rule.__mro__ if issubclass(each, RuleFields) and each is not RuleFields)
    return any(field in inspect.get_annotations(each) for each in classes)
