"""Wrappers around rules: their definitions in NumPy, and equal bits on every backend and layout."""

from typing import Any

import numpy as np
import pytest

import mxtrain
from tests.optim.rules.test_every_rule import every_config, make_arrays, state_bytes
from tests.optim.wrappers.references import RULES, Reference

WRAPPERS: dict[str, dict[str, Any]] = {
    "cautious": {"cautious": True},
    "agc": {"agc": {"clipping": 0.3}, "scale": 0.5},
    "lookahead": {"lookahead": {"period": 3, "slow_step": 0.7}},
    "ema": {"ema": {"decay": 0.9}},
    "ema from the weights": {"ema": {"decay": 0.9, "corrected": False}},
    "bounds": {"bounds": [-0.5, 0.6]},
    "lower bound": {"bounds": [0, None]},
    "clip_norm": {"clip_norm": 1.5, "scale": 0.5},
    "skip_nonfinite": {"skip_nonfinite": True},
    "accumulate": {"accumulate": 4},
    "corrected": {"corrected": True, "η_sched": {"kind": "exp", "γ": 0.9, "per": "iteration"}},
    "decoupled": {"decoupled": True, "η_sched": {"kind": "exp", "γ": 0.9, "per": "iteration"}},
}
ALL: dict[str, Any] = {
    "cautious": True,
    "agc": {"clipping": 0.3},
    "lookahead": {"period": 2},
    "ema": {"decay": 0.9},
    "bounds": [-0.5, 0.6],
    "clip_norm": 1.5,
    "scale": 0.5,
    "skip_nonfinite": True,
    "accumulate": 2,
}
WRAPPERS["all"] = ALL
COUPLED = {"sgd", "signum", "adam"}


@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS.keys())
@pytest.mark.parametrize("kind", RULES)
def test_each_wrapper_follows_its_definition(kind: str, wrapper: dict[str, Any]) -> None:
    if "decoupled" in wrapper and kind not in COUPLED:
        pytest.skip("the decay of the rule is decoupled without a wrapper")
    config = RULES[kind] | wrapper
    if "corrected" in wrapper and kind in COUPLED:
        config["decoupled"] = True
    generator = np.random.default_rng(3)
    params = {"W": generator.standard_normal((5, 4)), "b": generator.standard_normal(3)}
    wanted = {name: value.copy() for name, value in params.items()}
    optimizer, reference = mxtrain.build(config, backend="numpy"), Reference(config, wanted)
    for number in range(20 * config.get("accumulate", 1)):
        grads = {name: generator.standard_normal(value.shape) for name, value in params.items()}
        if "skip_nonfinite" in config and number % 5 == 3:
            grads["b"][1] = (np.nan, np.inf, -np.inf)[number % 3]
        optimizer.step(params, grads)
        reference.step(grads)
        evaluated = optimizer.evaluation_params(params), reference.evaluation() if reference.t else params
        for name in params:
            np.testing.assert_allclose(params[name], wanted[name], rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(evaluated[0][name], evaluated[1][name], rtol=1e-12, atol=1e-12)
    assert optimizer.state.skipped == reference.skipped
    assert optimizer.state.curr_iter == reference.t


def all_on(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config of a rule with every wrapper that it has."""
    rule = mxtrain.build(config).rule
    decay = {"decoupled": True} if "decoupled" in type(rule).model_fields else {}
    smaller = {"largest": 100} if config["kind"] == "soap" else {}  # eigenvectors of large factors take long
    return config | ALL | decay | smaller


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_config
def test_all_wrappers_give_equal_bits_loose_and_flat(config: dict[str, Any], dtype: str) -> None:
    results = []
    for is_flat in (False, True):
        params, gradients = make_arrays(dtype)
        arrays: Any = mxtrain.FlatParameters(params) if is_flat else params
        optimizer = mxtrain.build(all_on(config), backend="numpy")
        for grads in gradients * 2:
            optimizer.step(arrays, mxtrain.FlatParameters(grads) if is_flat else grads)
        evaluated = optimizer.evaluation_params(arrays)
        results.append(
            (
                {name: value.tobytes() for name, value in arrays.items()},
                {name: np.asarray(value).tobytes() for name, value in evaluated.items()},
                state_bytes(optimizer),
            )
        )
    assert results[0] == results[1]
