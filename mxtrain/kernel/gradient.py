"""The gradient stage: what every rule does to a gradient first, in this order."""

from dataclasses import dataclass
from typing import Any

from mxtrain.kernel.symbols import maximum, minimum


@dataclass(frozen=True, slots=True)
class GradientStage:
    """Which of the three steps a config asks for; they are part of the traced program, their values are not.

    1. `scale ≠ 0`: `g ← scale·g`
    2. `clip > 0`: `g ← min(max(g, -clip), clip)`
    3. `λ > 0`: `g ← g + λ·W`, unless the rule decouples the decay from the gradient
    """

    scales: bool
    clips: bool
    decays: bool

    @property
    def scalars(self) -> tuple[str, ...]:
        """The coefficients that the stage needs."""
        wanted = {"scale": self.scales, "clip": self.clips, "λ": self.decays}
        return tuple(name for name, is_wanted in wanted.items() if is_wanted)

    def apply(self, W: Any, g: Any, *, scale: Any = None, clip: Any = None, λ: Any = None) -> Any:
        """The gradient as the rule sees it; for symbols and for arrays."""
        if self.scales:
            g = scale * g
        if self.clips:
            g = minimum(maximum(g, -clip), clip)
        if self.decays:
            g = g + λ * W
        return g
