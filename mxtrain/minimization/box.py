"""Bounds of the variables: a lower and an upper bound of each element."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.minimization.variables import Variables
from mxtrain.optim.backends import array_kind
from mxtrain.types import Array, describe_argument


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """Lower and upper bounds of the elements of a vector, on its device, in its dtype.

    Attributes:
        low: the lower bounds; -inf where there is none.
        high: the upper bounds; inf where there is none.
        uniform: the two bounds if they are the same for all elements.
    """

    low: Array
    high: Array
    uniform: tuple[float, float] | None

    def clip(self, vector: Array) -> Array:
        """Return a vector with its elements moved into the bounds."""
        return cast("Array", vector.clip(self.low, self.high))

    def projected_gradient_norm(self, x: Array, g: Array) -> float:
        """Return `max|P(x - g) - x|`, for the projection P onto the bounds."""
        return float(abs(self.clip(x - g) - x).max())

    @property
    def digest(self) -> str:
        """SHA-256 of the bounds."""
        parts = [each if isinstance(each, np.ndarray) else each.get() for each in (self.low, self.high)]
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def read_bounds(bounds: Any, variables: Variables) -> Box | None:
    """Read bounds in any of the forms that `minimize` documents; None if no element has a bound.

    Raises:
        ConfigError: a bound is not a number, has another shape than x0, or a lower bound is above its upper bound.
    """
    if bounds is None:
        return None
    if variables.is_complex:
        raise _problem("need real variables, and x0 is complex; remove bounds")
    if not variables.is_single:
        _check_names(bounds, variables.names, "")
    low, high = np.full(variables.size, -np.inf), np.full(variables.size, np.inf)
    for name in variables.names:
        part = variables.slice_of(name)
        shape = variables.shapes[name]
        spec = bounds if variables.is_single else _select(bounds, name)
        if spec is not None:
            _read_leaf(spec, "" if variables.is_single else name, shape, low[part], high[part])
    _check(low, high, variables)
    if np.isneginf(low).all() and np.isposinf(high).all():
        return None
    lowest, highest = _round_inwards(low, high, variables.dtype)
    is_uniform = bool((lowest == lowest[0]).all() and (highest == highest[0]).all())
    uniform = (float(lowest[0]), float(highest[0])) if is_uniform else None
    return Box(variables.xp.asarray(lowest), variables.xp.asarray(highest), uniform)


def _check_names(bounds: Any, names: Sequence[str], prefix: str) -> None:
    """Check that every entry of nested bounds is that of an array, or of a container, of x0."""
    if bounds is None or _is_pair_of_numbers(bounds) or _has_limits(bounds) or prefix.removesuffix(".") in names:
        return
    keys = bounds if isinstance(bounds, Mapping) else range(len(bounds)) if isinstance(bounds, Sequence) else ()
    for key in keys:
        path = f"{prefix}{key}"
        if not any(name == path or name.startswith(f"{path}.") for name in names):
            raise _problem(f"x0 has no array {path}; its arrays are {', '.join(names)}")
        _check_names(bounds[key], names, f"{path}.")


def _select(bounds: Any, path: str) -> Any:
    """Return the bounds of the array at a path; a pair of numbers holds for all arrays."""
    if _is_pair_of_numbers(bounds) or _has_limits(bounds):
        return bounds
    if isinstance(bounds, Mapping) and path in bounds:  # also a name with a dot
        return bounds[path]
    for name in path.split("."):
        if isinstance(bounds, Mapping):
            bounds = next((value for key, value in bounds.items() if str(key) == name), None)
        elif isinstance(bounds, Sequence) and not _is_pair_of_numbers(bounds) and name.isdigit():
            bounds = bounds[int(name)] if int(name) < len(bounds) else None
        if bounds is None or _is_pair_of_numbers(bounds) or _has_limits(bounds):
            return bounds
    if isinstance(bounds, Mapping):
        raise _problem(f"have entries below {path}, which is an array in x0")
    return bounds


def _read_leaf(spec: Any, name: str, shape: tuple[int, ...], low: Array, high: Array) -> None:
    """Write the bounds of one array to the parts of the vectors that hold them."""
    place = f"{name}: " if name else ""
    if _has_limits(spec):
        pair = (spec.lb, spec.ub)
    elif isinstance(spec, np.ndarray) and spec.ndim == 2 and spec.shape[1:] == (2,):  # a row for each element
        pair = _transpose(spec.tolist(), place, low.size)
    elif _is_pair_of_numbers(spec) or (_is_pair(spec) and any(map(array_kind, spec))):
        pair = tuple(spec)
    elif isinstance(spec, Sequence) and not isinstance(spec, str):
        pair = _transpose(spec, place, low.size)
    else:
        forms = "a pair (low, high), a list or an array of pairs, or an object with lb and ub"
        raise _problem(f"{place}must be {forms}, got {describe_argument(spec)}")
    for target, value, default in zip((low, high), pair, (-np.inf, np.inf), strict=True):
        array = _to_floats(default if value is None else value, place)
        try:
            target[...] = np.broadcast_to(array, shape).reshape(-1)
        except ValueError:
            raise _problem(f"{place}have shape {array.shape}, x0 has shape {shape}") from None


def _transpose(spec: Sequence[Any], place: str, size: int) -> tuple[list[float], list[float]]:
    """Return the lower and the upper bounds of a list of pairs, as SciPy has it."""
    if len(spec) != size:
        raise _problem(f"{place}must be {size} pairs, one for each element of x0, got {len(spec)}")
    for i, pair in enumerate(spec):
        if not _is_pair_of_numbers(pair):
            raise _problem(f"{place}must be pairs of numbers or None, got {describe_argument(pair)} at {i}")
    return [-np.inf if a is None else a for a, _ in spec], [np.inf if b is None else b for _, b in spec]


def _to_floats(value: Any, place: str) -> np.ndarray[Any, Any]:
    if array_kind(value) == "cupy":
        value = value.get()
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise _problem(f"{place}must be numbers, got {describe_argument(value)}") from None
    if np.isnan(array).any():
        raise _problem(f"{place}must be numbers, got nan; use None for no bound")
    return array


def _check(low: Array, high: Array, variables: Variables) -> None:
    wrong = np.flatnonzero((low > high) | (low == np.inf) | (high == -np.inf))
    if wrong.size:
        i = int(wrong[0])
        name = next(
            name for name in variables.names if variables.slice_of(name).start <= i < variables.slice_of(name).stop
        )
        index = np.unravel_index(i - variables.slice_of(name).start, variables.shapes[name])
        place = f"{name}{[int(k) for k in index]}" if variables.shapes[name] else name
        if low[i] > high[i]:
            raise _problem(f"{place}: the lower bound {low[i]:g} is above the upper bound {high[i]:g}")
        side, value = ("lower", low[i]) if low[i] == np.inf else ("upper", high[i])
        raise _problem(f"{place}: the {side} bound is {value:g}, and no number is within it; use None for no bound")


def _round_inwards(low: Array, high: Array, dtype: "np.dtype[Any]") -> tuple[Array, Array]:
    """Return bounds in a dtype, rounded so that no number of this dtype within them is outside of the given ones."""
    kind = dtype.type
    with np.errstate(over="ignore"):
        lowest, highest = low.astype(kind), high.astype(kind)
    lowest = np.where(lowest.astype(float) < low, np.nextafter(lowest, kind(np.inf)), lowest)
    highest = np.where(highest.astype(float) > high, np.nextafter(highest, kind(-np.inf)), highest)
    is_empty = lowest > highest  # low = high, and the dtype cannot represent it
    return np.where(is_empty, low.astype(kind), lowest), np.where(is_empty, low.astype(kind), highest)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


def _is_pair_of_numbers(value: Any) -> bool:
    return _is_pair(value) and all(each is None or isinstance(each, int | float | np.number) for each in value)


def _has_limits(value: Any) -> bool:
    return hasattr(value, "lb") and hasattr(value, "ub")


def _problem(message: str) -> ConfigError:
    return ConfigError([ConfigProblem("bounds", message)])
