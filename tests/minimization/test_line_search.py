"""Line searches on the functions of Moré and Thuente (1994), and on functions with walls and plateaus."""

from collections.abc import Callable
from math import cos, inf, log, nan, pi, sin, sqrt
from typing import Any

import pytest

from mxtrain.minimization.line_search import HagerZhang, MoreThuente

Function = Callable[[float], tuple[float, float]]
SEARCHES = {"more_thuente": MoreThuente(gtol=0.1, xtol=1e-10), "hager_zhang": HagerZhang(sigma=0.9)}


def rational(a: float) -> tuple[float, float]:
    return -a / (a * a + 2), (a * a - 2) / (a * a + 2) ** 2


def steep(a: float) -> tuple[float, float]:
    t = a + 0.004
    return t**5 - 2 * t**4, 5 * t**4 - 8 * t**3


def oscillating(a: float) -> tuple[float, float]:
    base, slope = (1 - a, -1.0) if a <= 0.99 else (a - 1, 1.0)
    if abs(a - 1) < 0.01:
        base, slope = (a - 1) ** 2 / 0.02 + 0.005, (a - 1) / 0.01
    factor = 2 * 0.99 / (39 * pi)
    return base + factor * sin(39 * pi / 2 * a), slope + 0.99 * cos(39 * pi / 2 * a)


def yanai(b1: float, b2: float) -> Function:
    def gamma(b: float) -> float:
        return sqrt(1 + b * b) - b

    def phi(a: float) -> tuple[float, float]:
        p, q = sqrt((1 - a) ** 2 + b2 * b2), sqrt(a * a + b1 * b1)
        return gamma(b1) * p + gamma(b2) * q, gamma(b1) * (a - 1) / p + gamma(b2) * a / q

    return phi


FUNCTIONS: dict[str, Function] = {
    "rational": rational,
    "steep": steep,
    "oscillating": oscillating,
    "yanai_1": yanai(0.001, 0.001),
    "yanai_2": yanai(0.01, 0.001),
    "yanai_3": yanai(0.001, 0.01),
}


@pytest.mark.parametrize("step", [1e-3, 0.1, 10.0, 1e3])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("search", SEARCHES)
def test_wolfe_conditions_hold(search: str, function: str, step: float) -> None:
    phi, line_search, evaluated = FUNCTIONS[function], SEARCHES[search], []

    def recorded(a: float) -> tuple[float, float]:
        evaluated.append(a)
        return phi(a)

    f, slope = phi(0.0)
    result = line_search.search(recorded, f, slope, step)
    assert result.step == evaluated[-1] > 0
    assert (result.f, result.slope) == phi(result.step)
    assert len(evaluated) <= 20
    if search == "more_thuente":
        assert result.f <= f + 1e-3 * result.step * slope
        assert abs(result.slope) <= 0.1 * abs(slope)
    else:
        assert result.f <= f + 1e-6 * abs(f)
        assert result.slope >= 0.9 * slope


def logarithm(a: float) -> tuple[float, float]:
    """Return a barrier with its minimum at 0.5, not defined from 1 on."""
    if a >= 1:
        return nan, nan
    return -log(1 - a) - 2 * a, 1 / (1 - a) - 2


@pytest.mark.parametrize("step", [0.99, 1.0, 3.0, 1e6])
@pytest.mark.parametrize("search", SEARCHES)
def test_values_that_are_not_finite_shorten_the_step(search: str, step: float) -> None:
    result = SEARCHES[search].search(logarithm, *logarithm(0.0), step=step)
    assert 0 < result.step < 1
    assert result.f < 0
    assert (result.f, result.slope) == logarithm(result.step)


@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize("search", SEARCHES)
def test_no_finite_value(search: str, value: float) -> None:
    result = SEARCHES[search].search(lambda a: (value, -1.0), 1.0, -1.0, step=1.0)
    assert (result.step, result.f, result.is_finite) == (0.0, 1.0, False)


@pytest.mark.parametrize("search", SEARCHES)
def test_a_wrong_slope_gives_no_step(search: str) -> None:
    calls: list[Any] = []

    def rising(a: float) -> tuple[float, float]:
        calls.append(a)
        return 1 + a, 1.0

    result = SEARCHES[search].search(rising, 1.0, -1.0, step=1.0)
    assert (result.step, result.is_finite) == (0.0, True)
    assert len(calls) <= 60


def test_the_largest_step_is_taken_while_the_function_falls() -> None:
    result = MoreThuente().search(lambda a: (-a, -1.0), 0.0, -1.0, step=1.0, max_step=7.0)
    assert result.step == 7.0
