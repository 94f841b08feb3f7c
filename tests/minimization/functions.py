"""Functions with gradients for the tests of `minimize`."""

from typing import Any

import numpy as np


def rosenbrock(x: Any) -> tuple[float, Any]:
    a, b = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * a * x[:-1] - 2 * b
    gradient[1:] += 200 * a
    return float(100 * a @ a + b @ b), gradient


def quadratic(x: Any) -> tuple[float, Any]:
    weights = np.arange(1, x.size + 1).astype(x.dtype).reshape(x.shape)
    return float((weights * (x - 3) ** 2).sum()), 2 * weights * (x - 3)


def nested_quadratic(tree: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    values = [quadratic(tree["a"]), quadratic(tree["layers"][0]["W"])]
    return values[0][0] + values[1][0], {"a": values[0][1], "layers": [{"W": values[1][1]}]}
