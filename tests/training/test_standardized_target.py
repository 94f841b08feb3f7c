"""A run with a standardized target trains on numbers near 1, and reports in the original unit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from tests.sweeps.conftest import small
from tests.training.conftest import fit_interrupted, results

GENERATOR = np.random.default_rng(0)
X = GENERATOR.standard_normal((200, 3))
NEAR_1 = X @ [1.0, -2.0, 0.5] + 0.1 * GENERATOR.standard_normal(200)
PRICES = 300_000 + 50_000 * NEAR_1


def config(standardize_target: bool = True, **sections: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "name": "prices",
        "dtype": "float32",
        "data": {"source": "in_memory", "test": 0.1, "standardize_target": standardize_target},
        "model": {"kind": "mlp", "hidden": [16]},
        "loss": "squared_error",
        "optimizer": {"kind": "adam", "η": 0.01},
        "fit": {"epochs": 20, "metrics": ["mae", "r2"]},
    }
    return {
        name: value | sections.get(name, {}) if isinstance(value, dict) else sections.get(name, value)
        for name, value in whole.items()
    }


def fitted(run_dir: Path, targets: Any = PRICES, **sections: Any) -> mxtrain.LoadedRun:
    return mxtrain.load_run(mxtrain.fit(config(**sections), run_dir=run_dir, data=(X, targets)).run_dir)


def test_large_targets_train_as_well_as_targets_near_1(tmp_path: Path) -> None:
    assert fitted(tmp_path / "prices").history[-1]["val_r2"] > 0.9
    assert fitted(tmp_path / "plain", standardize_target=False).history[-1]["val_r2"] < 0


def test_trained_parameters_do_not_depend_on_the_unit(tmp_path: Path) -> None:
    """Scaling by a power of 2 does not round, so the model gets identical bits."""
    one = fitted(tmp_path / "one", NEAR_1)
    other = fitted(tmp_path / "other", 1024 * NEAR_1)
    for row, scaled in zip(one.history, other.history, strict=True):
        assert {**row, "mae": 1024 * row["mae"], "val_mae": 1024 * row["val_mae"]} == scaled
    assert (1024 * one.predict(X) == other.predict(X)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_metrics_compare_predictions_with_targets_in_the_original_unit(part: Any, dtype: str, tmp_path: Path) -> None:
    run = fitted(tmp_path, dtype=dtype)
    comparison = run.compare(part, data=(X, PRICES))
    assert comparison.targets.dtype == comparison.predicted.dtype == np.float64
    assert np.abs(comparison.targets[:, None] - PRICES).min(axis=1).max() < 0.1
    error = comparison.predicted - comparison.targets
    assert comparison.metrics["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-7)
    spread = comparison.targets - comparison.targets.mean()
    assert comparison.metrics["r2"] == pytest.approx(1 - (error @ error) / (spread @ spread), rel=1e-6)
    scale = run.preprocessing.target_scale
    assert scale is not None
    assert comparison.metrics["loss"] == pytest.approx((error @ error) / 2 / len(error) / scale.scale**2, rel=1e-6)


def test_metrics_of_training_and_evaluate_are_equal(tmp_path: Path) -> None:
    run = fitted(tmp_path)
    measured = run.evaluate(part="validation", data=(X, PRICES))
    assert measured == {name: run.history[-1][f"val_{name}"] for name in ("loss", "mae", "r2")}
    assert run.history[-1]["mae"] == pytest.approx(run.evaluate(part="training", data=(X, PRICES))["mae"], rel=0.1)
    assert run.evaluate((X, PRICES))["mae"] == pytest.approx(np.abs(run.predict(X) - PRICES).mean(), rel=1e-6)


def test_predictions_keep_small_deviations_beside_a_large_mean(tmp_path: Path) -> None:
    targets = 1e9 + 5 * NEAR_1
    run = fitted(tmp_path, targets, model={"hidden": []}, fit={"epochs": 60})
    assert run.predict(X).dtype == np.float64
    assert np.abs(run.predict(X) - targets).mean() < 2
    assert run.predict(X[:0]).dtype == np.float64


def test_targets_beyond_float32_are_trained_on(tmp_path: Path) -> None:
    run = fitted(tmp_path, 1e200 * NEAR_1)
    assert run.history[-1]["val_r2"] > 0.9
    assert 1e198 < run.evaluate(data=(X, 1e200 * NEAR_1))["mae"] < 1e200


def test_a_run_that_is_interrupted_ends_with_the_same_bytes_and_is_verified(tmp_path: Path) -> None:
    settings = config(fit={"epochs": 3})
    mxtrain.fit(settings, run_dir=tmp_path / "whole", data=(X, PRICES))
    fit_interrupted(settings, tmp_path / "cut", batches=7, data=(X, PRICES))
    mxtrain.resume(tmp_path / "cut", data=(X, PRICES))
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    assert mxtrain.verify(tmp_path / "cut", data=(X, PRICES)) == []


def test_it_cannot_change_on_resume(tmp_path: Path) -> None:
    run_dir = fitted(tmp_path, fit={"epochs": 1}).path
    with pytest.raises(
        mxtrain.ConfigError, match=r"data\.standardize_target: was true when the run started, and cannot"
    ):
        mxtrain.resume(run_dir, overrides=["fit.epochs=2", "data.standardize_target=false"], data=(X, PRICES))


def test_prediction_needs_only_the_run_folder(tmp_path: Path) -> None:
    run = fitted(tmp_path)
    saved_scale = json.loads((tmp_path / "preprocessing.json").read_bytes())["preprocessing"]["target_scale"]
    outputs = run.outputs(X)[:, 0].astype(float)
    assert (run.predict(X) == outputs * saved_scale["scale"] + saved_scale["mean"]).all()


def test_a_custom_model_gets_standardized_targets_and_predicts_in_the_original_unit(tmp_path: Path) -> None:
    seen: list[float] = []

    class Mean:
        def shapes(self) -> dict[str, tuple[int, ...]]:
            return {"b": (1,)}

        def init(self, seed: int, dtype: str) -> dict[str, Any]:
            return {"b": np.zeros(1, dtype)}

        def predict(self, params: Any, inputs: Any) -> Any:
            return np.repeat(params["b"], len(inputs))[:, None]

        def loss_and_grad(self, params: Any, inputs: Any, targets: Any, grads: Any) -> Any:
            seen.extend(targets.tolist())
            grads["b"][...] = 0
            return 0.5 * ((params["b"] - targets) ** 2).sum(), self.predict(params, inputs)

    settings = config() | {"model": {"kind": "custom"}, "fit": {"epochs": 1}}
    run_dir = mxtrain.fit(settings, run_dir=tmp_path, data=(X, PRICES), model=lambda *_: Mean()).run_dir
    run = mxtrain.load_run(run_dir, model=lambda *_: Mean())
    assert np.std(seen) == pytest.approx(1)
    assert run.predict(X[:2]) == pytest.approx(np.full(2, run.preprocessing.restore_target_unit(np.zeros(1))[0]))


def test_the_objective_of_a_sweep_is_in_the_original_unit(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", X=X, y=PRICES)
    sweep = small(
        data={"source": str(tmp_path / "t.npz"), "target": "y"},
        loss="squared_error",
        fit={"epochs": 15, "metrics": ["mae"]},
        search={"data.standardize_target": {"choice": [True, False]}},
        sampler={"kind": "grid"},
        objective={"minimize": "val_mae"},
        trials=2,
        workers=1,
    )
    result = mxtrain.sweep(sweep, run_dir=tmp_path / "sweep")
    assert "standardize_target: true" in (tmp_path / "sweep/best.yaml").read_text(encoding="utf-8")
    best, worst = sorted(row["value"] for row in result)
    assert best < 100_000 < 250_000 < worst
