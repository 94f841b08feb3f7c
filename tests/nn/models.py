"""A custom model that several tests train or change."""

from types import ModuleType
from typing import Any

import numpy as np


class LinearModel:
    """`X·w + b`, with half the squared error as its loss.

    Args:
        features: the number of inputs.
        xp: the array module, as factories pass it.
        bias_shape: `(1,)`, or `()` for a parameter that is a scalar.
    """

    def __init__(self, features: int, xp: ModuleType = np, bias_shape: tuple[int, ...] = (1,)) -> None:
        self.features, self.xp, self.bias_shape = features, xp, bias_shape

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"w": (self.features, 1), "b": self.bias_shape}

    def init(self, seed: int, dtype: Any) -> dict[str, Any]:
        return {name: np.zeros(shape, dtype) for name, shape in self.shapes().items()}

    def predict(self, params: Any, inputs: Any) -> Any:
        return inputs @ params["w"] + params["b"]

    def loss_and_grad(self, params: Any, inputs: Any, targets: Any, grads: Any) -> Any:
        outputs = self.predict(params, inputs)
        error = outputs - targets[:, None]
        grads["w"][...] = inputs.T @ error
        grads["b"][...] = error.sum(axis=0).reshape(self.bias_shape)
        return (error * error).sum() / 2, outputs
