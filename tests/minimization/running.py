"""A minimal driver for tests of methods."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.minimization.method import Iterate, Method

Function = Callable[[Any], tuple[float, Any]]


@dataclass
class Outcome:
    """Outcome of a run: the last iterate, the numbers of iterations and evaluations, and all points."""

    last: Iterate
    iterations: int
    evaluations: int
    points: list[NDArray[Any]]


def run(
    method: Method, fun: Function, x0: Any, gtol: float = 1e-5, ftol: float = 1e7 * 2.2e-16, max_evaluations: int = 15000
) -> Outcome:  # fmt: skip
    """Minimize, with the two tests of convergence of SciPy's L-BFGS-B."""
    evaluations = 1
    f, g = fun(x0)
    last = method.start(x0, f, g)
    points = []

    def evaluate(x: Any) -> tuple[float, Any]:
        nonlocal evaluations
        evaluations += 1
        return fun(x)

    iterations = 0
    while last.gradient_norm > gtol and evaluations < max_evaluations:
        last = method.iterate(evaluate)
        if last.status != "ok":
            break
        iterations += 1
        points.append(np.array(last.x))
        if last.previous_f - last.f <= ftol * max(abs(last.previous_f), abs(last.f), 1.0):
            break
    return Outcome(last, iterations, evaluations, points)
