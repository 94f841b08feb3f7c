"""One loss of a custom model in training, validation, early stopping, evaluation, reports and sweeps."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain

SETTINGS: dict[str, Any] = {
    "data": {"source": "in_memory", "batch_size": 64, "validation": 0.25},
    "model": {"kind": "custom"},
    "loss": "custom",
    "optimizer": {"kind": "adam", "η": 0.2, "λ": 0},
    "fit": {"epochs": 25, "metrics": ["mae", "r2"], "early_stopping": {"monitor": "val_loss", "patience": 3}},
}
QUANTILE = 0.9

PLUGIN = """
import numpy as np

class Quantile:
    def __init__(self, features):
        self.features = features
    def shapes(self):
        return {"w": (self.features, 1), "b": (1,)}
    def init(self, seed, dtype):
        return {name: np.zeros(shape, dtype) for name, shape in self.shapes().items()}
    def predict(self, params, inputs):
        return inputs @ params["w"] + params["b"]
    def loss_and_grad(self, params, inputs, targets, grads):
        outputs = self.predict(params, inputs)
        error = targets - outputs[:, 0]
        slope = np.where(error > 0, -0.9, 0.1).astype(inputs.dtype)[:, None]
        grads["w"][...], grads["b"][...] = inputs.T @ slope, slope.sum(axis=0)
        return np.maximum(0.9 * error, -0.1 * error).sum(), outputs

class WithLoss(Quantile):
    def loss(self, outputs, targets):
        error = targets - outputs[:, 0]
        return np.maximum(0.9 * error, -0.1 * error).sum()

def model(config, n_features, n_outputs, xp):
    return WithLoss(n_features)

def plain(config, n_features, n_outputs, xp):
    return Quantile(n_features)
"""
SPACE: dict[str, Any] = {"__name__": __name__}
exec(PLUGIN, SPACE)


def pinball(targets: Any, predicted: Any) -> float:
    error = targets - predicted
    return float(np.maximum(QUANTILE * error, (QUANTILE - 1) * error).mean())


@pytest.fixture(scope="module")
def data() -> Any:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 2))
    return X, X @ [2.0, -1.0] + 3 * rng.gumbel(size=1000)


@pytest.mark.parametrize("make", ["model", "plain"])
def test_a_quantile_model_stops_by_its_own_loss(make: str, data: Any, tmp_path: Path) -> None:
    model = SPACE[make]
    result = mxtrain.fit(SETTINGS, run_dir=tmp_path / "run", model=model, data=data)
    run = mxtrain.load_run(tmp_path / "run", model=model)
    part = run.compare("validation", data=data)
    assert len(result.history) < 25
    assert abs(np.mean(part.targets <= part.predicted) - QUANTILE) < 0.04
    recorded = result.history[run.epoch - 1]["val_loss"]
    assert recorded == min(row["val_loss"] for row in result.history)
    assert recorded == pytest.approx(pinball(part.targets, part.predicted), rel=1e-5)
    assert part.metrics["loss"] == recorded == run.evaluate(data=data)["loss"]
    assert run.evaluate(data)["loss"] == pytest.approx(pinball(data[1], run.predict(data[0])), rel=1e-5)
    assert {"loss", "mae", "r2"} == part.metrics.keys()


def test_a_run_with_a_custom_loss_can_be_resumed_and_verified(data: Any, tmp_path: Path) -> None:
    whole = mxtrain.fit(SETTINGS, run_dir=tmp_path / "whole", model=SPACE["model"], data=data)
    short = {**SETTINGS, "fit": {**SETTINGS["fit"], "epochs": 3}}
    mxtrain.fit(short, run_dir=tmp_path / "run", model=SPACE["model"], data=data)
    resumed = mxtrain.resume(tmp_path / "run", overrides=["fit.epochs=25"], model=SPACE["model"], data=data)
    assert resumed.history == whole.history
    assert mxtrain.verify(tmp_path / "run", model=SPACE["model"], data=data) == []


def test_a_config_that_names_another_loss_is_refused(data: Any, tmp_path: Path) -> None:
    message = (
        r"^loss: is squared_error, but the model of \S+model computes another loss: \S+ for the first batch, where "
        r"squared_error is \S+; set loss: custom$"
    )
    with pytest.raises(mxtrain.ConfigError, match=message):
        mxtrain.fit({**SETTINGS, "loss": "squared_error"}, run_dir=tmp_path, model=SPACE["model"], data=data)


def test_a_run_of_an_earlier_version_with_another_loss_continues(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SETTINGS, "loss": "squared_error", "fit": {"epochs": 2}}
    with monkeypatch.context() as patched:
        patched.setattr("mxtrain.training.training_step.compare_losses", lambda *arguments: True)
        mxtrain.fit(settings, run_dir=tmp_path, model=SPACE["model"], data=data)
    for folder in (tmp_path / "checkpoints").iterdir():
        assert "targets" in json.loads((folder / "record.json").read_bytes())["config"]["model"]
    assert len(mxtrain.resume(tmp_path, overrides=["fit.epochs=3"], model=SPACE["model"], data=data).history) == 3
    assert mxtrain.verify(tmp_path, model=SPACE["model"], data=data) == []


def test_a_loss_that_contradicts_loss_and_grad_is_an_error(data: Any, tmp_path: Path) -> None:
    class Mean(SPACE["WithLoss"]):  # type: ignore[misc, name-defined]
        def loss(self, outputs: Any, targets: Any) -> Any:
            return super().loss(outputs, targets) / len(targets)

    with pytest.raises(mxtrain.ModelError, match="loss must return what loss_and_grad returns as the loss, the sum"):
        mxtrain.fit(SETTINGS, run_dir=tmp_path, model=lambda c, d, k, xp: Mean(d), data=data)


def test_a_loss_that_is_not_a_scalar_is_an_error(data: Any, tmp_path: Path) -> None:
    class Each(SPACE["WithLoss"]):  # type: ignore[misc, name-defined]
        def loss(self, outputs: Any, targets: Any) -> Any:
            return np.abs(outputs[:, 0] - targets)

    with pytest.raises(mxtrain.ModelError, match=r"loss must return a scalar, got an array of the shape \(64,\)"):
        mxtrain.fit(SETTINGS, run_dir=tmp_path, model=lambda c, d, k, xp: Each(d), data=data)


class Hinge:
    """Classes by the squared hinge loss: of the outputs of all classes, or of the one output of two classes."""

    def __init__(self, features: int, outputs: int) -> None:
        self.size = features, outputs

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"w": self.size}

    def init(self, seed: int, dtype: Any) -> dict[str, Any]:
        return {"w": np.zeros(self.size, dtype)}

    def predict(self, params: Any, inputs: Any) -> Any:
        return inputs @ params["w"]

    def loss_and_grad(self, params: Any, inputs: Any, targets: Any, grads: Any) -> Any:
        outputs = self.predict(params, inputs)
        if self.size[1] == 1:
            sign = 2 * targets[:, None] - 1
        else:
            assert targets.dtype == np.int64
            sign = 2 * np.eye(self.size[1], dtype=inputs.dtype)[targets] - 1
        margin = np.maximum(0, 1 - sign * outputs)
        grads["w"][...] = inputs.T @ (-2 * sign * margin)
        return (margin * margin).sum(), outputs


def hinge(config: mxtrain.RunConfig, n_features: int, n_outputs: int, xp: Any) -> mxtrain.Model:
    return Hinge(n_features, n_outputs)


@pytest.mark.parametrize(("targets", "classes"), [("classes", 3), ("classes", 2), ("binary", 2)])
def test_the_model_determines_the_kind_of_targets(targets: str, classes: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=120)
    X = np.eye(3)[labels] * 4 + rng.normal(size=(120, 3))
    y = np.array(["ant", "bee", "cat"])[labels]
    settings = {
        **SETTINGS,
        "model": {"kind": "custom", "targets": targets},
        "fit": {"epochs": 6, "metrics": ["accuracy"], "checkpoint": {"best": "val_accuracy"}},
    }
    result = mxtrain.fit(settings, run_dir=tmp_path, model=hinge, data=(X, y))
    assert result.parameters["w"].shape == (3, 1 if targets == "binary" else classes)
    run = mxtrain.load_run(tmp_path, model=hinge)
    assert np.mean(run.predict(X) == y) > 0.85
    assert run.probabilities(X).shape == (120, classes)
    assert run.evaluate(data=(X, y)).keys() == {"loss", "accuracy"}
    assert run.evaluate(data=(X, y))["loss"] == result.history[-1]["val_loss"]


def test_digits_have_classes_by_default(tmp_path: Path) -> None:
    settings = {**SETTINGS, "data": {"source": "digits"}, "fit": {"epochs": 1, "metrics": ["accuracy"]}}
    assert mxtrain.fit(settings, run_dir=tmp_path, model=hinge).history[-1]["val_accuracy"] > 0.7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"kind": "linear"}}, "^loss: custom is the loss of a custom model, got model.kind linear; use "),
        (
            {"loss": "squared_error", "model": {"kind": "custom", "targets": "numbers"}},
            r"^model\.targets: goes with loss: custom, got squared_error; remove targets$",
        ),
        (
            {"data": {"source": "diabetes"}, "model": {"kind": "custom", "targets": "classes"}},
            r"^model\.targets: must be numbers for diabetes, got classes$",
        ),
        ({"fit": {"metrics": ["accuracy"]}}, r"^fit\.metrics\.0: accuracy cannot be measured with the loss custom of"),
    ],
)
def test_settings_that_contradict_each_other_are_errors(changes: Any, message: str) -> None:
    with pytest.raises(mxtrain.ConfigError, match=message):
        mxtrain.config.run_from_dict({**SETTINGS, **changes})


def test_runs_started_without_the_field_targets_are_resumed(data: Any, tmp_path: Path) -> None:
    settings = {**SETTINGS, "fit": {"epochs": 2}}
    trainer_config = mxtrain.config.run_from_dict(settings).resolve()
    snapshot = mxtrain.training.advance(trainer_config, None, 1, model=SPACE["model"], data=data)
    del snapshot.record["config"]["model"]["targets"]
    from mxtrain.training.resume_checks import check_continuation

    check_continuation(snapshot, trainer_config, snapshot.record["data"])
