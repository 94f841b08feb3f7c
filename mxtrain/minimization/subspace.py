"""Minimum of the quadratic model over the variables that are not at a bound of the Cauchy point.

Sources: Byrd, Lu, Nocedal and Zhu (1995), section 5.1; J. L. Morales and J. Nocedal, Remark on Algorithm 778: L-BFGS-B,
ACM Transactions on Mathematical Software 38 (2011), 7, for the projection of the minimum onto the box.

With `B = θ·I - W·M·W'` and W = [Y, θ·S], the step of the free variables is `-g/θ - W·z/θ²`, where z solves
`(M⁻¹ - W_F'·W_F/θ)·z = W'·q`; q is g at the free variables F, and `-θ·(x_c - x)` at the others.
"""

from typing import Any

import numpy as np

from mxtrain.minimization.box_programs import MASKED_PAIR, RIGHT_SIDE
from mxtrain.minimization.curvature_pairs import CurvaturePairs
from mxtrain.minimization.vectors import Vectors

PRODUCTS = ("sy", "ss", "yy", "yy_free", "ss_active", "mixed")
"""Products of pairs over all variables, and over the free or active ones; see `small_systems.subspace_coefficients`."""


class Subspace:
    """Products of the pairs over the free and the active variables, updated where variables become free or active.

    Attributes:
        has_new_pair: True if the products of the last pair are still to be computed.

    Args:
        vectors: the vectors.
        pairs: the pairs, with the products `PRODUCTS`.
        rows: the numbers of the vectors x, g, point, free, `was_free`, and of three for intermediate results.
    """

    def __init__(self, vectors: Vectors, pairs: CurvaturePairs, rows: dict[str, int]) -> None:
        self._vectors, self._pairs, self._rows = vectors, pairs, rows
        self.has_new_pair = False

    def update(self) -> int:
        """Update the products to the free variables, and compute W'·q.

        Returns:
            The number of free variables.
        """
        vectors, pairs, rows = self._vectors, self._pairs, self._rows
        vectors.run(RIGHT_SIDE, [rows[name] for name in ("free", "x", "g", "point", "right")], {"theta": pairs.theta})
        self._move_variables()
        all_rows = (*pairs.steps, *pairs.changes)
        m = len(pairs)
        if self.has_new_pair:
            masked = [rows["free"], pairs.steps[-1], pairs.changes[-1], rows["y_free"], rows["s_active"]]
            vectors.run(MASKED_PAIR, masked)
            results = vectors.dots(all_rows, (rows["right"], rows["y_free"], rows["s_active"]))
            products = pairs.products
            products["yy_free"][:, -1] = products["yy_free"][-1, :] = results[m:, 1]
            products["ss_active"][:, -1] = products["ss_active"][-1, :] = results[:m, 2]
            products["mixed"][-1, :] = results[m:, 2]
            products["mixed"][:, -1] = results[:m, 1]
            self.has_new_pair = False
        else:
            results = vectors.dots(all_rows, (rows["right"],))
        self._right_side = np.concatenate([results[m:, 0], pairs.theta * results[:m, 0]])
        count = int(vectors.dots((rows["free"],), (rows["free"],))[0, 0])
        if count == vectors.size:  # removes what is left of rounding errors
            pairs.products["ss_active"][...] = 0.0
            pairs.products["mixed"][...] = np.triu(pairs.products["mixed"])
        return count

    def minimize(self, target: int) -> bool:
        """Compute the step of the free variables; return False if the model is not positive definite."""
        pairs, products, theta = self._pairs, self._pairs.products, self._pairs.theta
        z = self._right_side
        if not self._vectors.small.subspace_coefficients(
            products["sy"], products["yy_free"], products["ss_active"], products["mixed"], theta, z
        ):
            return False
        m = len(pairs)
        coefficients = np.concatenate([-z[m:] / theta, -z[:m] / (theta * theta), [-1.0 / theta]])
        self._vectors.combine(target, coefficients.tolist(), (*pairs.steps, *pairs.changes, self._rows["g"]))
        return bool(np.isfinite(coefficients).all())

    def _move_variables(self) -> None:
        """Add the products of variables that have become free, and subtract those of the ones that are active now."""
        vectors, pairs, rows = self._vectors, self._pairs, self._rows
        free, was_free = vectors[rows["free"]], vectors[rows["was_free"]]
        changed = vectors.xp.flatnonzero(free != was_free)
        if not len(changed):
            return
        m = len(pairs) - self.has_new_pair
        if m:
            is_free = free[changed] > 0
            old = (*pairs.steps[:m], *pairs.changes[:m])
            for sign, variables in ((1.0, changed[is_free]), (-1.0, changed[~is_free])):
                if len(variables):
                    self._add(sign, vectors.products_at(old, variables), m)
        was_free[...] = free

    def _add(self, sign: float, values: Any, m: int) -> None:
        """Add the products of variables that have become free, with sign -1 of ones that are active now."""
        products = self._pairs.products
        products["yy_free"][:m, :m] += sign * values[m:, m:]
        products["ss_active"][:m, :m] -= sign * values[:m, :m]
        signs = np.where(np.tri(m, k=-1, dtype=bool), -sign, sign)
        products["mixed"][:m, :m] += signs * values[:m, m:]
