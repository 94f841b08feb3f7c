"""Programs of a rule: its gradient stage (scale, clip, weight decay) and its whole update."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from mxtrain.errors import TraceError
from mxtrain.optim.ir.program import Program
from mxtrain.optim.ir.symbols import maximum, minimum
from mxtrain.optim.ir.trace import keyword_only_names, trace


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


@cache
def update_program(
    name: str, update: Callable[..., tuple[Any, ...]], slots: tuple[str, ...], stage: GradientStage
) -> Program:
    """The program of one update: the gradient stage, then the rule.

    It is cached, and depends on no value of a coefficient: two optimizers that differ in η or β share it.
    """
    names = keyword_only_names(update)

    def formula(W: Any, g: Any, *kept: Any, **scalars: Any) -> dict[str, Any]:
        g = stage.apply(W, g, **{each: scalars[each] for each in stage.scalars})
        results = update(W, g, *kept, **{each: scalars[each] for each in names})
        if not isinstance(results, tuple) or len(results) != 1 + len(slots):
            raise TraceError(
                f"the update of {name} must return a tuple of W and {len(slots)} slots: {', '.join(slots)}"
            )
        return dict(zip(("W", *slots), results, strict=True))

    return trace(name, formula, ("W", "g", *slots), tuple(dict.fromkeys((*stage.scalars, *names))))


@cache
def gradient_program(stage: GradientStage) -> Program:
    """The program of the gradient stage alone: it overwrites `g`."""
    return trace("gradient", lambda W, g, **scalars: {"g": stage.apply(W, g, **scalars)}, ("W", "g"), stage.scalars)
