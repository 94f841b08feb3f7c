"""Methods of `minimize` compared with SciPy's L-BFGS-B: time per iteration without the function, and evaluations.

    .venv/bin/python tests/benchmarks/minimization.py

Runs of both alternate. SciPy's BLAS has one thread, because its vectors are too short for more: on a busy machine, two
threads of OpenBLAS that wait for each other make it ten times slower. The time of an iteration is that of a run, less the time spent in the function, divided by the
number of iterations; the table shows the medians of the runs and the median of their ratios.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numba  # noqa: F401 - loaded, so that vectors are compiled from the start
import numpy as np
import scipy.optimize
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[2]))

from mxtrain.minimization.conjugate_gradient import ConjugateGradient
from mxtrain.minimization.lbfgs import LBFGS
from mxtrain.minimization.lbfgsb import LBFGSB
from mxtrain.minimization.method import Method
from tests.minimization.problems import PROBLEMS, bounded_variants
from tests.minimization.running import run

SIZES = {10: (40, 15), 1000: (50, 5), 100_000: (30, 3), 1_000_000: (15, 2)}
"""Iterations of a run, and number of runs, for each number of variables."""


class TimedFunction:
    """Convex quartic function whose time is added up.

    Args:
        size: the number of variables.
    """

    def __init__(self, size: int) -> None:
        self.scale, self.minimum, self.seconds = np.linspace(1, 1000, size), np.cos(np.arange(size)), 0.0

    def __call__(self, x: Any) -> tuple[float, Any]:
        start = perf_counter()
        r = x - self.minimum
        g, cube = self.scale * r, r * r * r
        result = 0.5 * float(g @ r) + 0.25 * float(cube @ r), g + cube
        self.seconds += perf_counter() - start
        return result


def time_method(method: Method, size: int, iterations: int) -> float:
    """Return the seconds of an iteration of a method."""
    function, x0 = TimedFunction(size), np.zeros(size)
    method.start(x0, *function(x0))
    function.seconds, done, start = 0.0, 0, perf_counter()
    while done < iterations and method.iterate(function).status == "ok":
        done += 1
    return (perf_counter() - start - function.seconds) / done


def time_scipy(size: int, iterations: int, bounds: Any) -> float:
    """Return the seconds of an iteration of SciPy's L-BFGS-B."""
    function, options = TimedFunction(size), {"maxiter": iterations, "ftol": 0.0, "gtol": 0.0, "maxcor": 10}
    with threadpool_limits(1, user_api="blas"):
        start = perf_counter()
        result = scipy.optimize.minimize(
            function, np.zeros(size), jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        seconds = perf_counter() - start - function.seconds
    return seconds / int(result.nit)


def compare_times() -> None:
    """Print the time of an iteration for each size."""
    print("| variables | method | mxtrain, µs | SciPy L-BFGS-B, µs | ratio |\n|---|---|---|---|---|")
    for size, (iterations, runs) in SIZES.items():
        low, high = np.full(size, -0.5), np.full(size, 0.9)
        cases: list[tuple[str, Callable[[], Method], Any]] = [
            ("lbfgs", LBFGS, None),
            ("lbfgs with bounds", lambda low=low, high=high: LBFGSB(low, high), scipy.optimize.Bounds(low, high)),
            ("cg", ConjugateGradient, None),
        ]
        for name, create, bounds in cases:
            time_method(create(), size, 3)
            times = [
                (time_method(create(), size, iterations), time_scipy(size, iterations, bounds)) for _ in range(runs)
            ]
            ours, theirs = (1e6 * median(each) for each in zip(*times, strict=True))
            ratio = median(a / b for a, b in times)
            print(f"| {size:,} | {name} | {ours:,.0f} | {theirs:,.0f} | {ratio:.2f} |", flush=True)


def compare_evaluations() -> None:
    """Print the evaluations on the test problems and their bounded variants."""
    print("| problems | solved by mxtrain, SciPy | median ratio of evaluations | largest |\n|---|---|---|---|")
    unbounded = [(each, each.x0, None, LBFGS()) for each in PROBLEMS]
    bounded = [(b.problem, b.x0, (b.lower, b.upper), LBFGSB(b.lower, b.upper)) for b in bounded_variants()]
    for name, cases in (("40 of Moré, Garbow and Hillstrom", unbounded), ("40 bounded variants", bounded)):
        ratios, ours_solved, theirs_solved = [], 0, 0
        for problem, x0, box, method in cases:
            limits = None if box is None else scipy.optimize.Bounds(*box)
            options = {"maxcor": 10, "maxiter": 20_000, "maxfun": 20_000, "ftol": 2.2e-9, "gtol": 1e-5}
            theirs = scipy.optimize.minimize(problem, x0, jac=True, method="L-BFGS-B", bounds=limits, options=options)
            ours = run(method, problem, x0)
            best = min(ours.last.f, theirs.fun)
            accepted = best + 1e-5 * abs(best) + 1e-8
            ours_solved += ours.last.f <= accepted
            theirs_solved += bool(theirs.fun <= accepted)
            ratios.append(ours.evaluations / theirs.nfev)
        print(f"| {name} | {ours_solved}, {theirs_solved} | {median(ratios):.2f} | {max(ratios):.2f} |", flush=True)


if __name__ == "__main__":
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{len(os.sched_getaffinity(0))} cores, load averages {load}, SciPy {scipy.__version__}\n")
    compare_times()
    print()
    compare_evaluations()
