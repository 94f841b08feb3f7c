"""A regression that ends worse than predicting the mean gets advice; other runs do not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain

X = np.random.default_rng(0).standard_normal((80, 2))
LINE = X @ [1.0, -2.0]


def config(**sections: Any) -> dict[str, Any]:
    return {
        "data": {"source": "in_memory", "standardize_target": False}, "model": {"kind": "linear"}, "loss": "squared_error",
        "optimizer": {"kind": "adam", "η": 0.05}, "fit": {"epochs": 40}, **sections,
    }  # fmt: skip


CASES: dict[str, tuple[dict[str, Any], Any, str]] = {
    "large targets": (config(), 300_000 + 50_000 * LINE, "set data.standardize_target: true"),
    "large targets, r2 measured": (
        config(fit={"epochs": 3, "metrics": ["r2"]}), 300_000 + LINE, "set data.standardize_target: true",
    ),
    "too few epochs": (
        config(optimizer={"kind": "sgd", "η": 1e-4}, fit={"epochs": 3}), 3 + LINE, "more fit.epochs or a larger optimizer.η"
    ),
    "noise that is overfitted": (
        config(
            model={"kind": "mlp", "hidden": [256]},
            optimizer={"kind": "adam", "η": 0.02, "λ": 0},
            fit={"epochs": 200},
        ),
        np.random.default_rng(1).standard_normal(80),
        "early stopping, a larger optimizer.λ, or a smaller model",
    ),
    "steps too long": (
        config(optimizer={"kind": "adam", "η": 30.0}, fit={"epochs": 2}, seed=1), LINE, "a smaller optimizer.η"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("run", "targets", "remedy"), CASES.values(), ids=CASES.keys())
def test_advice_is_one_line_with_a_remedy(
    run: dict[str, Any], targets: Any, remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mxtrain.fit(run, run_dir=tmp_path, data=(X, targets), verbose=True)
    advice = [line for line in capsys.readouterr().err.splitlines() if "R²" in line]
    assert len(advice) == 1, advice
    assert advice[0].startswith("R² on the validation part is -")
    assert advice[0].endswith(remedy), advice[0]


def test_r2_from_the_loss_equals_the_r2_metric(tmp_path: Path) -> None:
    from mxtrain.training.run_folder.history import _r2, target_moments

    result = mxtrain.fit(config(fit={"epochs": 2, "metrics": ["r2"]}), run_dir=tmp_path, data=(X, 3 + LINE))
    row = result.history[-1]
    run = mxtrain.load_run(tmp_path)
    targets = run.compare("validation", data=(X, 3 + LINE)).targets
    moments = target_moments(result.config, targets)
    assert moments is not None
    without = {name: value for name, value in row.items() if name != "val_r2"}
    assert _r2(result.config, without, moments, "val_") == pytest.approx(row["val_r2"], abs=1e-5)


def test_a_successful_regression_gets_no_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {"source": "in_memory", "standardize_target": True}
    mxtrain.fit(config(data=data), run_dir=tmp_path, data=(X, 300_000 + 50_000 * LINE), verbose=True)
    assert "R²" not in capsys.readouterr().err
