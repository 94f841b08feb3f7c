"""Line search of Moré and Thuente for the strong Wolfe conditions.

Source: J. J. Moré and D. J. Thuente, Line search algorithms with guaranteed sufficient decrease, ACM Transactions on
Mathematical Software 20 (1994), 286-307.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, nan, sqrt

from mxtrain.minimization.line_search.result import SHRINK_FACTOR, Phi, SearchResult, is_usable


@dataclass(slots=True)
class _Point:
    """A step length with the value and the derivative there."""

    step: float
    f: float
    slope: float


class MoreThuente:
    """Search for a step with `φ(α) <= φ(0) + ftol*α*φ'(0)` and `|φ'(α)| <= gtol*|φ'(0)|`.

    The search keeps an interval that contains such steps, with the lowest value so far at one end. Steps come from
    cubic and quadratic interpolation, and from bisection where these reduce the interval too slowly.

    >>> MoreThuente(gtol=0.1).search(lambda a: ((a - 2) ** 2, 2 * (a - 2)), 4.0, -4.0, step=1.0).step
    2.0

    Args:
        ftol: the sufficient decrease.
        gtol: the curvature condition.
        xtol: the relative width of the interval at which the search ends.
        max_evaluations: the largest number of evaluations.
    """

    def __init__(self, ftol: float = 1e-3, gtol: float = 0.9, xtol: float = 0.1, max_evaluations: int = 20) -> None:
        self.ftol, self.gtol, self.xtol, self.max_evaluations = ftol, gtol, xtol, max_evaluations

    def search(self, phi: Phi, f: float, slope: float, step: float, max_step: float = 1e10) -> SearchResult:
        """Search along a direction.

        Args:
            phi: the function.
            f: the value at 0.
            slope: the derivative at 0, which is negative.
            step: the first step.
            max_step: the largest step.
        """
        return _Search(self, phi, _Point(0.0, f, slope), max_step).run(min(step, max_step))


class _Search:
    """Interval of one search.

    Attributes:
        best: the end of the interval with the lowest value.
        other: the other end, once the interval is bounded.
        low, high: bounds of the next step.
    """

    def __init__(self, settings: MoreThuente, phi: Phi, origin: _Point, max_step: float) -> None:
        self.settings, self.phi, self.origin, self.max_step = settings, phi, origin, max_step
        self.best, self.other = origin, origin
        self.is_bracketed = False
        self.uses_auxiliary = True
        self.decrease = settings.ftol * origin.slope
        self.width = max_step
        self.previous_width = 2 * max_step
        self.low = self.high = self.trial = 0.0
        self.last = origin

    def run(self, step: float) -> SearchResult:
        """Return the result of the search."""
        self.high = step + 4 * step
        is_last = False
        for _ in range(self.settings.max_evaluations):
            self.last = point = _Point(step, *self.phi(step))
            if not is_usable(point.f, point.slope):
                step = self._shrink(step)
                continue
            if self._is_done(point) or is_last:
                return self._result(point)
            self._update(point)
            step, is_last = self._next_step(point.step)
            if is_last and step == 0:
                break
        return self._finish()

    def _shrink(self, step: float) -> float:
        """Return a shorter step after one whose value or gradient is not finite, and limit further steps."""
        distance = step - self.best.step
        self.max_step = self.best.step + 0.5 * distance
        self.high = min(self.high, self.max_step)
        return self.best.step + SHRINK_FACTOR * distance

    def _is_done(self, point: _Point) -> bool:
        """Return whether the Wolfe conditions hold, or the search cannot continue."""
        bound = self.origin.f + point.step * self.decrease
        if self.uses_auxiliary and point.f <= bound and point.slope >= 0:
            self.uses_auxiliary = False
        if point.f <= bound and abs(point.slope) <= -self.settings.gtol * self.origin.slope:
            return True
        if self.is_bracketed and (
            not self.low < point.step < self.high or self.high - self.low <= self.settings.xtol * self.high
        ):
            return True
        return point.step >= self.max_step and point.f <= bound and point.slope <= self.decrease

    def _update(self, point: _Point) -> None:
        """Update the interval by an evaluated step, and compute the next one."""
        bound = self.origin.f + point.step * self.decrease
        if self.uses_auxiliary and bound < point.f <= self.best.f:
            shift = self.decrease  # of the auxiliary function ψ(α) = φ(α) - φ(0) - ftol*α*φ'(0)
            modified = [_Point(p.step, p.f - p.step * shift, p.slope - shift) for p in (self.best, self.other, point)]
            self.best, self.other, self.trial = self._interpolate(*modified)
            for p in (self.best, self.other):
                p.f, p.slope = p.f + p.step * shift, p.slope + shift
        else:
            self.best, self.other, self.trial = self._interpolate(self.best, self.other, point)

    def _interpolate(self, best: _Point, other: _Point, point: _Point) -> tuple[_Point, _Point, float]:
        """Return the new ends of the interval and the next step: section 4 of the paper."""
        if point.f > best.f:
            self.is_bracketed = True
            return best, point, _finite_step(lambda: _step_of_case_1(best, point))
        if point.slope * best.slope < 0:
            self.is_bracketed = True
            return point, best, _finite_step(lambda: _step_of_case_2(best, point))
        if abs(point.slope) < abs(best.slope):
            return point, other, _finite_step(lambda: self._step_of_case_3(best, other, point))
        if self.is_bracketed:
            return point, other, _finite_step(lambda: _cubic_minimum(other, point))
        return point, other, self.high if point.step > best.step else self.low

    def _step_of_case_3(self, best: _Point, other: _Point, point: _Point) -> float:
        """Return the step after a lower value with a smaller slope of the same sign."""
        distance = best.step - point.step
        theta, gamma = _cubic(best, point)
        gamma = -gamma
        ratio = (gamma - point.slope + theta) / (gamma + (best.slope - point.slope) + gamma)
        if ratio < 0 and gamma != 0:
            cubic = point.step + ratio * distance
        else:
            cubic = self.high if point.step > best.step else self.low
        secant = point.step + point.slope / (point.slope - best.slope) * distance
        cubic_is_closer = abs(cubic - point.step) < abs(secant - point.step)
        if self.is_bracketed:
            step = cubic if cubic_is_closer else secant
            limit = point.step + 0.66 * (other.step - point.step)
            return min(step, limit) if point.step > best.step else max(step, limit)
        return min(max(secant if cubic_is_closer else cubic, self.low), self.high)

    def _next_step(self, step: float) -> tuple[float, bool]:
        """Return the next step, and whether it is the best one so far because the interval cannot be reduced."""
        best, other, trial = self.best.step, self.other.step, self.trial
        if not isfinite(trial):
            trial = best + 0.5 * (other - best) if self.is_bracketed else self.high
        if self.is_bracketed:
            if abs(other - best) >= 0.66 * self.previous_width:
                trial = best + 0.5 * (other - best)
            self.previous_width, self.width = self.width, abs(other - best)
            self.low, self.high = min(best, other), max(best, other)
        else:
            self.low, self.high = trial + 1.1 * (trial - best), trial + 4 * (trial - best)
        trial = min(max(trial, 0.0), self.max_step)
        if self.is_bracketed and (
            not self.low < trial < self.high or self.high - self.low <= self.settings.xtol * self.high
        ):
            return best, True
        return trial, False

    def _result(self, point: _Point) -> SearchResult:
        if point.f < self.origin.f or self._is_flat_decrease(point):
            return SearchResult(point.step, point.f, point.slope)
        return self._finish()

    def _is_flat_decrease(self, point: _Point) -> bool:
        """Return whether the value is equal to the first one, and the slope has decreased."""
        return point.step > 0 and point.f <= self.origin.f and abs(point.slope) < abs(self.origin.slope)

    def _finish(self) -> SearchResult:
        """Evaluate the best step again and return it; step 0 if there is none."""
        if self.best.step > 0 and self.best.f < self.origin.f:
            if self.last.step != self.best.step:
                self.phi(self.best.step)
            return SearchResult(self.best.step, self.best.f, self.best.slope)
        is_finite = self.best.step > 0 or self.is_bracketed
        return SearchResult(0.0, self.origin.f, self.origin.slope, is_finite)


def _finite_step(compute: Callable[[], float]) -> float:
    """Return a step; NaN if its interpolation is degenerate."""
    try:
        return compute()
    except ZeroDivisionError:
        return nan


def _cubic(a: _Point, b: _Point) -> tuple[float, float]:
    """Return θ and γ of the cubic that interpolates values and derivatives at two steps."""
    theta = 3 * (a.f - b.f) / (b.step - a.step) + a.slope + b.slope
    scale = max(abs(theta), abs(a.slope), abs(b.slope))
    gamma = scale * sqrt(max(0.0, (theta / scale) ** 2 - a.slope / scale * (b.slope / scale)))
    return theta, -gamma if b.step < a.step else gamma


def _step_of_case_1(best: _Point, point: _Point) -> float:
    """Return the step after a higher value: the cubic minimum, or its mean with the quadratic one."""
    theta, gamma = _cubic(best, point)
    ratio = (gamma - best.slope + theta) / (gamma - best.slope + gamma + point.slope)
    distance = point.step - best.step
    cubic = best.step + ratio * distance
    quadratic = best.step + best.slope / ((best.f - point.f) / distance + best.slope) / 2 * distance
    if abs(cubic - best.step) < abs(quadratic - best.step):
        return cubic
    return cubic + (quadratic - cubic) / 2


def _step_of_case_2(best: _Point, point: _Point) -> float:
    """Return the step after a lower value with a slope of the other sign: the cubic or the secant minimum."""
    theta, gamma = _cubic(best, point)
    gamma = -gamma
    ratio = (gamma - point.slope + theta) / (gamma - point.slope + gamma + best.slope)
    distance = best.step - point.step
    cubic = point.step + ratio * distance
    secant = point.step + point.slope / (point.slope - best.slope) * distance
    return cubic if abs(cubic - point.step) > abs(secant - point.step) else secant


def _cubic_minimum(other: _Point, point: _Point) -> float:
    """Return the minimum of the cubic between two steps."""
    theta, gamma = _cubic(other, point)
    gamma = -gamma
    ratio = (gamma - point.slope + theta) / (gamma - point.slope + gamma + other.slope)
    return point.step + ratio * (other.step - point.step)
