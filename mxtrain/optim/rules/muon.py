"""Muon: momentum whose matrices are made nearly orthogonal."""

from collections.abc import Mapping
from math import sqrt as scalar_sqrt
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from mxtrain.optim.ir import MatrixOperations, increment
from mxtrain.optim.rules.adamw import AdamW
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.matrix_rule import MatrixRule
from mxtrain.optim.rules.time import Time
from mxtrain.types import Bounds, Decay, Finite, ListAsTuple, NonNegative, Positive, Stability

if TYPE_CHECKING:
    ElementwiseRule = Rule

_BLOCK = 1 << 16
"""Elements of which temporary arrays are computed at a time."""


class Muon(MatrixRule):
    """Muon: momentum whose matrices are made nearly orthogonal.

    Slot `m`; of a weight `(in, out)`:
    `m ← μ·m + (1-μ)·g`, `u = μ·m + (1-μ)·g` (`nesterov: false`: `u = m`), `X = u / max(‖u‖, ϵ)`, then `steps` times
    `A = X·Xᵀ`, `X ← a·X + (b·A + c·A·A)·X`, `W ← W + ((-η·λ)·W + (-η·F)·X)` with `F = √max(1, out/in)`, or with
    `match_rms` `F = 0.2·√max(in, out)`.

    The iteration is that of Newton and Schulz: it moves every singular value of the momentum towards 1, so that a step
    has about the same size in all directions. With the default coefficients they end between 0.7 and 1.2. All of it is
    computed in the dtype of the weight, on the shorter side: a matrix with more rows than columns uses `XᵀX`.

    Of an array with more than two axes, all axes but the last are taken as rows. That is the treatment of kernels of
    convolutions in the authors' code, which stores outputs first: each output is one vector. Arrays of fewer than two
    axes get the rule in `otherwise`. `match_rms` gives steps as large as those of AdamW, so that its η and λ can be
    kept; without it, try η from 0.01 to 0.05.

    Args:
        η: learning rate, above 0.
        μ: decay of the momentum, at least 0 and below 1.
        nesterov: use the momentum of the next update.
        steps: iterations, from 1 to 100.
        coefficients: a, b and c of the iteration, three finite numbers.
        ϵ: smallest divisor of `u`, above 0.
        λ: weight decay, at least 0; decoupled: each update subtracts `η·λ` times the weight.
        match_rms: scale the step to the root mean square of a step of AdamW.
        otherwise: the rule of arrays of fewer than two axes, any rule but a matrix rule, with its own fields; `scale`,
            `clip` and `groups` are those of Muon, and so is `η_sched` unless it has one.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> W, g = np.zeros((2, 2)), np.array([[3.0, 0.0], [0.0, 4.0]])
        >>> mxtrain.build(mxtrain.Muon(η=1, μ=0)).update(0, g, W)
        >>> W.round(1)
        array([[-0.7,  0. ],
               [ 0. , -1.1]])

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024),
    kellerjordan.github.io/posts/muon; `match_rms`: Liu et al., "Muon is Scalable for LLM Training", arXiv:2502.16982;
    as `torch.optim.Muon` on the transposed weight, without its rounding to bfloat16.
    """

    slots: ClassVar = ("m",)
    options: ClassVar = ("nesterov", "steps", "coefficients_", "match_rms")
    decoupled: ClassVar = True
    overflow_bounds: ClassVar = "gradient"
    arrays_moved: ClassVar = 5
    kind: Literal["muon"] = "muon"
    η: Positive = 0.02
    μ: Decay = 0.95
    nesterov: bool = True
    steps: Annotated[int, Bounds(ge=1, le=100, whole=True)] = 5
    coefficients_: Annotated[tuple[Finite, Finite, Finite], ListAsTuple] = Field(
        (3.4445, -4.775, 2.0315), validation_alias="coefficients"
    )
    ϵ: Stability = 1e-7
    λ: NonNegative = 0.0
    match_rms: bool = False
    otherwise: "ElementwiseRule" = AdamW()

    def matrix_products(self, shape: tuple[int, int]) -> list[tuple[int, int, int]]:
        """Return the sizes of `X·Xᵀ`, `A·A` and `B·X` of each iteration."""
        short, long = sorted(shape)
        return [(short, long, short), (short, short, short), (short, short, long)] * self.steps

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`, `decay = -η·λ`."""
        η = self.learning_rate_at(time)
        return {"step": -η, "decay": self.decay_at(η)}

    @staticmethod
    def update_matrix(
        W: Any, g: Any, m: Any, *, step: float, decay: float, μ: float, ε: float, nesterov: bool, steps: int,
        coefficients_: tuple[float, float, float], match_rms: bool, operations: MatrixOperations,
    ) -> None:  # fmt: skip
        """One update."""
        xp, shape = operations.xp, (W.size // W.shape[-1], W.shape[-1])
        X = operations.buffer("X", W.shape, W)
        rows = max(1, _BLOCK // (W.size // len(W)))
        for low in range(0, len(W), rows):
            part = slice(low, low + rows)
            scaled = (1 - μ) * g[part]
            xp.multiply(m[part], μ, out=m[part])
            xp.add(m[part], scaled, out=m[part])
            if nesterov:
                xp.add(xp.multiply(m[part], μ, out=X[part]), scaled, out=X[part])
            else:
                X[part] = m[part]
        X = X.reshape(shape)
        xp.divide(X, max(operations.norm(X), ε), out=X)
        X = increment(_orthogonalize(X, steps, coefficients_, operations).reshape(W.shape), negated=True)
        factor = 0.2 * scalar_sqrt(max(shape)) if match_rms else scalar_sqrt(max(1.0, shape[1] / shape[0]))
        for low in range(0, len(W), rows):
            part = slice(low, low + rows)
            xp.multiply(X[part], step * factor, out=X[part])
            if decay:
                xp.add(decay * W[part], X[part], out=X[part])
            W[part] += X[part]


def _orthogonalize(X: Any, steps: int, coefficients: tuple[float, float, float], operations: MatrixOperations) -> Any:
    """Return the result of the iteration, in a buffer: X is overwritten."""
    a, b, c = coefficients
    xp, is_tall = operations.xp, X.shape[0] > X.shape[1]
    side = min(X.shape)
    Y = operations.buffer("Y", X.shape, X)
    A, B = (operations.buffer(name, (side, side), X) for name in ("A", "B"))
    rows = max(1, _BLOCK // side)
    for _ in range(steps):
        operations.multiply(X, X, A, transpose_a=is_tall, transpose_b=not is_tall, symmetric=True)
        operations.multiply(A, A, B, symmetric=True)
        for low in range(0, side, rows):
            part = slice(low, low + rows)
            xp.multiply(B[part], c, out=B[part])
            xp.add(xp.multiply(A[part], b, out=A[part]), B[part], out=B[part])
        B.reshape(-1)[:: side + 1] += a  # a·X + B·X = (a·I + B)·X
        operations.multiply(*((X, B) if is_tall else (B, X)), Y)
        X, Y = Y, X
    return X
