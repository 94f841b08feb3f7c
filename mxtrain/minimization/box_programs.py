"""Elementwise formulas of minimization with bounds, as traced programs; `low` and `high` are the bounds."""

from typing import Any

from mxtrain.minimization.vectors import elementwise
from mxtrain.optim.ir import maximum, minimum, where


def _projected_gradient(x: Any, g: Any, low: Any, high: Any, result: Any) -> dict[str, Any]:
    return {"result": where(g < 0, maximum(x - high, g), minimum(x - low, g))}


PROJECTED_GRADIENT = elementwise("projected_gradient", _projected_gradient, ("x", "g", "low", "high", "result"))
"""The result is `x - P(x - g)`, without a rounding of x - g."""


def _path(x: Any, g: Any, low: Any, high: Any, times: Any, d: Any, *, infinity: Any) -> dict[str, Any]:
    reached = where(g < 0, (x - high) / g, where(g > 0, (x - low) / g, infinity))
    return {"times": reached, "d": where(reached <= 0, 0, -g)}


PATH = elementwise("gradient_path", _path, ("x", "g", "low", "high", "times", "d"), ("infinity",))
"""Time at which each variable of x - t·g reaches its bound, and the direction of the path at t = 0."""


def _cauchy_point(
    x: Any, g: Any, low: Any, high: Any, times: Any, d: Any, point: Any, free: Any, *, time: Any
) -> dict[str, Any]:
    moved = minimum(maximum(x + time * d, low), high)
    is_fixed = times <= time
    point = where(is_fixed, where(g < 0, high, low), moved)
    return {"point": point, "free": where(is_fixed, 0, where(low < point, where(point < high, 1, 0), 0))}


CAUCHY_POINT = elementwise(
    "cauchy_point", _cauchy_point, ("x", "g", "low", "high", "times", "d", "point", "free"), ("time",)
)
"""The point of the projected path at a time, and 1 for each variable that is not at a bound there, else 0."""


def _masked_pair(free: Any, s: Any, y: Any, y_free: Any, s_active: Any) -> dict[str, Any]:
    return {"y_free": where(free > 0, y, 0), "s_active": where(free > 0, 0, s)}


MASKED_PAIR = elementwise("masked_pair", _masked_pair, ("free", "s", "y", "y_free", "s_active"))


def _right_side(free: Any, x: Any, g: Any, point: Any, result: Any, *, theta: Any) -> dict[str, Any]:
    return {"result": where(free > 0, g, theta * (x - point))}


RIGHT_SIDE = elementwise("right_side", _right_side, ("free", "x", "g", "point", "result"), ("theta",))


def _projected_point(free: Any, x: Any, low: Any, high: Any, point: Any, step: Any, d: Any) -> dict[str, Any]:
    projected = where(free > 0, minimum(maximum(x + step, low), high), point)
    return {"step": projected, "d": projected - x}


PROJECTED_POINT = elementwise("projected_point", _projected_point, ("free", "x", "low", "high", "point", "step", "d"))
"""The projection of the minimum of the subspace, and its difference from x."""


def _truncation(free: Any, x: Any, low: Any, high: Any, point: Any, step: Any, ratio: Any) -> dict[str, Any]:
    change = (x + step) - point
    inside = where(change > 0, change / (high - point), where(change < 0, change / (low - point), 0))
    return {"ratio": where(free > 0, inside, 0)}


TRUNCATION = elementwise("truncation", _truncation, ("free", "x", "low", "high", "point", "step", "ratio"))
"""Fraction of the way from a point to its bound that a step takes; above 1, the step leaves the box."""


def _truncated_point(
    free: Any, x: Any, low: Any, high: Any, point: Any, step: Any, d: Any, *, factor: Any
) -> dict[str, Any]:
    moved = minimum(maximum(point + factor * ((x + step) - point), low), high)
    result = where(free > 0, moved, point)
    return {"step": result, "d": result - x}


TRUNCATED_POINT = elementwise(
    "truncated_point", _truncated_point, ("free", "x", "low", "high", "point", "step", "d"), ("factor",)
)


def _difference(x: Any, point: Any, result: Any) -> dict[str, Any]:
    return {"result": point - x}


DIFFERENCE = elementwise("difference", _difference, ("x", "point", "result"))


def _reach(x: Any, d: Any, low: Any, high: Any, ratio: Any) -> dict[str, Any]:
    return {"ratio": where(d > 0, d / (high - x), where(d < 0, d / (low - x), 0))}


REACH = elementwise("reach", _reach, ("x", "d", "low", "high", "ratio"))
"""Reciprocal of the step at which each variable of x + α·d reaches its bound."""


def _step_inside(x: Any, d: Any, low: Any, high: Any, result: Any, *, step: Any) -> dict[str, Any]:
    return {"result": minimum(maximum(x + step * d, low), high)}


STEP_INSIDE = elementwise("step_inside", _step_inside, ("x", "d", "low", "high", "result"), ("step",))
"""x + α·d, with rounding errors outside of the bounds removed."""
