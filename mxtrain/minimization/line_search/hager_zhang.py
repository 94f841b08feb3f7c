"""Line search of Hager and Zhang, with their approximate Wolfe conditions.

Near a minimum, differences of values are rounding errors long before differences of slopes are. The approximate
conditions replace the sufficient decrease by a condition on the slope, which is equal to it for quadratic functions.

Source: W. W. Hager and H. Zhang, A new conjugate gradient method with guaranteed descent and an efficient line search,
SIAM Journal on Optimization 16 (2005), 170-192, section 4.
"""

from dataclasses import dataclass
from math import inf

from mxtrain.minimization.line_search.result import SHRINK_FACTOR, Phi, SearchResult, is_usable

_EXPANSION = 5.0
"""Factor of the step while no interval is known: ρ of the paper."""
_MAX_WIDTH_RATIO = 0.66
"""Largest ratio of the widths of two intervals without a bisection: γ of the paper."""


@dataclass(frozen=True, slots=True)
class _Point:
    """A step length with the value and the slope there; a value that is not finite is infinite, with slope -1."""

    step: float
    f: float
    slope: float


class _SearchEnded(Exception):
    """A step meets the conditions, or the number of evaluations is used up."""


class HagerZhang:
    """Search for a step that meets the Wolfe or the approximate Wolfe conditions.

    Wolfe: `φ(α) <= φ(0) + δ*α*φ'(0)` and `φ'(α) >= σ*φ'(0)`. Approximate: `σ*φ'(0) <= φ'(α) <= (2*δ - 1)*φ'(0)` and
    `φ(α) <= φ(0) + ε*|φ(0)|`.

    >>> HagerZhang().search(lambda a: ((a - 2) ** 2, 2 * (a - 2)), 4.0, -4.0, step=0.1).step
    0.5

    Args:
        delta: δ, the sufficient decrease.
        sigma: σ, the curvature condition.
        epsilon: ε, the relative error of values.
        max_evaluations: the largest number of evaluations.
    """

    def __init__(
        self, delta: float = 0.1, sigma: float = 0.9, epsilon: float = 1e-6, max_evaluations: int = 50
    ) -> None:
        self.delta, self.sigma, self.epsilon, self.max_evaluations = delta, sigma, epsilon, max_evaluations

    def search(self, phi: Phi, f: float, slope: float, step: float) -> SearchResult:
        """Search along a direction.

        Args:
            phi: the function.
            f: the value at 0.
            slope: the derivative at 0, which is negative.
            step: the first step.
        """
        return _Search(self, phi, _Point(0.0, f, slope)).run(step)


class _Search:
    def __init__(self, settings: HagerZhang, phi: Phi, origin: _Point) -> None:
        self.settings, self.phi, self.origin = settings, phi, origin
        self.best = self.last = origin
        self.largest_f = origin.f + settings.epsilon * abs(origin.f)
        self.evaluations = 0
        self.is_found = False

    def run(self, step: float) -> SearchResult:
        """Return the result of the search."""
        try:
            a, b = self._bracket(step)
            while b.step > a.step:
                low, high = self._secant_twice(a, b)
                if high.step - low.step > _MAX_WIDTH_RATIO * (b.step - a.step):
                    low, high = self._update(low, high, 0.5 * (low.step + high.step))
                if (low.step, high.step) == (a.step, b.step):
                    break  # the interval has no number inside
                a, b = low, high
        except _SearchEnded:
            pass
        if self.is_found:
            return SearchResult(self.last.step, self.last.f, self.last.slope)
        return self._finish()

    def _finish(self) -> SearchResult:
        """Return the best step, evaluated again if another one was the last; step 0 if none decreases the value."""
        if self.best.step > 0.0:
            if self.last is not self.best:
                self.phi(self.best.step)
            return SearchResult(self.best.step, self.best.f, self.best.slope)
        return SearchResult(0.0, self.origin.f, self.origin.slope, self.last.f < inf)

    def _evaluate(self, step: float) -> _Point:
        """Evaluate a step; end the search if it meets the conditions."""
        if self.evaluations == self.settings.max_evaluations:
            raise _SearchEnded
        self.evaluations += 1
        f, slope = self.phi(step)
        self.last = point = _Point(step, f, slope) if is_usable(f, slope) else _Point(step, inf, -1.0)
        if self._meets_conditions(point):
            self.is_found = True
            raise _SearchEnded
        if point.f < self.best.f:
            self.best = point
        return point

    def _meets_conditions(self, point: _Point) -> bool:
        delta, start = self.settings.delta, self.origin.slope
        if point.f == inf or point.slope < self.settings.sigma * start:
            return False
        if point.f - self.origin.f <= delta * point.step * start:
            return True
        return point.f <= self.largest_f and point.slope <= (2 * delta - 1) * start

    def _bracket(self, step: float) -> tuple[_Point, _Point]:
        """Return an interval whose ends have opposite slopes."""
        low = self.origin
        while True:
            point = self._evaluate(step)
            if point.slope >= 0:
                return low, point
            if point.f > self.largest_f:
                return self._bisect(self.origin, point)
            low, step = point, _EXPANSION * step

    def _bisect(self, low: _Point, high: _Point) -> tuple[_Point, _Point]:
        """Return an interval inside one whose upper end has a high value and a negative slope."""
        while True:
            fraction = 0.5 if high.f < inf else SHRINK_FACTOR
            step = low.step + fraction * (high.step - low.step)
            if not low.step < step < high.step:
                raise _SearchEnded
            point = self._evaluate(step)
            if point.slope >= 0:
                return low, point
            if point.f <= self.largest_f:
                low = point
            else:
                high = point

    def _update(self, a: _Point, b: _Point, step: float) -> tuple[_Point, _Point]:
        """Return the interval, reduced by the evaluation of a step inside."""
        if not a.step < step < b.step:
            return a, b
        point = self._evaluate(step)
        if point.slope >= 0:
            return a, point
        if point.f <= self.largest_f:
            return point, b
        return self._bisect(a, point)

    def _secant_twice(self, a: _Point, b: _Point) -> tuple[_Point, _Point]:
        """Return the interval, reduced by one or two secant steps."""
        step = _secant(a, b)
        low, high = self._update(a, b, step)
        if step == high.step:
            return self._update(low, high, _secant(b, high))
        if step == low.step:
            return self._update(low, high, _secant(a, low))
        return low, high


def _secant(a: _Point, b: _Point) -> float:
    """Return the zero of the line through two slopes; if there is none, the step of a, which is in no open interval."""
    if a.slope == b.slope:
        return a.step
    return (a.step * b.slope - b.step * a.slope) / (b.slope - a.slope)
