"""Runs whose optimizer is a method with a line search: training on all samples, resume, reports, wrong settings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.config import run_from_dict
from mxtrain.errors import ConfigError, TrainingError
from mxtrain.optim.explanation import explain

CONFIG: dict[str, Any] = {
    "data": {"source": "diabetes", "batch_size": 1000},
    "model": {"kind": "mlp", "hidden": [4]},
    "loss": "squared_error",
    "dtype": "float64",
    "optimizer": {"kind": "lbfgs", "memory": 5},
    "fit": {"epochs": 8, "metrics": ["mae"], "checkpoint": {"every": "1 epoch"}},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return mxtrain.fit(CONFIG, run_dir=tmp_path_factory.mktemp("run") / "whole")


def test_the_loss_falls_in_every_epoch(run: Any) -> None:
    losses = [row["loss"] for row in run.history]
    assert all(after < before for before, after in zip(losses, losses[1:], strict=False))
    assert losses[-1] < 0.8 * losses[0]
    assert "η" not in run.history[0]


def test_the_last_row_describes_the_saved_parameters(run: Any) -> None:
    assert run.evaluate(part="training")["loss"] == pytest.approx(run.history[-1]["loss"], rel=1e-12)
    assert run.evaluate(part="training")["mae"] == pytest.approx(run.history[-1]["mae"], rel=1e-12)


def test_a_resumed_run_has_the_same_bytes(run: Any, tmp_path: Path) -> None:
    part = CONFIG | {"fit": CONFIG["fit"] | {"epochs": 3}}
    first = mxtrain.fit(part, run_dir=tmp_path / "run")
    resumed = mxtrain.resume(first.run_dir, overrides=["fit.epochs=8"])
    assert resumed.history == run.history
    for name, value in run.parameters.items():
        assert value.tobytes() == resumed.parameters[name].tobytes()
    assert mxtrain.verify(resumed.run_dir) == []
    assert (mxtrain.load_run(resumed.run_dir).predict(np.zeros((1, 10))) == run.predict(np.zeros((1, 10)))).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": {"source": "diabetes", "batch_size": 32}},
            "data.batch_size: lbfgs needs all 354 training samples in one batch; set at least 354, got 32",
        ),
        (
            {"optimizer": {"kind": "lbfgs", "lr": 0.1}},
            "optimizer.lr: does not apply to lbfgs, whose fields are memory, max_line_search; remove it",
        ),
        ({"optimizer": {"kind": "lbfgs", "memory": 0}}, "optimizer.memory: must be a whole number at least 1, got 0"),
        ({"fit": {"clip_norm": 1.0}}, "fit.clip_norm: does not apply to lbfgs, got 1.0; remove it"),
        (
            {"fit": {"on_nonfinite": "skip"}},
            "fit.on_nonfinite: must be raise with lbfgs, whose steps avoid NaN and infinity, got skip",
        ),
    ],
)
def test_wrong_settings(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        mxtrain.fit(CONFIG | changes, run_dir=tmp_path / "run")
    assert str(caught.value) == message
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_infinite_ends_the_run(tmp_path: Path) -> None:
    config = CONFIG | {"data": {"source": "in_memory", "batch_size": 9, "validation": 0}, "model": {"kind": "linear"}}
    config["data"] |= {"standardize_target": False}
    with pytest.raises(TrainingError, match=r"^the value at the starting point is inf in epoch 1, batch "):
        mxtrain.fit(config, data=(np.ones((4, 1)), [1e200, 2e200, 3e200, 4e200]), run_dir=tmp_path / "run")


def test_parameters_are_explained_by_the_fields_of_the_method() -> None:
    rule = run_from_dict(CONFIG).optimizer
    assert explain(rule, {"W": (3, 2)})["W"].row == (
        "W",
        "(3, 2)",
        "lbfgs",
        "memory=5 max_line_search=20",
        "the optimizer",
    )


def test_methods_are_no_rules_of_a_loop() -> None:
    with pytest.raises(
        ConfigError, match=r"^optimizer.kind: lbfgs evaluates the function several times in a step; use "
    ):
        mxtrain.build({"kind": "lbfgs"})
