"""Losses with their gradients.

Values and gradients are sums over the batch; the optimizer's `scale` turns them into means. A loss of several targets
at once is the sum over the targets of a sample.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from mxtrain.loss_config import (
    FocalConfig,
    HuberConfig,
    LogisticConfig,
    LossConfig,
    LossKind,
    LossSpec,
    QuantileConfig,
    SoftmaxCrossEntropyConfig,
    TweedieConfig,
    as_loss_config,
)
from mxtrain.nn.activations import sigmoid
from mxtrain.types import Array

Loss = Callable[..., Any]
"""`loss(xp, outputs, targets, gradient, weights=None)`: the sum of the batch's losses, as a scalar of `xp`; it stays on
the device. The gradient with respect to the outputs is written into `gradient`, C-contiguous and of their shape.
`weights`, (n,), multiply the losses of the samples and their gradients."""

SampleLoss = Callable[[ModuleType, Any, Array, Array, Array], Array]
"""`loss(xp, config, outputs, targets, gradient)`: the loss of each sample, (n,), in the dtype of the outputs.

`outputs` are (n, k). `targets` are (n,), int64 and below k, for a loss of one class among several; otherwise (n,) or
(n, k), in the dtype of the outputs. The gradient with respect to the outputs is written into `gradient`, (n, k).
`config` has the settings of the loss; losses without settings ignore it."""


def softmax_cross_entropy(xp: ModuleType, outputs: Array, targets: Array, gradient: Array) -> Any:
    """`Σ log(Σⱼ exp(zⱼ)) - z_y`, the negative log-likelihood of class y among k.

    The gradient is `softmax(z) - onehot(y)`. The largest output is subtracted first, so nothing overflows.

    Args:
        xp: `numpy` or `cupy`.
        outputs: (n, k), z.
        targets: (n,), int64, at least 0 and below k, y.
        gradient: (n, k), written.

    Example:
        >>> import numpy as np
        >>> gradient = np.empty((1, 2))
        >>> float(softmax_cross_entropy(np, np.array([[0.0, np.log(3)]]), np.array([1]), gradient)), gradient
        (0.28768207245178..., array([[ 0.25, -0.25]]))
    """
    n, k = outputs.shape
    xp.subtract(outputs, outputs.max(axis=1, keepdims=True), out=gradient)
    flat = gradient.reshape(-1)
    index = xp.arange(0, n * k, k) + targets
    chosen = flat[index]
    xp.exp(gradient, out=gradient)
    total = gradient.sum(axis=1, keepdims=True)
    xp.divide(gradient, total, out=gradient)
    flat[index] -= 1
    return xp.log(total).sum() - chosen.sum()


def logistic(xp: ModuleType, outputs: Array, targets: Array, gradient: Array) -> Any:
    """`Σ log(1 + exp(z)) - y·z`, the negative log-likelihood of y, 0 or 1.

    The gradient is `sigmoid(z) - y`.

    Args:
        xp: `numpy` or `cupy`.
        outputs: (n, 1), z.
        targets: (n,), 0 or 1 in the outputs' dtype, y.
        gradient: (n, 1), written.

    Example:
        >>> import numpy as np
        >>> gradient = np.empty((2, 1))
        >>> float(logistic(np, np.array([[np.log(3)], [0.0]]), np.array([1.0, 0.0]), gradient)), gradient
        (0.98082925301172..., array([[-0.25], [ 0.5 ]]))
    """
    # With s = 1 - 2y: log(1 + exp(s·z)), and s·sigmoid(s·z), which do not subtract nearly equal numbers.
    sign = 1 - 2 * targets
    margin = sign * outputs[:, 0]
    loss = xp.logaddexp(0, margin).sum()
    sigmoid(xp, margin)
    xp.multiply(sign, margin, out=gradient[:, 0])
    return loss


def squared_error(xp: ModuleType, outputs: Array, targets: Array, gradient: Array) -> Any:
    """`Σ ½·(ŷ - y)²`, with the half, so that the gradient is `ŷ - y`.

    Args:
        xp: `numpy` or `cupy`.
        outputs: (n, 1), ŷ.
        targets: (n,), in the outputs' dtype, y.
        gradient: (n, 1), written.

    Example:
        >>> import numpy as np
        >>> gradient = np.empty((2, 1))
        >>> float(squared_error(np, np.array([[3.0], [5.0]]), np.array([1.0, 6.0]), gradient)), gradient
        (2.5, array([[ 2.], [-1.]]))
    """
    error = gradient[:, 0]
    xp.subtract(outputs[:, 0], targets, out=error)
    return 0.5 * xp.dot(error, error)


def softmax_losses(
    xp: ModuleType, config: SoftmaxCrossEntropyConfig, outputs: Array, targets: Array, gradient: Array
) -> Array:
    """`log(Σⱼ exp(zⱼ)) - (1 - s)·z_y - s·mean(z)` for each sample, with label smoothing s.

    The gradient is `softmax(z) - (1 - s)·onehot(y) - s/k`.
    """
    smoothing, (n, k) = config.label_smoothing, outputs.shape
    chosen, total = _softmax(xp, outputs, targets, gradient)
    losses = xp.log(total)
    if smoothing:
        mean = outputs.mean(axis=1) - outputs.max(axis=1)
        losses -= (1 - smoothing) * chosen + smoothing * mean
        gradient -= smoothing / k
    else:
        losses -= chosen
    gradient.reshape(-1)[xp.arange(0, n * k, k) + targets] -= 1 - smoothing
    return losses


def focal(xp: ModuleType, config: FocalConfig, outputs: Array, targets: Array, gradient: Array) -> Array:
    """`-(1 - p)^γ·log(p)` for each sample, with the softmax probability p of its class.

    The gradient is `((1 - p)^γ - γ·p·(1 - p)^(γ - 1)·log(p))·(softmax(z) - onehot(y))`.

    Source: Lin et al., arXiv:1708.02002.
    """
    γ, (n, k) = config.γ, outputs.shape
    chosen, total = _softmax(xp, outputs, targets, gradient)
    log_p = chosen - xp.log(total)
    p, rest = xp.exp(log_p), -xp.expm1(log_p)
    is_certain = rest <= 0
    ratio = xp.where(is_certain, -1, log_p / xp.where(is_certain, 1, rest))  # log(p) / (1 - p), -1 at p = 1
    modulation = rest**γ
    gradient.reshape(-1)[xp.arange(0, n * k, k) + targets] -= 1
    gradient *= (modulation * (1 - γ * p * ratio))[:, None]
    losses: Array = -modulation * log_p
    return losses


def _softmax(xp: ModuleType, outputs: Array, targets: Array, out: Array) -> tuple[Array, Array]:
    """Write softmax(z) into `out`; return z_y - max(z) and Σⱼ exp(zⱼ - max(z)), both (n,)."""
    n, k = outputs.shape
    xp.subtract(outputs, outputs.max(axis=1, keepdims=True), out=out)
    chosen = out.reshape(-1)[xp.arange(0, n * k, k) + targets]
    xp.exp(out, out=out)
    total = out.sum(axis=1, keepdims=True)
    xp.divide(out, total, out=out)
    return chosen, total[:, 0]


def logistic_losses(xp: ModuleType, config: LogisticConfig, outputs: Array, targets: Array, gradient: Array) -> Array:
    """`Σⱼ log(1 + exp(zⱼ)) - yⱼ·zⱼ` for each sample, with targets `y·(1 - s) + s/2` after label smoothing s."""
    smoothing, y = config.label_smoothing, _columns(targets)
    sign = 1 - 2 * y
    margin = sign * outputs
    losses = xp.logaddexp(0, margin)
    gradient[...] = margin
    sigmoid(xp, gradient)
    gradient *= sign
    if smoothing:  # the target moves by s·(1/2 - y)
        losses -= (smoothing / 2) * sign * outputs
        gradient -= (smoothing / 2) * sign
    return losses.sum(axis=1)


def squared_losses(xp: ModuleType, config: LossConfig, outputs: Array, targets: Array, gradient: Array) -> Array:
    """`Σⱼ ½·(ŷⱼ - yⱼ)²` for each sample; the gradient is `ŷ - y`."""
    xp.subtract(outputs, _columns(targets), out=gradient)
    return 0.5 * (gradient * gradient).sum(axis=1)


def absolute(xp: ModuleType, config: LossConfig, outputs: Array, targets: Array, gradient: Array) -> Array:
    """`Σⱼ |ŷⱼ - yⱼ|` for each sample; the gradient is the sign of `ŷ - y`, 0 where they are equal."""
    xp.subtract(outputs, _columns(targets), out=gradient)
    losses = xp.absolute(gradient).sum(axis=1)
    xp.sign(gradient, out=gradient)
    return losses


def huber(xp: ModuleType, config: HuberConfig, outputs: Array, targets: Array, gradient: Array) -> Array:
    """`Σⱼ ½·e²` where `|e| ≤ δ`, and `δ·(|e| - ½·δ)` elsewhere, with e = ŷⱼ - yⱼ; the gradient is e within ±δ.

    Source: Huber, Annals of Mathematical Statistics 35 (1964).
    """
    δ = config.δ
    error = outputs - _columns(targets)
    xp.clip(error, -δ, δ, out=gradient)
    # g·(e - ½g) is ½e² where g = e, and δ·(|e| - ½δ) where g = ±δ
    losses: Array = (gradient * (error - 0.5 * gradient)).sum(axis=1)
    return losses


def quantile(xp: ModuleType, config: QuantileConfig, outputs: Array, targets: Array, gradient: Array) -> Array:
    """`Σ max(q·(y - ŷ), (q - 1)·(y - ŷ))` for each sample, over the quantiles q or the targets.

    The gradient is 1 - q above y, -q below, and 0 at y.

    Source: Koenker and Bassett, Econometrica 46 (1978).
    """
    q = xp.asarray(config.quantiles, dtype=outputs.dtype)
    xp.subtract(outputs, _columns(targets), out=gradient)
    slope = xp.where(gradient > 0, 1 - q, -q)
    losses: Array = (gradient * slope).sum(axis=1)
    xp.multiply(slope, gradient != 0, out=gradient)
    return losses


def poisson(xp: ModuleType, config: LossConfig, outputs: Array, targets: Array, gradient: Array) -> Array:
    """`Σⱼ exp(zⱼ) - yⱼ·zⱼ`, half the Poisson deviance without its constant; the gradient is `exp(z) - y`."""
    y = _columns(targets)
    xp.exp(outputs, out=gradient)
    losses = (gradient - y * outputs).sum(axis=1)
    gradient -= y
    return losses


def gamma(xp: ModuleType, config: LossConfig, outputs: Array, targets: Array, gradient: Array) -> Array:
    """`Σⱼ zⱼ + yⱼ·exp(-zⱼ)`, half the gamma deviance without its constant; the gradient is `1 - y·exp(-z)`."""
    xp.negative(outputs, out=gradient)
    xp.exp(gradient, out=gradient)
    gradient *= _columns(targets)
    losses = (outputs + gradient).sum(axis=1)
    xp.subtract(1, gradient, out=gradient)
    return losses


def tweedie(xp: ModuleType, config: TweedieConfig, outputs: Array, targets: Array, gradient: Array) -> Array:
    """`Σⱼ exp((2 - p)·zⱼ)/(2 - p) - yⱼ·exp((1 - p)·zⱼ)/(1 - p)`, half the deviance of the power p without its constant.

    The gradient is `exp((2 - p)·z) - y·exp((1 - p)·z)`. Powers 1 and 2 are the limits, `poisson` and `gamma`.

    Source: Jørgensen, Journal of the Royal Statistical Society B 49 (1987).
    """
    p, y = config.power, _columns(targets)
    if p == 1:
        return poisson(xp, config, outputs, targets, gradient)
    if p == 2:
        return gamma(xp, config, outputs, targets, gradient)
    mean, slope = xp.exp((2 - p) * outputs), y * xp.exp((1 - p) * outputs)
    xp.subtract(mean, slope, out=gradient)
    losses: Array = (mean / (2 - p) - slope / (1 - p)).sum(axis=1)
    return losses


def _columns(targets: Array) -> Array:
    """Return targets, (n,) or (n, k), with one column for each target."""
    return targets[:, None] if targets.ndim == 1 else targets


LOSSES: dict[LossKind, Callable[[ModuleType, Array, Array, Array], Any]] = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "logistic": logistic,
    "squared_error": squared_error,
}
"""The sums of losses of one target for samples without weights, which need no array of the losses."""

SAMPLE_LOSSES: dict[LossKind, SampleLoss] = {
    "softmax_cross_entropy": softmax_losses,
    "focal": focal,
    "logistic": logistic_losses,
    "squared_error": squared_losses,
    "absolute": absolute,
    "huber": huber,
    "quantile": quantile,
    "poisson": poisson,
    "gamma": gamma,
    "tweedie": tweedie,
}
"""The losses of each sample."""


def build_loss(spec: LossSpec) -> Loss:
    """Return the loss of a name or a config.

    Example:
        >>> import numpy as np
        >>> loss, gradient = build_loss(HuberConfig(δ=1.0)), np.empty((2, 1))
        >>> outputs, targets = np.array([[3.0], [0.5]]), np.array([0.0, 0.0])
        >>> float(loss(np, outputs, targets, gradient)), gradient[:, 0]
        (2.625, array([1. , 0.5]))
        >>> float(loss(np, outputs, targets, gradient, weights=np.array([2.0, 0.0]))), gradient[:, 0]
        (5.0, array([2., 0.]))
    """
    config = as_loss_config(spec)
    each, total = SAMPLE_LOSSES[config.kind], LOSSES.get(config.kind) if config.is_plain else None

    def loss(xp: ModuleType, outputs: Array, targets: Array, gradient: Array, weights: Array | None = None) -> Any:
        if weights is None and total is not None and targets.ndim == 1:
            return total(xp, outputs, targets, gradient)
        losses = each(xp, config, outputs, targets, gradient)
        if weights is None:
            return losses.sum()
        gradient *= weights[:, None]
        return xp.dot(weights, losses)

    return loss
