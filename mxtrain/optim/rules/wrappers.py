"""Settings of the wrappers that every rule accepts: gradient clipping by columns, lookahead, averages and bounds."""

from typing import Annotated, Any, TypeAlias

import numpy as np
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from mxtrain.types import Bounds, Config, Decay, Finite, ListAsTuple, Positive, PositiveInt, Stability

WRAPPER_FIELDS = ("cautious", "agc", "lookahead", "ema", "bounds", "master", "row_updates")
"""Fields of wrappers that a parameter group may override."""


class AGC(Config):
    """Adaptive gradient clipping: the gradient of a column is clipped to a fraction of the norm of its weights.

    For each column of a weight `(in, out)`, or the whole of an array with at most one axis longer than 1:
    where `‖g‖ ≥ b`, `b = clipping·max(‖W‖, ϵ)`: `g ← g·(b / max(‖g‖, 1e-6))`.

    Of an array with more than two axes, all axes but the last are taken as rows. It is meant for networks without
    normalization layers; leave the last layer out, with a parameter group that sets `agc: null`.

    Args:
        clipping: largest ratio of the norms of gradient and weights, above 0.
        ϵ: smallest norm of the weights, above 0, so that weights that start at 0 can move.

    Source: Brock, De, Smith and Simonyan, "High-Performance Large-Scale Image Recognition Without Normalization" (ICML
    2021), arXiv:2102.06171; as `optax.adaptive_grad_clip`.
    """

    clipping: Positive = 0.01
    ϵ: Stability = 1e-3


class Lookahead(Config):
    """Lookahead: slow weights that follow the trained weights every few updates.

    Slot `lookahead`, which starts at W; where `period` divides t: `s ← s + slow_step·(W - s)`, `W ← s`. Evaluate s:
    `optimizer.evaluation_params(params)`.

    Args:
        period: updates between two steps of the slow weights, at least 1.
        slow_step: size of a step of the slow weights, above 0 and at most 1.

    Source: Zhang, Lucas, Hinton and Ba, "Lookahead Optimizer: k steps forward, 1 step back" (NeurIPS 2019),
    arXiv:1907.08610.
    """

    period: PositiveInt = 6
    slow_step: Annotated[float, Bounds(gt=0, le=1)] = 0.5


class EMA(Config):
    """Exponential moving average of the weights, for evaluation.

    Slot `ema`: `e ← decay·e + (1-decay)·W` after each update. Evaluate `e/(1-decayᵗ)`, or with `corrected: false`,
    where e starts at the W of the first update, e itself: `optimizer.evaluation_params(params)`.

    Args:
        decay: share of the old average, at least 0 and below 1.
        corrected: start the average at 0 and correct its bias, in place of starting it at the weights.

    Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (SIAM J. Control Optim. 30,
    1992); as `optax.ema`, or `torch.optim.swa_utils.AveragedModel` with `corrected: false`.
    """

    decay: Decay = 0.999
    corrected: bool = True


def _check_two(value: Any) -> Any:
    if isinstance(value, list | tuple) and len(value) != 2:
        message = f"must be two numbers, [low, high], either of which may be null, got {len(value)}"
        raise PydanticCustomError("message", "{text}", {"text": message})
    return value


Box: TypeAlias = Annotated[tuple[Finite | None, Finite | None], ListAsTuple, BeforeValidator(_check_two)]
"""Lower and upper bound of weights, either of which may be None."""


def rounded_bounds(bounds: tuple[float | None, float | None], dtype: "np.dtype[np.floating]") -> tuple[float, float]:
    """Return bounds as numbers of a dtype, rounded inwards, so that no weight of this dtype is outside of them.

    >>> low, high = rounded_bounds((0.1, None), np.dtype("float32"))
    >>> low >= 0.1, high
    (True, inf)
    """
    kind = dtype.type
    low, high = (-np.inf if bounds[0] is None else bounds[0]), (np.inf if bounds[1] is None else bounds[1])
    with np.errstate(over="ignore"):
        lowest, highest = kind(low), kind(high)
    if float(lowest) < low:
        lowest = np.nextafter(lowest, kind(np.inf))
    if float(highest) > high:
        highest = np.nextafter(highest, kind(-np.inf))
    return (float(lowest), float(highest)) if lowest <= highest else (low, high)
