"""Protocol of a model."""

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import DTypeLike, NDArray

from mxtrain.types import Array


class Model(Protocol):
    """A function of parameters and inputs, with a loss. The parameters live elsewhere, by name.

    Arrays are of one array module, `numpy` or `cupy`, and of one dtype, save for class indices.

    With `loss: custom` a model may also have `loss(outputs, targets)`, the sum of a batch's losses as a scalar, for
    evaluation without a gradient; otherwise the value of `loss_and_grad` is used.
    """

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Each parameter's name and shape."""

    def init(self, seed: int, dtype: DTypeLike) -> dict[str, NDArray[Any]]:
        """The first value of each parameter, on the host: a pure function of the seed."""

    def loss_and_grad(
        self, params: Mapping[str, Array], inputs: Array, targets: Array, grads: Mapping[str, Array]
    ) -> tuple[Any, Array]:
        """The sum of a batch's losses, and the outputs; the sums of its gradients are written into `grads`.

        Sums, not means: the gradient of a batch is the sum of those of its samples.

        Args:
            params: the parameters, only read.
            inputs: (n, d), only read.
            targets: (n,), as the loss takes them.
            grads: for each parameter a C-contiguous array of its shape.

        Returns:
            The loss, a scalar of the array module, as nothing is copied to the host; and the outputs, (n, k),
            valid until the next call.
        """

    def predict(self, params: Mapping[str, Array], inputs: Array) -> Array:
        """The outputs, (n, k), for inputs, (n, d), in a new array."""
