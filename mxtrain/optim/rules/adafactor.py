"""Adafactor: steps scaled by row and column means of the squared gradient."""

from collections.abc import Mapping
from math import sqrt as scalar_sqrt
from typing import Any, ClassVar, Literal

import numpy as np

from mxtrain.optim.ir import AnyProgram, MatrixOperations, Variant, increment, maximum, mean, sqrt
from mxtrain.optim.ir.wrapping import SMALLEST_SHARE
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.matrix_rule import MatrixRule
from mxtrain.optim.rules.time import Time
from mxtrain.types import SMALLEST_NORMAL, AtLeastOne, NonNegative, Positive, Stability


class Adafactor(MatrixRule):
    """Adafactor: steps scaled by row and column means of the squared gradient.

    Slots `R` and `C`: a number for each row and each column of the last two axes; scalar `κ = t^(-τ)`:
    `α = max(ϵ2, rms(W))·min(η, 1/√t)`, `R ← (1-κ)·R + κ·mean_row(g⊙g)`, `C ← (1-κ)·C + κ·mean_column(g⊙g)`,
    `V = R⊗C / max(mean(R), ϵ1)`, `U = g / √max(V, ϵ1²)`, `W ← W + ((-η·λ)·W + (-α / max(1, rms(U)/d))·U)`.
    An array of fewer than two axes has a slot `v` of its shape in place of R and C: `v ← (1-κ)·v + κ·(g⊙g)`, `V = v`.

    R and C take the place of Adam's second moment: a matrix of 1000 x 1000 needs 2,000 numbers in place of 2,000,000.
    The step is relative to the size of the weight, `rms(W)`, and a step whose `rms(U)` is above d is made smaller.
    Means are computed in float64, in an order that depends only on the shape.

    Args:
        η: largest relative learning rate, above 0; `1/√t` bounds it too.
        τ: exponent of the decay of R and C, above 0.
        ϵ1: smallest mean of squares, and smallest root of V, above 0.
        ϵ2: smallest size of a weight, above 0.
        d: bound on the root mean square of U, at least 1.
        λ: weight decay, at least 0; decoupled: each update subtracts `η·λ` times the weight.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> W, g = np.ones((2, 2)), np.array([[3.0, -3.0], [4.0, 4.0]])
        >>> mxtrain.build(mxtrain.Adafactor(η=0.1)).update(0, g, W)
        >>> W.round(4)
        array([[0.9, 1.1],
               [0.9, 0.9]])

    Source: Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost" (ICML 2018),
    arXiv:1804.04235; as `torch.optim.Adafactor`, with an ϵ1 that does not depend on the dtype.
    """

    slots: ClassVar[tuple[str, ...]] = ("R", "C")
    holds_zero_weights: ClassVar = True
    decoupled: ClassVar = True
    overflow_bounds: ClassVar = "gradient"
    arrays_moved: ClassVar = 6
    options: ClassVar[tuple[str, ...]] = ("cautious",)
    kind: Literal["adafactor"] = "adafactor"
    η: Positive = 0.01
    τ: Positive = 0.8
    ϵ1: Stability = 1e-15
    ϵ2: Stability = 0.001
    d: AtLeastOne = 1.0
    λ: NonNegative = 0.0

    def slot_shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of R and C."""
        return shape[:-1], (*shape[:-2], shape[-1])

    def for_vectors(self) -> Rule:
        """Return the same rule with the slot `v`."""
        return _VectorAdafactor.model_construct(**self.__dict__)

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`κ = t^(-τ)`, `rate = min(η, 1/√t)`, `floor = ϵ1²`, `decay = -η·λ`; `floor` is not 0 in float32."""
        t, η = time.update, self.learning_rate_at(time)
        return {
            "κ": t**-self.τ,
            "rate": min(η, 1 / scalar_sqrt(t)),
            "floor": max(self.ϵ1 * self.ϵ1, SMALLEST_NORMAL),
            "decay": self.decay_at(η),
        }

    @staticmethod
    def update_matrix(
        W: Any, g: Any, R: Any, C: Any, *, κ: float, rate: float, floor: float, decay: float, ε1: float, ε2: float,
        d: float, cautious: bool, operations: MatrixOperations,
    ) -> None:  # fmt: skip
        """One update."""
        xp, (rows, columns) = operations.xp, W.shape[-2:]
        largest = 1 / scalar_sqrt(floor)  # of a factor 1/√V, which is a product of one of its row and one of its column
        squares, clipped, factors = 0.0, 0.0, []
        matrices = list(np.ndindex(W.shape[:-2]))
        for i in matrices:
            squares += operations.square_sum(W[i])
            row_sums, column_sums = operations.axis_square_sums(g[i])
            R[i] = (1 - κ) * R[i].astype(xp.float64) + κ * (row_sums / columns)
            C[i] = (1 - κ) * C[i].astype(xp.float64) + κ * (column_sums / rows)
            row_means = R[i].astype(xp.float64)
            row_factors = 1 / xp.sqrt(row_means / xp.maximum(row_means.mean(), ε1))
            column_factors = 1 / xp.sqrt(C[i].astype(xp.float64))
            factors.append((row_factors.astype(W.dtype), column_factors.astype(W.dtype)))
            clipped += operations.scaled_square_sum(g[i], *factors[-1], largest)
        α = max(ε2, scalar_sqrt(squares / W.size)) * rate
        step = -α / max(1.0, scalar_sqrt(clipped / W.size) / d)
        if cautious:  # a step always has the opposite sign of its gradient
            step /= max(int(xp.count_nonzero(g)) / g.size, SMALLEST_SHARE)
        for i, (row_factors, column_factors) in zip(matrices, factors, strict=True):
            operations.scaled_step(W[i], g[i], row_factors, column_factors, largest=largest, step=step, decay=decay)


class _VectorAdafactor(Adafactor):
    """Adafactor of an array of fewer than two axes, whose second moment is not factored."""

    slots: ClassVar = ("v",)
    options: ClassVar = ()
    slots_have_weight_shape: ClassVar = True

    def program(self, variant: Variant = "update") -> AnyProgram:
        """Return the traced program of one call."""
        return Rule.program(self, variant)

    def slot_shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Return the shape of the slot, that of the weight."""
        return (shape,)

    def for_vectors(self) -> Rule:
        """Return this rule."""
        return self

    @staticmethod
    def update(
        W: Any, g: Any, v: Any, *, κ: Any, rate: Any, floor: Any, decay: Any, ε2: Any, d: Any
    ) -> tuple[Any, ...]:
        """One update."""
        α = maximum(ε2, sqrt(mean(W * W))) * rate
        v = (1 - κ) * v + κ * (g * g)
        U = g / sqrt(maximum(v, floor))
        step = -α / maximum(1, sqrt(mean(U * U)) / d)
        return W + (decay * W + increment(step * U)), v
