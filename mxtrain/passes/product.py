"""A product of two matrices, and what follows on each of its elements."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from mxtrain.passes.activations import Activation
from mxtrain.types import Array


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """`out ← left·right`, to which a bias and an activation, or the slope of one, may follow.

    All arrays are C-contiguous and of one dtype. Nothing that is read may share memory with `out`.

    Attributes:
        left: (m, k), or (k, m) where it is turned; None for the inputs of the pass.
        right: (k, n), or (n, k) where it is turned.
        out: (m, n), written.
        turn_left: whether the transpose of `left` is meant.
        turn_right: whether the transpose of `right` is meant.
        bias: (n,), added to each row.
        activation: `out` becomes `h(out)`; or, where `at` is given, `out·h'`.
        at: (m, n), the values h(z) at which the slope is taken.

    Example:
        >>> import numpy as np
        >>> from mxtrain.passes.activations import ACTIVATIONS
        >>> out = np.empty((1, 2))
        >>> bias, relu = np.array([1.0, -5.0]), ACTIVATIONS["relu"]
        >>> Product(None, np.eye(2), out, bias=bias, activation=relu).compute(np, np.array([[1.0, 2.0]]))
        >>> out
        array([[2., 0.]])
    """

    left: Array | None
    right: Array
    out: Array
    turn_left: bool = False
    turn_right: bool = False
    bias: Array | None = None
    activation: Activation | None = None
    at: Array | None = None

    def is_regular(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
        """Whether the arrays are as they must be, so that they can be found by their addresses.

        Args:
            shape: of the inputs.
            dtype: of all.
        """
        rows, inner = (self.left.shape if self.left is not None else shape)[:: -1 if self.turn_left else 1]
        columns = self.right.shape[0 if self.turn_right else 1]
        wanted = {
            "left": (inner, rows) if self.turn_left else (rows, inner),
            "right": (columns, inner) if self.turn_right else (inner, columns),
            "out": (rows, columns),
            "bias": (columns,),
            "at": (rows, columns),
        }
        arrays = {name: array for name in wanted if (array := getattr(self, name)) is not None}
        return self.out.flags.writeable and all(
            array.shape == wanted[name] and array.dtype == dtype and array.flags.c_contiguous
            for name, array in arrays.items()
        )

    def compute(self, xp: ModuleType, inputs: Array) -> None:
        """All of it, with the functions of an array module."""
        left = inputs if self.left is None else self.left
        xp.dot(left.T if self.turn_left else left, self.right.T if self.turn_right else self.right, out=self.out)
        self.finish(xp)

    def finish(self, xp: ModuleType) -> None:
        """What follows on the product itself."""
        if self.bias is not None:
            xp.add(self.out, self.bias, out=self.out)
        self.activate(xp)

    def activate(self, xp: ModuleType) -> None:
        """What follows on the bias."""
        if self.activation is None:
            return
        if self.at is None:
            self.activation.forward(xp, self.out)
        else:
            self.activation.backward(xp, self.at, self.out)
