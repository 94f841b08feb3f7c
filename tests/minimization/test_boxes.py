"""L-BFGS-B in random boxes: points never leave them, and the active variables are those of SciPy."""

import os
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from numpy.typing import NDArray

from mxtrain.minimization.lbfgsb import LBFGSB
from tests.minimization.running import run

CASES = int(os.environ.get("MXTRAIN_TEST_BOXES", "200"))


class ConvexFunction:
    """Strictly convex function with a random quadratic part and a coupled quartic one."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        basis = rng.normal(size=(size, size))
        self.matrix = basis @ basis.T / size + np.diag(rng.uniform(0.1, 10.0, size))
        self.linear = rng.normal(size=size) * 5
        self.quartic = rng.uniform(0, 0.2, size)

    def __call__(self, x: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        product = self.matrix @ x
        value = 0.5 * x @ product + self.linear @ x + self.quartic @ x**4
        return float(value), product + self.linear + 4 * self.quartic * x**3


def random_box(rng: np.random.Generator, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return bounds: two, one or none for each variable; some variables are fixed."""
    center, width = rng.normal(size=size), rng.exponential(1.0, size)
    lower, upper = center - width, center + rng.exponential(1.0, size)
    kind = rng.integers(0, 10, size)
    upper[kind == 0] = lower[kind == 0]
    lower[(kind == 1) | (kind == 2)] = -np.inf
    upper[(kind == 2) | (kind == 3)] = np.inf
    return lower, upper


@pytest.mark.parametrize("part", range(3))
def test_random_boxes(part: int) -> None:
    compared = 0
    for case in range(part, CASES, 3):
        rng = np.random.default_rng(case)
        size = int(rng.integers(1, 40))
        function, (lower, upper) = ConvexFunction(rng, size), random_box(rng, size)
        x0 = np.clip(rng.normal(size=size) * 3, lower, upper)
        start_at = rng.random(size) < 0.3
        x0[start_at] = np.where(np.isfinite(lower), lower, x0)[start_at]

        def inside(x: NDArray[Any], function: Any = function, box: Any = (lower, upper)) -> tuple[float, NDArray[Any]]:
            assert ((box[0] <= x) & (x <= box[1])).all()
            return function(x)

        ours = run(LBFGSB(lower, upper), inside, x0, gtol=1e-9, ftol=0.0, max_evaluations=2000).last
        assert ((lower <= ours.x) & (ours.x <= upper)).all()
        options = {"ftol": 0.0, "gtol": 1e-9, "maxiter": 2000}
        theirs = scipy.optimize.minimize(
            function, x0, jac=True, method="L-BFGS-B", bounds=np.stack([lower, upper], axis=1), options=options
        )
        np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-5, atol=1e-5)
        for bound in (lower, upper):
            active, expected = (np.abs(x - bound) <= 1e-9 for x in (ours.x, theirs.x))
            decisive = np.abs(function(theirs.x)[1]) > 1e-6  # others are at their bound by chance
            assert np.array_equal(active[decisive], expected[decisive])
            compared += int(expected.sum())
    assert compared > 10 * CASES // 3
