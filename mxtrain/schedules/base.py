"""What every schedule has in common."""

from abc import ABC, abstractmethod
from typing import ClassVar

from mxtrain.types import Config


class Schedule(Config, ABC):
    """A pure function of time. It holds no counter, so a resumed run continues exactly.

    `base` names the field with the value that the schedule starts from. Where that field is left out, the optimizer
    that holds the schedule hands its own value over.
    """

    base: ClassVar[str]

    @abstractmethod
    def value(self, t: float, base: float | None = None) -> float:
        """The scheduled value at time `t`; `base` stands in where the schedule's own base value is left out."""

    def base_value(self, base: float | None) -> float:
        """The schedule's own base value, or else the one handed over."""
        own: float | None = getattr(self, self.base)
        if own is not None:
            return own
        if base is None:
            raise ValueError(
                f"{type(self).__name__}.value needs a base value: give the schedule its {self.base}, "
                f"as in {type(self).__name__}({self.base}=0.1), or call value(t, base)"
            )
        return base
