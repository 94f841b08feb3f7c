"""Base class of all schedules."""

from abc import ABC, abstractmethod
from typing import Any

from mxtrain.types import Config


class Schedule(Config, ABC):
    """Pure function of time. It has no counter, so a resumed run continues exactly.

    If a schedule has no base value of its own, the value of the optimizer is used.
    """

    @abstractmethod
    def value(self, t: float, base: float | None = None) -> float:
        """Return the scheduled value at time `t`; `base` is used if the schedule has no base value of its own."""

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Restore a pickle; fields that it lacks, because an earlier version had no such option, get their defaults."""
        fields = type(self).model_fields.items()
        defaults = {name: field.get_default() for name, field in fields if not field.is_required()}
        super().__setstate__(state | {"__dict__": defaults | state["__dict__"]})
        if state.get("__pydantic_private__") is None:
            self.model_post_init(None)


def base_value(schedule: Schedule, field: str, default: float | None) -> float:
    """Return the base value of a schedule: the value of its field, or the default.

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
