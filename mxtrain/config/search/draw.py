"""Who draws values: a sampler, or what was drawn before."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Plain = None | bool | int | float | str
"""What a sampler draws, and a study stores."""


class Draw(Protocol):
    """Who draws: Optuna's `Trial` is one."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number between two bounds."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number between two bounds."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of several values."""


class Replay:
    """Draws what was drawn before."""

    def __init__(self, drawn: Mapping[str, Any]) -> None:
        self.drawn = drawn

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> Any:
        """A number between two bounds."""
        return self.drawn[name]

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> Any:
        """A whole number between two bounds."""
        return self.drawn[name]

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of several values."""
        return self.drawn[name]
