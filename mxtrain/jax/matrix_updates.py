"""Matrix rules in JAX: Muon with jax.numpy, every other one on the host, and adaptive clipping of columns."""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt as scalar_sqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mxtrain.jax.float64 import from_bits, reduce_array, rounded, to_bits, traced_to_bits
from mxtrain.jax.programs import Evaluated, Values, evaluate_scalar, update_to
from mxtrain.optim.backends.matmul import single_threaded_blas
from mxtrain.optim.backends.matrix_operations import NumPyMatrixOperations
from mxtrain.optim.ir import GradientStage, MatrixProgram, Scalar, Workspace
from mxtrain.optim.ir.wrapping import ACCUMULATED, HIGH, LOW, SMALLEST_SHARE
from mxtrain.optim.rules import Muon

_SMALLEST_NORM = 1e-6
"""Smallest norm of a gradient by which `agc` divides, as in `gradient_clipping`."""


def run_matrix_program(program: MatrixProgram, arrays: Sequence[Any], scalars: Sequence[Any]) -> Evaluated:
    """Evaluate a program of whole arrays on those of one parameter: W, its gradient and the slots."""
    W, count = arrays[0], len(arrays) - len(program.wrapper.slots)
    values = scalars[: len(program.coefficients)]
    if program.update is Muon.update_matrix and W.size:
        new = _run_muon(program, arrays, dict(zip(program.coefficients, values, strict=True)))
    else:
        new = _run_on_host(program, arrays, values, count)
    results = dict(zip((0, *range(2, count)), new, strict=True))
    if program.final is not None:
        wrapped = {number: arrays[number] for number in range(count, len(arrays))}
        order = (0, *wrapped)
        final = _final_values(program, [{**results, **wrapped}[number] for number in order], values)
        results |= {order[number]: value for number, value in final.items()}
    return Evaluated(update_to(W, results.pop(0)), results)


def _final_values(program: MatrixProgram, arrays: Sequence[Any], scalars: Sequence[Any]) -> dict[int, Any]:
    """Return the new content of the weight and of the slots of wrappers, by their number in the final program."""
    final = program.final
    assert final is not None
    known = {Scalar("input", label=name): value for name, value in zip(program.coefficients, scalars, strict=True)}
    values = Values(final, arrays, [rounded(evaluate_scalar(each, known), arrays[0].dtype) for each in final.scalars])
    return {number: jnp.broadcast_to(values.value(operand), arrays[number].shape) for number, operand in final.outputs}


def _run_on_host(program: MatrixProgram, arrays: Sequence[Any], scalars: Sequence[Any], count: int) -> Sequence[Any]:
    """Run a program with NumPy, and return the new W and slots of the rule; arrays move to the host and back."""

    def run(bits: Any, *values: Any) -> tuple[Any, ...]:
        copies = [np.array(value) for value in values]
        with single_threaded_blas, np.errstate(all="ignore"):
            program.run(copies, from_bits(bits), NumPyMatrixOperations(Workspace()))
        return (copies[0], *copies[2:count])

    is_traced = any(isinstance(each, jax.core.Tracer) for each in (*arrays, *scalars))
    if not is_traced:
        return [jnp.asarray(value) for value in run(to_bits(scalars), *arrays)]
    shapes = [jax.ShapeDtypeStruct(arrays[number].shape, arrays[number].dtype) for number in (0, *range(2, count))]
    results: Sequence[Any] = jax.pure_callback(
        run, tuple(shapes), traced_to_bits(scalars), *arrays, vmap_method="sequential"
    )
    return results


def _run_muon(program: MatrixProgram, arrays: Sequence[Any], values: Mapping[str, Any]) -> Sequence[Any]:
    """Return the new W and the new m of Muon; products are computed in the full precision of their dtype."""
    W, g, m = arrays[:3]
    options, dtype = dict(program.options), W.dtype
    accumulated = dict(zip(program.wrapper.slots, arrays[3:], strict=True)).get(ACCUMULATED)
    number = {name: rounded(value, dtype) for name, value in values.items()}
    g = apply_stage(program.stage, W, g, number, accumulated)
    μ = number["μ"]
    scaled = rounded(evaluate_scalar(_ONE_MINUS_μ, {Scalar("input", label="μ"): values["μ"]}), dtype) * g
    m = m * μ + scaled
    u = m * μ + scaled if options["nesterov"] else m
    shape = (W.size // W.shape[-1], W.shape[-1])
    norm = rounded(_root(reduce_array("dot", u, u)), dtype)
    X = (u / jnp.maximum(norm, number["ε"])).reshape(shape)
    X = _orthogonalize(X, options["steps"], options["coefficients_"]).reshape(W.shape)
    if program.wrapper.cautious:
        is_kept = ((X > 0) & (g > 0)) | ((X < 0) & (g < 0))
        share = jnp.maximum(jnp.mean(is_kept.astype(dtype)), SMALLEST_SHARE)
        X = X * (is_kept.astype(dtype) / share)
    factor = 0.2 * scalar_sqrt(max(shape)) if options["match_rms"] else scalar_sqrt(max(1.0, shape[1] / shape[0]))
    step = X * (number["step"] * np.asarray(factor, dtype))
    return W + (number["decay"] * W + step), m


_ONE_MINUS_μ = Scalar("subtract", (Scalar("number", label=1.0), Scalar("input", label="μ")))


def _root(value: Any) -> Any:
    with jax.enable_x64(True):
        return jnp.sqrt(value) if isinstance(value, jax.core.Tracer) else np.sqrt(value)


def _orthogonalize(X: Any, steps: int, coefficients: tuple[float, float, float]) -> Any:
    """Return X after the iteration of Newton and Schulz, on its shorter side."""
    a, b, c = (np.asarray(each, X.dtype) for each in coefficients)
    is_tall = X.shape[0] > X.shape[1]
    diagonal = a * np.eye(min(X.shape), dtype=X.dtype)
    multiply: Callable[[Any, Any], Any] = lambda x, y: jnp.matmul(x, y, precision="highest")  # noqa: E731
    for _ in range(steps):
        A = multiply(X.T, X) if is_tall else multiply(X, X.T)
        B = (b * A + c * multiply(A, A)) + diagonal
        X = multiply(X, B) if is_tall else multiply(B, X)
    return X


def apply_stage(stage: GradientStage, W: Any, g: Any, scalars: Mapping[str, Any], accumulated: Any) -> Any:
    """Return the gradient after the stage, with the operations of `GradientStage.apply`."""
    if stage.averages:
        g = (accumulated + g) / scalars["accumulate"]
    if stage.scales:
        g = scalars["scale"] * g
    if stage.clips:
        g = jnp.minimum(jnp.maximum(g, -scalars["clip"]), scalars["clip"])
    if stage.decays:
        g = g + scalars["λ"] * W
    if stage.has_low:
        g = jnp.where((scalars[LOW] >= W) & (g > 0), jnp.zeros_like(g), g)
    if stage.has_high:
        g = jnp.where((scalars[HIGH] <= W) & (g < 0), jnp.zeros_like(g), g)
    return g


def clip_columns(W: Any, g: Any, clipping: Any, smallest: Any, scale: Any) -> Any:
    """Return the gradient after adaptive clipping, as `gradient_clipping.clip_columns`."""
    if not g.size:
        return g
    columns = 1 if sum(side > 1 for side in g.shape) < 2 else g.shape[-1]
    with jax.enable_x64(True):
        W_norms, g_norms = (
            jnp.sqrt(jnp.square(each.reshape(-1, columns).astype(jnp.float64)).sum(axis=0)) for each in (W, g)
        )
        g_norms = g_norms * jnp.abs(scale)
        bounds = clipping * jnp.maximum(W_norms, smallest)
        factors = jnp.where(g_norms >= bounds, bounds / jnp.maximum(g_norms, _SMALLEST_NORM), 1.0).astype(g.dtype)
    return (g.reshape(-1, columns) * factors).reshape(g.shape)
