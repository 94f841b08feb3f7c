"""Several schedules, one after another."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.kinds import KindChoice
from mxtrain.optim.schedules.decays import DECAYS, check_increasing
from mxtrain.optim.schedules.function import Function
from mxtrain.optim.schedules.lengths import LaterTime
from mxtrain.optim.schedules.one_cycle import OneCycle
from mxtrain.optim.schedules.plateau import Plateau
from mxtrain.optim.schedules.rate_schedule import RateSchedule
from mxtrain.optim.schedules.shapes import SHAPES
from mxtrain.types import ListAsTuple, field_error

if TYPE_CHECKING:
    PartSchedule: TypeAlias = RateSchedule
else:

    class PartSchedule(KindChoice):
        """Any schedule that can be a part of a join."""

        base = RateSchedule
        builtin = (*DECAYS, *SHAPES)
        excluded = (OneCycle, Plateau, Function)


class Join(RateSchedule):
    """Several schedules, one after another, each of which counts time from its own start.

    In a part, `T: run` is the length of the part, and in the last part what is left of the run, without its warm-up.

    Args:
        η: learning rate of parts without an η of their own; the default is that of the optimizer.
        parts: two or more schedules of other kinds than `join`, `one_cycle` and `plateau`. They count in the unit of
            the join.
        boundaries: the time at which each part except the first begins, increasing, counted from the end of the warm-up
            of the join.
        per, warmup: as for every schedule.

    Example:
        >>> parts = [{"kind": "linear", "T": 2, "end": 0.2}, {"kind": "exp", "η": 0.2, "γ": 0.5}]
        >>> [round(Join(η=0.1, parts=parts, boundaries=[2]).value(t), 3) for t in range(5)]
        [0.1, 0.15, 0.2, 0.1, 0.05]

    Source: `optax.join_schedules`; `torch.optim.lr_scheduler.SequentialLR`.
    """

    has_known_values: ClassVar = True
    kind: Literal["join"] = "join"
    parts: Annotated[tuple[PartSchedule, ...], ListAsTuple, Field(min_length=2)]
    boundaries: Annotated[tuple[LaterTime, ...], ListAsTuple]

    @model_validator(mode="before")
    @classmethod
    def _pass_on_the_unit(cls, data: Any) -> Any:
        """Give each part without a unit that of the join, because its times are checked in its own unit."""
        if not isinstance(data, Mapping) or not isinstance(data.get("parts"), list | tuple):
            return data
        per = data.get("per", "epoch")
        parts = [
            {"kind": part.get("kind"), "per": per, **part} if isinstance(part, Mapping) and "kind" in part else part
            for part in data["parts"]
        ]
        return {**data, "parts": parts}

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        check_increasing("boundaries", self.boundaries, "boundary")
        if len(self.boundaries) != len(self.parts) - 1:
            wanted = f"must have one item less than the {len(self.parts)} parts"
            raise field_error("boundaries", f"{wanted}, got {len(self.boundaries)}")
        for i, part in enumerate(self.parts):
            if part.per != self.per:
                raise field_error(f"parts.{i}.per", f"must be {self.per}, as in the join, got {part.per}; remove it")
        return self

    @property
    def run_length(self) -> str | None:
        """The first length in a part that depends on that of the run; None if there is none."""
        return next(filter(None, (part.run_length for part in self.parts)), None) or super().run_length

    def run_problem(self) -> ConfigProblem | None:
        """Return the problem of the first part that needs a run, where there is none."""
        if self.needs_run and self.per != "fraction":
            for i, part in enumerate(self.parts):
                problem = part.run_problem()
                if problem is not None:
                    return ConfigProblem(f"parts.{i}.{problem.path}", problem.message)
        return super().run_problem()

    def _for_length(self, left: float, iterations: int, path: str) -> Self:
        starts, ends = (0, *self.boundaries), (*self.boundaries, left)
        if self.boundaries[-1] >= left:
            last = len(self.boundaries) - 1
            message = f"must be below {left}, which is left of the run, as T is {self.run_length}, got {ends[last]}"
            raise ConfigError([ConfigProblem(f"{path}.boundaries.{last}", message)])
        parts = (
            part.for_length(end - start, iterations, f"{path}.parts.{i}", f"the length of the part, {end - start}")
            for i, (part, start, end) in enumerate(zip(self.parts, starts, ends, strict=True))
        )
        return self.model_copy(update={"parts": tuple(parts)})

    def after_warmup(self, η: float, t: float) -> float:
        """Return the value of the part at this time."""
        i = bisect_right(self.boundaries, t)
        return self.parts[i].value(t - self.boundaries[i - 1] if i else t, η)

    def extremes_after_warmup(self, η: float) -> Iterator[tuple[str, float]]:
        """Yield the extreme values of all parts."""
        for i, part in enumerate(self.parts):
            for name, value in part.extreme_values(η):
                yield (name if name == "η" and part.η is None else f"parts.{i}.{name}"), value
