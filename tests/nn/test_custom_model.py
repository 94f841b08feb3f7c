"""Custom models: passed in Python, recorded by name, and required when the run is resumed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from tests.nn.models import LinearModel

CONFIG: dict[str, Any] = {
    "data": {"source": "diabetes"},
    "model": {"kind": "custom"},
    "loss": "squared_error",
    "optimizer": {"kind": "adam", "η": 0.1},
    "fit": {"epochs": 3, "metrics": ["r2"]},
}


def line(config: mxtrain.RunConfig, n_features: int, n_outputs: int, xp: Any) -> mxtrain.Model:
    return LinearModel(n_features, xp)


def other(config: mxtrain.RunConfig, n_features: int, n_outputs: int, xp: Any) -> mxtrain.Model:
    return LinearModel(n_features, xp)


def test_a_custom_model_can_be_trained_resumed_verified_and_evaluated(tmp_path: Path) -> None:
    whole = mxtrain.fit(CONFIG, run_dir=tmp_path / "whole", model=line)
    assert whole.parameters.keys() == {"w", "b"}
    assert whole.history[-1]["val_loss"] < whole.history[0]["val_loss"]
    short = mxtrain.fit({**CONFIG, "fit": {**CONFIG["fit"], "epochs": 1}}, run_dir=tmp_path / "short", model=line)
    assert mxtrain.resume(short.run_dir, overrides=["fit.epochs=3"], model=line).history == whole.history
    assert mxtrain.verify(short.run_dir, model=line) == []
    run = mxtrain.load_run(short.run_dir, model=line)
    assert run.evaluate()["r2"] == whole.history[-1]["val_r2"]
    assert run.config.model.plugin == f"{__name__}.line"


def test_the_saved_config_reproduces_the_run_with_the_same_model(tmp_path: Path) -> None:
    first = mxtrain.fit(CONFIG, run_dir=tmp_path / "first", model=line)
    again = mxtrain.fit(first.run_dir / "config.yaml", run_dir=tmp_path / "again", model=line)
    assert again.history == first.history


def test_a_run_is_not_resumed_without_its_model_or_with_another(tmp_path: Path) -> None:
    run_dir = mxtrain.fit(CONFIG, run_dir=tmp_path, model=line).run_dir
    for open_run in (mxtrain.resume, mxtrain.verify, mxtrain.load_run):
        with pytest.raises(mxtrain.ConfigError, match=r"the model \S+\.line is not in the config; pass it"):
            open_run(run_dir)
        with pytest.raises(mxtrain.ConfigError, match=r"is \S+\.line, but \S+\.other was passed"):
            open_run(run_dir, model=other)


def test_model_argument_and_config_must_agree(tmp_path: Path) -> None:
    with pytest.raises(mxtrain.ConfigError, match=r"the config has kind: linear; set model: \{kind: custom\}"):
        mxtrain.fit({**CONFIG, "model": {"kind": "linear"}}, run_dir=tmp_path / "a", model=line)
    with pytest.raises(mxtrain.ConfigError, match="the model is not in the config; pass it"):
        mxtrain.fit(CONFIG, run_dir=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_settings_are_passed_to_the_factory_and_saved_with_the_run(tmp_path: Path) -> None:
    seen: list[Any] = []

    def factory(config: mxtrain.RunConfig, n_features: int, n_outputs: int, xp: Any) -> mxtrain.Model:
        seen.append(dict(config.model.settings))
        config.model.settings.clear()  # many factories pop their settings
        return LinearModel(n_features, xp)

    settings = {
        "width": 3,
        "lr": 0.5,
        "layers": [{"kind": "dense", "sizes": [1, 2]}, {}],
        "note": "no: {x}",
        "deep": {"ϵ": None},
    }
    config = {**CONFIG, "model": {"kind": "custom", "settings": settings}}
    run_dir = mxtrain.fit(config, run_dir=tmp_path / "run", model=factory).run_dir
    mxtrain.resume(run_dir, overrides=["fit.epochs=4"], model=factory)
    mxtrain.fit(run_dir / "config.yaml", run_dir=tmp_path / "again", model=factory)
    assert mxtrain.verify(run_dir, model=factory) == []
    assert mxtrain.load_run(run_dir, model=factory).config.model.settings == settings
    assert seen == [settings] * 5
    assert settings["width"] == 3


@pytest.mark.parametrize(
    "override", ["width=4", "width=3.0", "deep=null", "new=null", "deep.x=1", "layers.0.sizes=[1]", "layers=[]"]
)
def test_changed_settings_are_refused_on_resume(override: str, tmp_path: Path) -> None:
    settings = {"width": 3, "layers": [{"sizes": [1, 2]}], "deep": {}}
    run_dir = mxtrain.fit(
        {**CONFIG, "model": {"kind": "custom", "settings": settings}}, run_dir=tmp_path, model=line
    ).run_dir
    with pytest.raises(mxtrain.ConfigError, match=r"model\.settings\.\S+: was .* and cannot become"):
        mxtrain.resume(run_dir, overrides=[f"model.settings.{override}"], model=line)


class Wrong(LinearModel):
    def __init__(self, features: int, xp: Any, **methods: Any) -> None:
        super().__init__(features, xp)
        self.__dict__ |= methods


INVALID_MODELS = {
    "lacks methods": (lambda c, d, k, xp: object(), "it lacks shapes, init, loss_and_grad, predict"),
    "other shapes": (
        lambda c, d, k, xp: Wrong(d, xp, init=lambda s, t: {"w": np.zeros((d, 1), t)}),
        "its init returns",
    ),
    "other outputs": (lambda c, d, k, xp: Wrong(d, xp, predict=lambda p, x: x), r"predict must return \(2, 1\)"),
    "other dtype": (
        lambda c, d, k, xp: Wrong(d, xp, init=lambda s, t: LinearModel.init(LinearModel(d, xp), s, "float64")),
        "returns w as float64, not float32",
    ),
}


@pytest.mark.parametrize(("make", "message"), INVALID_MODELS.values(), ids=INVALID_MODELS.keys())
def test_invalid_models_are_reported_before_the_run_starts(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(mxtrain.ModelError, match=message):
        mxtrain.fit(CONFIG, run_dir=tmp_path / "run", model=make)
    assert not (tmp_path / "run").exists()


INVALID_LOSSES = {
    "a loss for each sample": (lambda loss, outputs: (outputs[:, 0] ** 2, outputs), r"an array of the shape \(32,\)"),
    "an array of one": (lambda loss, outputs: (loss.reshape(1), outputs), r"an array of the shape \(1,\)"),
    "a list": (lambda loss, outputs: ([loss] * 3, outputs), "a list"),
    "nothing": (lambda loss, outputs: (None, outputs), "null"),
    "text": (lambda loss, outputs: ("0.5", outputs), "'0.5'"),
    "a truth": (lambda loss, outputs: (True, outputs), "true"),
    "complex": (lambda loss, outputs: (np.complex64(loss), outputs), r"np\.complex64\(.*\)"),
}


def returning(change: Any) -> Any:
    """Return a factory of models that replace their loss and outputs."""

    def make(config: mxtrain.RunConfig, n_features: int, n_outputs: int, xp: Any) -> mxtrain.Model:
        right = LinearModel(n_features, xp)
        return Wrong(n_features, xp, loss_and_grad=lambda *arguments: change(*right.loss_and_grad(*arguments)))

    return make


@pytest.mark.parametrize(("change", "got"), INVALID_LOSSES.values(), ids=INVALID_LOSSES.keys())
def test_a_loss_that_is_not_a_scalar_is_reported_at_the_first_step(change: Any, got: str, tmp_path: Path) -> None:
    factory = (
        rf"^the model of \S+make: loss_and_grad must return a scalar as the loss, got {got}; return the sum of the"
    )
    with pytest.raises(mxtrain.ModelError, match=factory) as caught:
        mxtrain.fit(CONFIG, run_dir=tmp_path, model=returning(change))
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda loss, outputs: loss, r"np\.float32\(.*\)"),
        (lambda loss, outputs: outputs, r"an array of the shape \(32, 1\)"),
        (lambda loss, outputs: (loss, outputs, 1), "3 values"),
        (lambda loss, outputs: None, "null"),
    ],
)
def test_return_values_other_than_loss_and_outputs_are_reported(change: Any, got: str, tmp_path: Path) -> None:
    with pytest.raises(mxtrain.ModelError, match=rf"must return two values, the loss and the outputs, got {got}$"):
        mxtrain.fit(CONFIG, run_dir=tmp_path, model=returning(change))


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda loss, outputs: (loss, None), "null"),
        (lambda loss, outputs: (loss, outputs[:, 0]), r"an array of the shape \(32,\)"),
        (lambda loss, outputs: (loss, 0.5), "0.5"),
        (lambda loss, outputs: (loss, outputs[1:]), r"an array of the shape \(31, 1\)"),
        (lambda loss, outputs: (loss, np.hstack([outputs, outputs])), r"an array of the shape \(32, 2\)"),
    ],
)
def test_outputs_of_the_wrong_shape_are_reported_at_the_first_step(change: Any, got: str, tmp_path: Path) -> None:
    with pytest.raises(mxtrain.ModelError, match=rf"must return outputs of the shape \(32, 1\), got {got}$"):
        mxtrain.fit(CONFIG, run_dir=tmp_path, model=returning(change))


@pytest.mark.parametrize("number", [float, np.float64, np.asarray, lambda loss: int(loss)])
def test_scalars_of_any_type_are_accepted_as_loss(number: Any, tmp_path: Path) -> None:
    make = returning(lambda loss, outputs: (number(loss), outputs))
    assert len(mxtrain.fit(CONFIG, run_dir=tmp_path, model=make).history) == 3


def test_return_values_are_checked_in_the_first_step_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("mxtrain.training.training_step.check_returned", lambda *arguments: seen.append(arguments))
    mxtrain.fit(CONFIG, run_dir=tmp_path, model=line)
    assert len(seen) == 1


@pytest.mark.parametrize("shapes", [{}, {"w": (0, 1)}], ids=["no parameters", "none in them"])
def test_a_model_without_parameters_can_be_trained(shapes: Any, tmp_path: Path) -> None:
    class Constant:
        def shapes(self) -> Any:
            return shapes

        def init(self, seed: int, dtype: Any) -> Any:
            return {name: np.zeros(shape, dtype) for name, shape in shapes.items()}

        def loss_and_grad(self, params: Any, inputs: Any, targets: Any, grads: Any) -> Any:
            return (targets**2).sum() / 2, self.predict(params, inputs)

        def predict(self, params: Any, inputs: Any) -> Any:
            return np.zeros((len(inputs), 1), inputs.dtype)

    result = mxtrain.fit(CONFIG, run_dir=tmp_path, model=lambda *arguments: Constant())
    assert result.history[-1]["diagnostics"]["grad_norm"] == 0


@pytest.mark.parametrize(("dtype", "slope"), [("float32", 1e25), ("float64", 1e200)])
@pytest.mark.parametrize("bound", [{"fit": {"epochs": 1, "clip_norm": 1}}, {"clip": 1}], ids=["clip_norm", "clip"])
def test_a_finite_gradient_with_an_infinite_square_is_used(
    dtype: str, slope: float, bound: Any, tmp_path: Path
) -> None:
    class Steep(LinearModel):
        def loss_and_grad(self, params: Any, inputs: Any, targets: Any, grads: Any) -> Any:
            loss, outputs = super().loss_and_grad(params, inputs, targets, grads)
            grads["w"][...] = slope
            return loss, outputs

    def steep(config: mxtrain.RunConfig, n_features: int, n_outputs: int, xp: Any) -> mxtrain.Model:
        return Steep(n_features, xp)

    fit, clip = bound.get("fit", {"epochs": 1}), bound.get("clip", 0)
    rule = {"kind": "sgd", "η": 0.01, "λ": 0, "clip": clip}
    result = mxtrain.fit({**CONFIG, "dtype": dtype, "optimizer": rule, "fit": fit}, run_dir=tmp_path, model=steep)
    w, steps = result.parameters["w"], result.state.curr_iter
    np.testing.assert_allclose(w, -0.01 * steps * (1 if clip else w.size**-0.5), rtol=1e-5)
    largest = result.history[0]["diagnostics"]["grad_norm_max"]
    np.testing.assert_allclose(largest, slope * w.size**0.5 / 32, rtol=1e-5)
