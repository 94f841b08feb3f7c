"""The last m pairs of steps s and changes of the gradient y, as vectors of a `Vectors` object."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.minimization.vector_operations import Rows
from mxtrain.minimization.vectors import Vectors


class CurvaturePairs:
    """Pairs in the order in which they were stored, with some of their inner products.

    Vector i of the first m is a step, vector m + i its change of the gradient.

    Args:
        vectors: the vectors.
        memory: the largest number of pairs, m.
        products: names of the inner products that are kept, each a matrix: `sy`, `yy`, `ss` or others.
    """

    def __init__(self, vectors: Vectors, memory: int, products: tuple[str, ...]) -> None:
        self._vectors, self.memory = vectors, memory
        self.steps: Rows = ()
        """Numbers of the steps, oldest first."""
        self.changes: Rows = ()
        """Numbers of the changes of the gradient, oldest first."""
        self._names = products
        self.product_matrices: NDArray[np.float64]
        """The matrices of all inner products, in the order of their names."""
        self.products: dict[str, NDArray[np.float64]]
        """The same matrices by name."""
        self.theta = 1.0
        """Factor of the initial matrix θ·I of the approximation of the Hessian."""
        self.clear()

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def next_rows(self) -> tuple[int, int]:
        """Numbers of the vectors of the next pair: free ones, or those of the oldest pair."""
        slot = self.steps[0] if len(self.steps) == self.memory else len(self.steps)
        return slot, self.memory + slot

    def clear(self) -> None:
        """Discard all pairs."""
        self._set_slots(())
        self.theta = 1.0
        self._set_products(np.zeros((len(self._names), 0, 0)))

    def _set_slots(self, slots: Rows) -> None:
        self.steps, self.changes = slots, tuple(self.memory + slot for slot in slots)

    def _set_products(self, matrices: NDArray[np.float64]) -> None:
        self.product_matrices, self.products = matrices, dict(zip(self._names, matrices, strict=True))

    def append(self) -> None:
        """Add the pair in `next_rows`; the last row and column of each product are zero and must be set."""
        is_full = len(self.steps) == self.memory
        self._set_slots((*self.steps, self.next_rows[0])[is_full:])
        kept = self.product_matrices[:, 1:, 1:] if is_full else self.product_matrices
        count = kept.shape[1]
        matrices = np.zeros((len(self._names), count + 1, count + 1))
        matrices[:, :count, :count] = kept
        self._set_products(matrices)

    def state_dict(self) -> dict[str, Any]:
        """Return copies of the pairs and products."""
        xp, vectors = self._vectors.xp, self._vectors
        empty = xp.zeros((0, vectors.size), dtype=vectors.matrix.dtype)
        stacked = {
            name: xp.stack([vectors[row] for row in rows]) if rows else empty
            for name, rows in (("steps", self.steps), ("changes", self.changes))
        }
        return {**stacked, "theta": self.theta, **{name: each.copy() for name, each in self.products.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replace the pairs by those of a state, whose shapes have been checked."""
        self._set_slots(tuple(range(len(state["steps"]))))
        for slot in self.steps:
            self._vectors.set(slot, state["steps"][slot])
            self._vectors.set(self.memory + slot, state["changes"][slot])
        self.theta = float(state["theta"])
        self._set_products(np.array([state[name] for name in self._names], dtype=np.float64))
