"""Protocol of a model, and checks of what custom models return."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from numbers import Real
from typing import Any, Protocol, TypeAlias

from numpy.typing import DTypeLike, NDArray

from mxtrain.errors import ModelError
from mxtrain.types import Array, describe


class Model(Protocol):
    """A function of parameters and inputs, with a loss. Parameters are passed to each call, by name.

    All arrays are of one array module, `numpy` or `cupy`, and of one dtype, except class indices.

    With `loss: custom` a model may also have `loss(outputs, targets)`, the sum of a batch's losses as a scalar, for
    evaluation without a gradient; otherwise the value of `loss_and_grad` is used.

    For weights of samples or classes, `loss_and_grad` and `loss` take a further argument, `weights`, (n,) or None, by
    which they multiply the losses of the samples and their gradients.
    """

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter by name."""

    def init(self, seed: int, dtype: DTypeLike) -> dict[str, NDArray[Any]]:
        """Return the initial value of each parameter, on the CPU: a pure function of the seed."""

    def loss_and_grad(
        self, params: Mapping[str, Array], inputs: Array, targets: Array, grads: Mapping[str, Array]
    ) -> tuple[Any, Array]:
        """Compute the sum of a batch's losses and the outputs, and write the sums of the gradients into `grads`.

        Sums, not means: the gradient of a batch is the sum of the gradients of its samples.

        Args:
            params: the parameters, which must not be changed.
            inputs: (n, d), which must not be changed.
            targets: (n,), as the loss expects them.
            grads: for each parameter a C-contiguous array of its shape, to be overwritten.

        Returns:
            The loss, a scalar of the array module, so that nothing is copied to the CPU; and the outputs, (n, k),
            which are valid until the next call.
        """

    def predict(self, params: Mapping[str, Array], inputs: Array) -> Array:
        """Return the outputs, (n, k), for inputs, (n, d), in a new array."""


CustomLoss: TypeAlias = Callable[[Array, Array, Array, Array | None], Any]
"""`(inputs, outputs, targets, weights)` to the sum of the batch's losses."""


def accepts_weights(method: Callable[..., Any]) -> bool:
    """Return True if a method of a model takes `weights`.

    >>> accepts_weights(lambda outputs, targets, weights=None: 0.0), accepts_weights(lambda outputs, targets: 0.0)
    (True, False)
    """
    parameters = signature(method).parameters
    return "weights" in parameters or any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values())


_METHODS = ("shapes", "init", "loss_and_grad", "predict")


def check_methods(model: Any, description: str) -> None:
    """Check that an object has the methods of a model.

    Raises:
        ModelError: it lacks one.
    """
    missing = [method for method in _METHODS if not callable(getattr(model, method, None))]
    if missing:
        raise ModelError(f"{description} is not a model: it lacks {', '.join(missing)}")


def check_returned(returned: Any, name: str, rows: int, columns: int | None = None) -> None:
    """Check what the `loss_and_grad` of a model returned.

    Args:
        returned: the value that it returned.
        name: the name of the model or of its factory, for messages.
        rows, columns: the shape of the outputs, n and k; None for any k.

    Raises:
        ModelError: it is not a loss and outputs, the loss is not a scalar, or the outputs have another shape.
    """
    place = f"the model of {name}: loss_and_grad"
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        got = f"{len(returned)} values" if isinstance(returned, tuple | list) else describe_returned_value(returned)
        raise ModelError(f"{place} must return two values, the loss and the outputs, got {got}")
    loss, outputs = returned
    if not is_scalar(loss):
        got = describe_returned_value(loss)
        raise ModelError(f"{place} must return a scalar as the loss, got {got}; return the sum of the batch's losses")
    shape = tuple(getattr(outputs, "shape", ()))
    if len(shape) != 2 or shape[0] != rows or columns not in (None, shape[1]):
        expected = f"({rows}, {columns or 'k'})"
        raise ModelError(f"{place} must return outputs of the shape {expected}, got {describe_returned_value(outputs)}")


def is_scalar(value: Any) -> bool:
    """Return whether a value is a number, or an array without dimensions that holds one, on the CPU or a GPU."""
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return is_number or (getattr(value, "shape", None) == () and kind not in "bcmMOSU")


def describe_returned_value(value: Any) -> str:
    """Describe a value for a message: an array by its shape, if it has dimensions."""
    return f"an array of the shape {tuple(shape)}" if (shape := getattr(value, "shape", ())) else describe(value)


def qualified_name(value: object) -> str:
    """Return the module and the name of a function or a class, or of the class of an object.

    >>> qualified_name(check_methods)
    'mxtrain.nn.model.check_methods'
    """
    named: Any = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
