"""Base class of all schedules."""

from abc import ABC, abstractmethod

from mxtrain.types import Config


class Schedule(Config, ABC):
    """A pure function of time. It holds no counter, so a resumed run continues exactly.

    Where a schedule's base value, the one that it starts from, is left out, the optimizer hands its own over.
    """

    @abstractmethod
    def value(self, t: float, base: float | None = None) -> float:
        """The scheduled value at time `t`; `base` stands in where the schedule's own base value is left out."""


def base_value(schedule: Schedule, field: str, default: float | None) -> float:
    """The value that a schedule starts from: its own field's, or else the one handed over.

    Raises:
        ValueError: there is neither.
    """
    own: float | None = getattr(schedule, field)
    if own is not None:
        return own
    if default is None:
        name = type(schedule).__name__
        raise ValueError(
            f"{name}.value needs a base value: give the schedule its {field}, as in {name}({field}=0.1), "
            "or call value(t, base)"
        )
    return default
