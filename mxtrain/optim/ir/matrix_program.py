"""Programs of matrix rules: updates of whole arrays, with matrix products and sums along axes."""

import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import prod
from textwrap import dedent
from types import ModuleType
from typing import Any, Protocol, TypeAlias

import numpy as np

from mxtrain.errors import TraceError
from mxtrain.names import display_name
from mxtrain.optim.ir.increments import replacing_increments
from mxtrain.optim.ir.program import Program
from mxtrain.optim.ir.trace import GradientStage, UpdateProgram, keyword_only_names, trace
from mxtrain.optim.ir.wrapping import ACCUMULATED, HIGH, LOW, NO_WRAPPER, SMALLEST_SHARE, UpdateWrapper
from mxtrain.types import Array


class Workspace(threading.local):
    """Buffers for temporary arrays, kept from update to update, one set for each thread.

    Example:
        >>> workspace = Workspace()
        >>> first = workspace.array("X", (2, 3), np.zeros(1))
        >>> np.shares_memory(first, workspace.array("X", (2,), np.zeros(1)))
        True
    """

    def __init__(self) -> None:
        self._buffers: dict[tuple[Any, ...], Array] = {}

    def array(self, name: str, shape: tuple[int, ...], example: Array, xp: ModuleType = np) -> Array:
        """Return an uninitialized C-contiguous array with the dtype and the device of an example.

        Args:
            name: the name of the buffer; an earlier array of this name must not be in use.
            shape: the shape.
            example: an array of the dtype, on the device.
            xp: `numpy` or `cupy`.
        """
        size = prod(shape)
        key = name, example.dtype, xp.__name__, None if xp is np else example.device.id
        buffer = self._buffers.get(key)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[key] = xp.empty(size, dtype=example.dtype)
        return buffer[:size].reshape(shape)


class MatrixOperations(Protocol):
    """Operations on whole arrays that a backend provides to matrix rules.

    Those on NumPy arrays give the same bits for any number of threads, compiled or not.
    """

    xp: ModuleType
    """`numpy` or `cupy`."""
    workspace: Workspace

    def buffer(self, name: str, shape: tuple[int, ...], example: Array) -> Array:
        """Return an array of the workspace."""

    def multiply(
        self, a: Array, b: Array, out: Array, *, transpose_a: bool = False, transpose_b: bool = False,
        symmetric: bool = False,
    ) -> None:  # fmt: skip
        """Compute `out ← a·b` for matrices.

        Args:
            a, b: the factors.
            out: the product, C-contiguous; it shares no memory with the factors.
            transpose_a, transpose_b: use the transpose of a factor.
            symmetric: the product is known to be symmetric, so only half of it need be computed.
        """

    def norm(self, x: Array) -> float:
        """Return the Euclidean norm of all elements, in float64."""

    def axis_square_sums(self, x: Array) -> tuple[Array, Array]:
        """Return the sums of the squares of each row and of each column of a matrix, in float64."""

    def column_square_sums(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return the sums of the squares of each column of two matrices of one shape and dtype, in float64."""

    def scale_columns(self, x: Array, factors: Array, out: Array) -> None:
        """Compute `out ← x⊙factors`, with a factor of each column in the dtype of x."""

    def run_with_factors(
        self, program: Program, arrays: Sequence[Array], factors: Array, scalars: Sequence[float]
    ) -> bool:
        """Run the program of a rule in place, with a factor of each column of the gradient in its dtype.

        The result is bit-for-bit equal to an update with the gradient of `scale_columns`, which is not stored.

        Returns:
            False, without running anything, where that is not faster than `scale_columns`.
        """

    def square_sum(self, x: Array) -> float:
        """Return the sum of the squares of a matrix, in float64."""

    def scaled_square_sum(self, g: Array, rows: Array, columns: Array, largest: float) -> float:
        """Return the sum of the squares of `g⊙min(rows⊗columns, largest)`, in float64."""

    def scaled_step(
        self, W: Array, g: Array, rows: Array, columns: Array, *, largest: float, step: float, decay: float
    ) -> None:
        """Compute `W ← W + (decay·W + step·(g⊙min(rows⊗columns, largest)))` in place."""


@dataclass(frozen=True, eq=False)
class MatrixProgram:
    """The update of a matrix rule: the gradient stage, then a function of whole arrays.

    Like a `Program`, it holds no values of coefficients, and programs are compared by identity.

    Args:
        name: the name of the rule.
        arrays: names of the arrays: `W`, `g` and the slots.
        update: the function; it gets the arrays by position, and changes W and the slots in place.
        stage: the steps of the gradient stage.
        coefficients: names of the scalars, those of the stage first.
        used: names of the scalars that the function gets.
        options: fields that the function gets as plain values.
        wrapper: the wrappers around the update.
        final: the elementwise program of the wrappers that follow the update; None if there are none.
    """

    name: str
    arrays: tuple[str, ...]
    update: Callable[..., None]
    stage: GradientStage
    coefficients: tuple[str, ...]
    used: tuple[str, ...]
    options: tuple[tuple[str, Any], ...]
    wrapper: UpdateWrapper = NO_WRAPPER
    final: Program | None = None

    def evaluate_scalars(self, coefficients: Mapping[str, float]) -> tuple[float, ...]:
        """Return the values of the scalars, in float64."""
        return tuple(float(coefficients[name]) for name in self.coefficients)

    def run(self, arrays: Sequence[Array], scalars: Sequence[float], operations: MatrixOperations) -> None:
        """Update the arrays of one parameter in place; `final` has to be run after it.

        Args:
            arrays: W, its gradient, which is not written to, and the slots.
            scalars: the values of the scalars.
            operations: the operations of the backend.
        """
        W, g, *slots = arrays
        if not W.size:
            return
        values = dict(zip(self.coefficients, scalars, strict=True))
        count = len(slots) - len(self.wrapper.slots)
        stored = dict(zip(self.wrapper.slots, slots[count:], strict=True))
        if self.stage.scalars:
            g = self._apply_stage(W, g, values, operations, stored.get(ACCUMULATED))
        needed = {name: values[name] for name in self.used} | dict(self.options)
        if not self.wrapper.cautious or "cautious" in needed:
            self.update(W, g, *slots[:count], operations=operations, **needed)
            return
        with replacing_increments(partial(_mask_array, g, operations)):
            self.update(W, g, *slots[:count], operations=operations, **needed)

    def final_arrays(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """Return the arrays of `final`: W, and the slots of wrappers."""
        return (arrays[0], *arrays[len(arrays) - len(self.wrapper.slots) :])

    def _apply_stage(
        self, W: Array, g: Array, values: Mapping[str, float], operations: MatrixOperations, accumulated: Array | None
    ) -> Array:
        """Return the gradient after the stage, in a buffer, with the operations of `GradientStage.apply`."""
        xp, result = operations.xp, operations.buffer("stage", g.shape, g)
        if self.stage.averages:
            xp.add(accumulated, g, out=result)
            g = xp.divide(result, values["accumulate"], out=result)
        if self.stage.scales:
            xp.multiply(g, values["scale"], out=result)
            g = result
        if self.stage.clips:
            xp.maximum(g, -values["clip"], out=result)
            xp.minimum(result, values["clip"], out=result)
            g = result
        if self.stage.decays:
            g = xp.add(g, values["λ"] * W, out=result)
        if self.stage.has_low or self.stage.has_high:
            if g is not result:
                result[...] = g
            if self.stage.has_low:
                result[(values[LOW] >= W) & (result > 0)] = 0
            if self.stage.has_high:
                result[(values[HIGH] <= W) & (result < 0)] = 0
        return result

    def __str__(self) -> str:
        """Return the program as text: its scalars, and the source of its function."""
        scalars = [f"  s{i} = {display_name(name)}" for i, name in enumerate(self.coefficients)]
        width = max(map(len, scalars), default=0)
        lines = [f"{self.name}({', '.join(self.arrays)})", *(f"{line:<{width}}    (host, float64)" for line in scalars)]
        return "\n".join([*lines, *(f"  {line}" for line in self.source().splitlines())])

    def source(self) -> str:
        """Return the source text of the function, which is the same on all backends; empty if there is none."""
        try:
            text = dedent(inspect.getsource(self.update))
        except OSError:  # a frozen program, or a function that was typed in
            return ""
        return text.removeprefix("@staticmethod\n").replace("  # fmt: skip", "").replace("ε", "ϵ").rstrip("\n")


def _mask_array(g: Array, operations: MatrixOperations, change: Array, negated: bool) -> Array:
    """Mask the increment of an array in place, as `mask_increment` does with symbols."""
    xp = operations.xp
    up, down = ((g > 0), (g < 0)) if negated else ((g < 0), (g > 0))
    is_kept = ((change > 0) & up) | ((change < 0) & down)
    factors = is_kept.astype(change.dtype)
    factors *= 1 / max(int(xp.count_nonzero(is_kept)) / change.size, SMALLEST_SHARE)
    return xp.multiply(change, factors, out=change)


@cache
def _final_program(name: str, wrapper: UpdateWrapper) -> Program | None:
    """Return the program of the wrappers that follow an update of a whole array."""

    def formula(W: Any, *slots: Any, **scalars: Any) -> dict[str, Any]:
        return wrapper.finish(W, dict(zip(wrapper.slots, slots, strict=True)), scalars)

    program = trace(f"{name}_wrappers", formula, ("W", *wrapper.slots), wrapper.scalars)
    assert isinstance(program, Program)
    return program if program.outputs else None


@cache
def matrix_program(
    name: str,
    update: Callable[..., None],
    slots: tuple[str, ...],
    stage: GradientStage,
    options: tuple[tuple[str, Any], ...] = (),
    wrapper: UpdateWrapper = NO_WRAPPER,
) -> MatrixProgram:
    """Return the program of a matrix rule; it is cached, and independent of the values of coefficients.

    Args:
        name: the name of the rule.
        update: its `update_matrix`.
        slots: names of the slots.
        stage: the steps of the gradient stage.
        options: fields on which `update` branches, with their values.
        wrapper: the wrappers around the update; their slots follow those of the rule.
    """
    known = {"operations", *(option for option, _ in options)}
    own = tuple(each for each in keyword_only_names(update) if each not in known)
    code = getattr(update, "__code__", None)
    marks_increment = code is not None and "increment" in code.co_names
    if wrapper.cautious and "cautious" not in known and not marks_increment:
        raise TraceError(f"cautious needs the increment of {name}; mark it in update_matrix: W += step * increment(x)")
    coefficients = tuple(dict.fromkeys((*stage.scalars, *own, *wrapper.scalars)))
    arrays = "W", "g", *slots, *wrapper.slots
    final = _final_program(name, wrapper)
    return MatrixProgram(name, arrays, update, stage, coefficients, own, options, wrapper, final)


AnyProgram: TypeAlias = UpdateProgram | MatrixProgram
"""The program of a rule: of one pass, of several, or of whole arrays."""
