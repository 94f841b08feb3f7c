"""Base class of rules that update whole arrays."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, ClassVar, Self

from pydantic import model_validator

from mxtrain.optim.groups.group import STEP_FIELDS, Group
from mxtrain.optim.ir import AnyProgram, Variant, accumulation_program, matrix_program
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.wrappers import WRAPPER_FIELDS
from mxtrain.optim.schedules import LearningRateSchedule
from mxtrain.types import field_error

_OUTER_FIELDS = ("scale", "clip", *STEP_FIELDS)
"""Fields that the rule shares with the one in `otherwise`."""


class MatrixRule(Rule):
    """Update rule of arrays with two or more axes, written with matrix products and sums along axes.

    In place of `update` it has `update_matrix`, which gets whole arrays of NumPy or CuPy and changes them in place.
    Backends give it a `MatrixOperations`, whose results on NumPy arrays have the same bits with and without compiled
    code, for any number of threads. CPU and GPU may differ in the last bits.

    An array of fewer than two axes gets the rule that `for_vectors` returns. A subclass may have a field `otherwise`
    for it: that rule has its own fields, but `scale`, `clip`, `groups` and those of whole steps are those of this rule,
    and so are `η_sched` and the wrappers that it does not set.
    """

    slots_have_weight_shape: ClassVar[bool] = False

    update_matrix: ClassVar[Callable[..., None]]
    """`update_matrix(W, g, *slots, *, operations, coefficient…)` updates W and the slots in place, but not g."""

    arrays_moved: ClassVar[int]
    """Number of times that an update reads or writes an array of the size of the weight, apart from its products."""

    @model_validator(mode="after")
    def _check_otherwise(self) -> Self:
        otherwise = self._otherwise()
        for name in _OUTER_FIELDS if otherwise is not None else ():
            if getattr(otherwise, name) != Rule.model_fields[name].default:
                raise field_error(
                    f"otherwise.{name}",
                    f"cannot be set here; {name} of {self.kind} applies to all parameters; set it there",
                )
        return self

    def _otherwise(self) -> Rule | None:
        otherwise: Rule | None = self.__dict__.get("otherwise")
        return otherwise

    def program(self, variant: Variant = "update") -> AnyProgram:
        """Return the program of one call with these options, gradient stage and wrappers."""
        if variant in ("begin", "add"):
            return accumulation_program(variant)
        options = tuple((name, getattr(self, name)) for name in self.options)
        update = type(self).update_matrix
        return matrix_program(
            self.kind, update, self.active_slots(), self.gradient_stage, options, self.wrapper(variant)
        )

    def matrix_products(self, shape: tuple[int, int]) -> list[tuple[int, int, int]]:
        """Return the sizes (m, k, n) of the matrix products of an update of a weight of this shape."""
        return []

    def for_vectors(self) -> Rule:
        """Return the rule that parameters of fewer than two axes get."""
        otherwise = self._otherwise()
        if otherwise is None:
            return self
        settings: dict[str, Any] = {name: getattr(self, name) for name in ("scale", "clip", *STEP_FIELDS)}
        settings |= {"groups": {}, "groups_required": False}
        settings |= {name: getattr(self, name) for name in WRAPPER_FIELDS if not getattr(otherwise, name)}
        if otherwise.η_sched is None and self.η_sched is not None:
            settings["η_sched"] = self.η_sched.model_copy(update={"η": None})  # its base value is the η of `otherwise`
        if "clip" in self.schedules:
            settings["schedules"] = otherwise.schedules | {"clip": self.schedules["clip"]}
        return otherwise.model_copy(update=settings).for_vectors()

    def with_settings(self, group: Group) -> Rule:
        """Return the rule of the parameters of a group, whose η and λ apply to `otherwise` too."""
        rule, otherwise = super().with_settings(group), self._otherwise()
        if otherwise is None or group.rule is not None or "otherwise" in group.values:
            return rule
        inner = Group({name: group.values[name] for name in ("η", "λ") if name in group.values})
        return rule.model_copy(update={"otherwise": otherwise.with_settings(inner)})

    def for_run(self, epochs: int, batches: int | Fraction) -> Self:
        """Return the rule with the length of its schedules resolved for a run."""
        rule, otherwise = super().for_run(epochs, batches), self._otherwise()
        if otherwise is None:
            return rule
        return rule.model_copy(update={"otherwise": otherwise.for_run(epochs, self.updates_in(batches))})

    def all_schedules(self) -> dict[str, LearningRateSchedule]:
        """Return the schedules of the rule and of `otherwise` except those of momentum, by the path of their field."""
        otherwise = self._otherwise()
        inner = {} if otherwise is None else otherwise.all_schedules()
        return super().all_schedules() | {f"otherwise.{path}": schedule for path, schedule in inner.items()}
