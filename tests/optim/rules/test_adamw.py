"""AdamW: the documented formula of `torch.optim.AdamW`, and a decay that is independent of the gradient."""

from typing import Any

import numpy as np
import pytest

import mxtrain


def as_pytorch_documents(
    weight: np.ndarray, gradients: list[np.ndarray], rates: list[float], λ: float, ϵ: float, β1: float, β2: float
) -> np.ndarray:
    """Run the algorithm in the documentation of `torch.optim.AdamW`, line by line."""
    θ, m, v = weight.copy(), np.zeros_like(weight), np.zeros_like(weight)
    for t, (g, γ) in enumerate(zip(gradients, rates, strict=True), start=1):
        θ = θ - γ * λ * θ
        m = β1 * m + (1 - β1) * g
        v = β2 * v + (1 - β2) * g**2
        m_hat = m / (1 - β1**t)
        v_hat = v / (1 - β2**t)
        θ = θ - γ * m_hat / (np.sqrt(v_hat) + ϵ)
    return θ


@pytest.mark.parametrize("values", [{}, {"λ": 0.5, "η": 0.3}, {"λ": 0}, {"ϵ": 0.1, "β1": 0.5, "β2": 0.7}, {"β1": 0}])
@pytest.mark.parametrize("schedule", [None, mxtrain.learning_rate.Exp(γ=0.9, per="iteration")])
def test_it_is_the_formula_in_the_documentation_of_pytorch(
    values: dict[str, float], schedule: Any, arrays: Any
) -> None:
    weight, *gradients = arrays((7, 5), "float64", count=31)
    rule = mxtrain.AdamW(**values, η_sched=schedule)
    rates = [schedule.value(t, rule.η) if schedule else rule.η for t in range(30)]
    expected = as_pytorch_documents(weight, gradients, rates, rule.λ, rule.ϵ, rule.β1, rule.β2)
    optimizer = mxtrain.build(rule)
    for gradient in gradients:
        optimizer.update("W", gradient, weight)
    np.testing.assert_allclose(weight, expected, rtol=1e-12, atol=1e-13)


def test_the_decay_factor_is_independent_of_the_gradients() -> None:
    optimizer = mxtrain.build(mxtrain.AdamW(η=0.1, λ=0.5))
    weight = np.array([1.0, 100.0])
    optimizer.update("W", np.zeros(2), weight)
    np.testing.assert_allclose(weight, [0.95, 95.0], rtol=1e-15)


def test_scale_and_clip_change_only_the_gradient() -> None:
    weight, gradient = np.full(1, 100.0), np.ones(1)
    optimizer = mxtrain.build(mxtrain.AdamW(η=0.1, λ=0.5, scale=3, clip=0.25))
    assert mxtrain.normgrad(optimizer, weight, gradient) == [0.25]
    optimizer.update("W", gradient, weight)
    assert optimizer.state_dict()["parameters"]["W"]["slots"]["m"] == pytest.approx([0.1 * 0.25])
    np.testing.assert_allclose(weight, [100 - 5 - 0.1], rtol=1e-9)


def test_without_decay_it_is_adam_except_for_the_stability_term(arrays: Any) -> None:
    weight, *gradients = arrays(20, "float64", count=6)
    other = weight.copy()
    adamw, adam = (mxtrain.build({"kind": kind, "λ": 0, "ϵ": 1e-15}) for kind in ("adamw", "adam"))
    for gradient in gradients:
        adamw.update("W", gradient, weight)
        adam.update("W", gradient, other)
    np.testing.assert_allclose(weight, other, rtol=1e-11)


def test_float32_does_not_lose_a_small_decay() -> None:
    """A factor `1 - η·λ` with a decay of 2e-8 is 1 in float32; added to a step, the decay is right on average."""
    generator = np.random.default_rng(0)
    gradients = generator.standard_normal((50, 100_000), dtype="float32")
    weights = [generator.uniform(1, 2, 100_000).astype("float32")] * 2
    for i, λ in enumerate((2e-5, 0)):
        optimizer, weights[i] = mxtrain.build(mxtrain.AdamW(η=1e-3, λ=λ)), weights[i].copy()
        for gradient in gradients:
            optimizer.update("W", gradient, weights[i])
    decayed, whole = (weight.astype("float64") for weight in weights)
    assert 1 - (decayed / whole).mean() == pytest.approx(50 * 2e-8, rel=0.1)


def test_the_smallest_stability_term_keeps_the_divisor_above_zero() -> None:
    weight = np.ones(2, dtype="float32")
    optimizer = mxtrain.build(mxtrain.AdamW(β2=1 - 2**-53, ϵ=1.2e-38, λ=0))
    optimizer.update("W", np.zeros(2, dtype="float32"), weight)
    np.testing.assert_array_equal(weight, 1)
