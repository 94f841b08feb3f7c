"""SOAP: Adam in the eigenbasis of Shampoo's factors."""

from collections.abc import Mapping
from math import prod
from math import sqrt as scalar_sqrt
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mxtrain.optim.ir import AnyProgram, MatrixOperations, Variant, increment, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.matrix_rule import MatrixRule
from mxtrain.optim.rules.time import Time
from mxtrain.types import Decay, NonNegative, Positive, PositiveInt, Stability

if TYPE_CHECKING:
    ElementwiseRule = Rule


class SOAP(MatrixRule):
    """SOAP: Adam in the eigenbasis of Shampoo's factors.

    Slots `m`, `v`, and of a weight `(in, out)` the factors `L` (in, in) and `R` (out, out) with their bases `QL` and
    `QR`. The first update only starts the factors, `L ← (1-β_factors)·g·gᵀ`, `R ← (1-β_factors)·gᵀ·g`, and their bases,
    the eigenvectors by falling eigenvalue. Each later one, with `k = t-1`:
    `h = QLᵀ·g·QR`, `m ← β1·m + (1-β1)·g`, `v ← β2·v + (1-β2)·(h⊙h)`, `u = QL·((QLᵀ·m·QR) / (√v + ϵ))·QRᵀ`,
    `W ← W + (-η·√(1-β2ᵏ)/(1-β1ᵏ))·u`, `W ← W + (-η·λ)·W`, `L ← β_factors·L + (1-β_factors)·g·gᵀ`, `R` likewise. Where
    `every` divides k, the columns of each basis and the entries of v are sorted by `diag(Qᵀ·L·Q)`, falling, and
    `Q ← qr(L·Q)`.

    Adam scales each element of the gradient by itself; SOAP first rotates it to axes along which elements are less
    correlated. The eigenvectors and the QR decomposition are computed in float64. A side longer than `largest` is not
    rotated, and its slots are empty. Of an array with more than two axes, all axes but the last are taken as rows.

    Where in and out differ by more than 1, the first factor of the longer side is singular. The basis of its null space
    is chosen by LAPACK, so another platform may give other weights.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1.
        β2: decay of the second moment, at least 0 and below 1.
        β_factors: decay of L and R, at least 0 and below 1; null means β2.
        ϵ: stability term, above 0; added to the root of the uncorrected `v`.
        λ: weight decay, on by default, at least 0; decoupled, and applied after the step.
        every: updates between two changes of the bases, at least 1.
        largest: length of the longest side that is rotated, at least 1.
        corrected_decay: multiply the decay by `η/ηmax`, the fraction of the largest η that the schedule has left.
        corrected: correct the bias of the moments.
        otherwise: the rule of arrays of fewer than two axes, any rule but a matrix rule; null means Adam with the
            fields of SOAP, whose first update changes nothing.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> W, g = np.zeros((2, 2)), np.array([[3.0, 0.0], [0.0, 4.0]])
        >>> optimizer = mxtrain.build(mxtrain.SOAP(η=0.5, λ=0))
        >>> for _ in range(2):
        ...     optimizer.update(0, g, W)
        >>> W.round(2) + 0
        array([[-0.5,  0. ],
               [ 0. , -0.5]])

    Source: Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam" (ICLR 2025), arXiv:2409.11321; as the
    authors' code and `pytorch_optimizer.SOAP`.
    """

    slots: ClassVar[tuple[str, ...]] = ("m", "v", "L", "R", "QL", "QR")
    decoupled: ClassVar = True
    arrays_moved: ClassVar = 7
    kind: Literal["soap"] = "soap"
    η: Positive = 0.003
    β1: Decay = 0.95
    β2: Decay = 0.95
    β_factors: Decay | None = None
    ϵ: Stability = 1e-8
    λ: NonNegative = 0.01
    every: PositiveInt = 10
    largest: PositiveInt = 10000
    corrected_decay: bool = False
    corrected: bool = True  # type: ignore[misc]  # a class variable in other rules
    otherwise: "ElementwiseRule | None" = None

    def slot_shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Return the shape of each slot; a side that is not rotated has factors of shape (0, 0)."""
        sides = prod(shape[:-1]), shape[-1]
        L, R = ((side, side) if side <= self.largest else (0, 0) for side in sides)
        return shape, shape, L, R, L, R

    def matrix_products(self, shape: tuple[int, int]) -> list[tuple[int, int, int]]:
        """Return the sizes of the rotations of the gradient, m and the step, and of the factors' products."""
        rows, columns = shape
        return [(rows, rows, columns), (rows, columns, columns)] * 3 + [(rows, columns, rows), (columns, rows, columns)]

    def for_vectors(self) -> Rule:
        """Return the rule in `otherwise`, or Adam with these fields."""
        rule = super().for_vectors()
        return _VectorSOAP.model_construct(**self.__dict__) if rule is self else rule

    def _is_off(self, name: str) -> bool:
        return not self.corrected_decay if name == "corrected_decay" else super()._is_off(name)

    @property
    def corrects_decay(self) -> bool:
        """The field `corrected_decay`, because `corrected` has another meaning here."""
        return self.corrected_decay

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`k = t-1`: `step = -η·√(1-β2ᵏ)/(1-β1ᵏ)`, `decay = -η·λ`, `β = β_factors`; `start = 1` at t = 1, `refresh = 1`
        where `every` divides k, else 0.
        """
        k, η = time.update - 1, self.learning_rate_at(time)
        correction = scalar_sqrt(1 - self.β2**k) / (1 - self.β1**k) if self.corrected and k else 1.0
        return {
            "step": -η * correction,
            "decay": self.decay_at(η),
            "start": float(k == 0),
            "refresh": float(k > 0 and k % self.every == 0),
            "β": self.β2 if self.β_factors is None else self.β_factors,
        }

    @staticmethod
    def update_matrix(
        W: Any, g: Any, m: Any, v: Any, L: Any, R: Any, QL: Any, QR: Any, *, step: float, decay: float, start: float,
        refresh: float, β1: float, β2: float, β: float, ε: float, operations: MatrixOperations,
    ) -> None:  # fmt: skip
        """One update."""
        xp, shape = operations.xp, (W.size // W.shape[-1], W.shape[-1])
        G = xp.ascontiguousarray(g).reshape(shape)
        if start:
            _average_factors(G, L, R, β, operations)
            for factor, basis in ((L, QL), (R, QR)):
                basis[...] = _eigenvectors(factor, operations)
            return
        m *= β1
        m += (1 - β1) * g
        h = _rotate(G, QL, QR, operations).reshape(W.shape)
        v *= β2
        v += (1 - β2) * (h * h)
        rotated = _rotate(xp.ascontiguousarray(m).reshape(shape), QL, QR, operations).reshape(W.shape)
        u = xp.ascontiguousarray(rotated / (xp.sqrt(v) + ε)).reshape(shape)
        W += step * increment(_rotate(u, QL, QR, operations, back=True).reshape(W.shape), negated=True)
        W += decay * W
        _average_factors(G, L, R, β, operations)
        if refresh:
            moments = xp.ascontiguousarray(v).reshape(shape)
            for axis, (factor, basis) in enumerate(((L, QL), (R, QR))):
                if basis.size:
                    order, basis[...] = _next_basis(factor, basis, operations)
                    moments = xp.take(moments, order, axis=axis)
            v[...] = moments.reshape(v.shape)


def _average_factors(G: Any, L: Any, R: Any, β: float, operations: MatrixOperations) -> None:
    """Add `G·Gᵀ` to L and `Gᵀ·G` to R, each unless it is empty."""
    for factor, transpose in ((L, False), (R, True)):
        if factor.size:
            product = operations.buffer("product", factor.shape, factor)
            operations.multiply(G, G, product, transpose_a=transpose, transpose_b=not transpose, symmetric=True)
            factor *= β
            product *= 1 - β
            factor += product


def _rotate(x: Any, QL: Any, QR: Any, operations: MatrixOperations, back: bool = False) -> Any:
    """Return `QLᵀ·x·QR`, or `QL·x·QRᵀ`; a side with an empty basis is not rotated."""
    if QL.size:
        out = operations.xp.empty_like(x)
        operations.multiply(QL, x, out, transpose_a=not back)
        x = out
    if QR.size:
        out = operations.xp.empty_like(x)
        operations.multiply(x, QR, out, transpose_b=back)
        x = out
    return x


def _eigenvectors(factor: Any, operations: MatrixOperations) -> Any:
    """Return the eigenvectors of a symmetric matrix by falling eigenvalue, NaN if it is not finite."""
    xp = operations.xp
    if not factor.size or not xp.isfinite(factor).all():
        return xp.full_like(factor, xp.nan)
    return xp.linalg.eigh(factor.astype(xp.float64))[1][:, ::-1]


def _next_basis(factor: Any, basis: Any, operations: MatrixOperations) -> tuple[Any, Any]:
    """Return the order of the columns by falling eigenvalue, and the next basis: one step of the power iteration."""
    xp = operations.xp
    F, Q = (xp.ascontiguousarray(each, dtype=xp.float64) for each in (factor, basis))
    product = xp.empty_like(Q)
    operations.multiply(F, Q, product)
    values = (Q * product).sum(axis=0)
    if not xp.isfinite(product).all():
        return xp.arange(len(values)), xp.full_like(factor, xp.nan)
    order = xp.argsort(-values, kind="stable")
    return order, xp.linalg.qr(product[:, order])[0]


class _VectorSOAP(SOAP):
    """SOAP without rotation: Adam whose first update changes nothing."""

    slots: ClassVar = ("m", "v")
    slots_have_weight_shape: ClassVar = True

    def program(self, variant: Variant = "update") -> AnyProgram:
        """Return the traced program of one call."""
        return Rule.program(self, variant)

    def slot_shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Return the shape of each slot, that of the weight."""
        return shape, shape

    def for_vectors(self) -> Rule:
        """Return this rule."""
        return self

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """Return the scalars of SOAP, but at t = 1 those of an update that changes nothing."""
        values = super().coefficients(time, scalars)
        if values["start"]:
            return values | {"keep1": 1.0, "keep2": 1.0, "step": 0.0, "decay": 0.0}
        return values | {"keep1": self.β1, "keep2": self.β2}

    @staticmethod
    def update(
        W: Any, g: Any, m: Any, v: Any, *, step: Any, decay: Any, keep1: Any, keep2: Any, ε: Any
    ) -> tuple[Any, ...]:
        """One update."""
        m = keep1 * m + (1 - keep1) * g
        v = keep2 * v + (1 - keep2) * (g * g)
        W = W + increment(step * (m / (sqrt(v) + ε)))
        return W + decay * W, m, v
