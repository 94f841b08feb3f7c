"""The programs of a rule: its update, and its gradient stage alone."""

from collections.abc import Callable
from functools import cache
from typing import Any

from mxtrain.errors import TraceError
from mxtrain.kernel.gradient import GradientStage
from mxtrain.kernel.program import Program
from mxtrain.kernel.trace import keyword_names, trace


@cache
def update_program(
    name: str, update: Callable[..., tuple[Any, ...]], slots: tuple[str, ...], stage: GradientStage
) -> Program:
    """The program of one update: the gradient stage, then the rule.

    It is cached, and depends on no value of a coefficient: two optimizers that differ in η or β share it.
    """
    names = keyword_names(update)

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
