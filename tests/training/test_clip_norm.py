"""`fit.clip_norm` scales gradients with a larger norm, without changing their direction."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.training.gradient_norms import clip_to_norm, gradient_norm
from mxtrain.training.trainer import Trainer

ONE_STEP: dict[str, Any] = {
    "dtype": "float64",
    "data": {"source": "digits", "batch_size": 64},
    "model": {"kind": "mlp", "hidden": [16]},
    "loss": "softmax_cross_entropy",
    "optimizer": {"kind": "sgd", "η": 1, "λ": 0},
    "fit": {"epochs": 3, "metrics": ["accuracy"]},
}


def config(optimizer: Any = None, **fit: Any) -> dict[str, Any]:
    changed = copy.deepcopy(ONE_STEP)
    changed["optimizer"] |= optimizer or {}
    changed["fit"] |= fit
    return changed


def first_update(changed: dict[str, Any]) -> np.ndarray:
    """Return the change of all parameters in the first step of a run; with η = 1 and no decay, minus the gradient."""
    trainer = Trainer(mxtrain.RunConfig.model_validate(changed).resolve())
    before = {name: value.copy() for name, value in trainer.params.items()}
    next(trainer.steps())
    return np.concatenate([(trainer.params[name] - before[name]).ravel() for name in before])


@pytest.mark.parametrize("scale", [0, 1, -0.5, 1e-3])
def test_the_optimizer_gets_a_gradient_of_the_clipped_norm(scale: float) -> None:
    whole = first_update(config({"scale": scale}))
    norm = np.linalg.norm(whole)
    shortened = first_update(config({"scale": scale}, clip_norm=norm / 7))
    assert np.linalg.norm(shortened) == pytest.approx(norm / 7, rel=1e-9)
    np.testing.assert_allclose(shortened * 7, whole, rtol=1e-6, atol=1e-12)


def test_a_gradient_below_the_limit_is_unchanged(tmp_path: Path) -> None:
    free, bound = (
        mxtrain.fit(config(clip_norm=limit), run_dir=tmp_path / name)
        for name, limit in (("free", None), ("bound", 1e6))
    )
    for name, value in free.parameters.items():
        assert bound.parameters[name].tobytes() == value.tobytes()


def test_the_elements_are_clipped_after_the_norm() -> None:
    norm = np.linalg.norm(first_update(config()))
    both = first_update(config({"clip": norm / 1000}, clip_norm=norm / 7))
    np.testing.assert_allclose(
        both, np.clip(first_update(config(clip_norm=norm / 7)), -norm / 1000, norm / 1000), rtol=1e-6, atol=1e-12
    )


def test_reported_norms_are_those_before_clipping(tmp_path: Path) -> None:
    row = mxtrain.fit(config(clip_norm=1e-3, epochs=1), run_dir=tmp_path).history[0]
    assert row["diagnostics"]["grad_norm"] > 0.1


@pytest.fixture
def ignore_overflow() -> Iterator[None]:
    """Ignore floating-point warnings, as a trainer does."""
    with np.errstate(all="ignore"):
        yield


@pytest.mark.usefixtures("ignore_overflow")
def test_a_norm_that_overflows_float32_is_clipped() -> None:
    grads = FlatParameters({"W": np.array([3e30, 0], dtype="float32"), "b": np.array([-4e30])})
    clip_to_norm(np, grads, gradient_norm(np, grads) * 0.5, scale=0.5, limit=1.0)
    np.testing.assert_allclose([*grads["W"], *grads["b"]], [1.2, 0, -1.6], rtol=1e-6)
    assert {str(dtype) for dtype in grads.buffers} == {"float32", "float64"}


@pytest.mark.usefixtures("ignore_overflow")
@pytest.mark.parametrize(
    ("dtype", "size", "limit"), [("float32", 1e-25, 1e-30), ("float32", 1e38, 1e-8), ("float64", 1e200, 1e-8)]
)
def test_extreme_ratios_of_norm_and_limit(dtype: str, size: float, limit: float) -> None:
    grads = FlatParameters({"W": (np.array([0.6, -0.8]) * size).astype(dtype)})
    norm = gradient_norm(np, grads)
    assert norm == pytest.approx(size, rel=1e-6)
    clip_to_norm(np, grads, norm, scale=1.0, limit=limit)
    np.testing.assert_allclose(grads["W"], [0.6 * limit, -0.8 * limit], rtol=1e-6)


def test_a_zero_gradient_stays_zero() -> None:
    grads = FlatParameters({"W": np.zeros(3)})
    clip_to_norm(np, grads, norm=0.0, scale=1.0, limit=1e-300)
    assert not grads["W"].any()


def test_clipping_prevents_divergence(tmp_path: Path) -> None:
    steep = config({"η": 1e3}) | {"dtype": "float32", "loss": "squared_error"}
    steep["data"] = {"source": "diabetes", "standardize": "none"}
    steep["fit"] = {"epochs": 2}
    with pytest.raises(mxtrain.TrainingError, match=r"bound the gradients with fit.clip_norm or optimizer.clip$"):
        mxtrain.fit(steep, run_dir=tmp_path / "free")
    steep["fit"]["clip_norm"] = 1e-3
    assert np.isfinite(mxtrain.fit(steep, run_dir=tmp_path / "bound").history[-1]["loss"])
