"""Built-in models give the same bits on any number of BLAS threads; runs with custom models record the number."""

import numpy as np
import pytest

import mxtrain
from mxtrain.nn import MLP
from mxtrain.training.environment import blas_threads, limit_blas_threads

CONFIG = {
    "model": {"kind": "mlp", "hidden": [256]}, "loss": "squared_error", "optimizer": {"kind": "sgd", "η": 0.001},
    "fit": {"epochs": 1},
}  # fmt: skip


@pytest.fixture
def wide(tmp_path):
    """Data with enough features that BLAS uses several threads."""
    random = np.random.default_rng(0)
    inputs = random.standard_normal((512, 784)).astype("float32")
    np.savez(tmp_path / "wide.npz", X=inputs, y=inputs[:, 0])
    return {"source": str(tmp_path / "wide.npz"), "target": "y", "batch_size": 128}


def test_built_in_models_give_the_same_bits_on_any_number_of_threads(wide, tmp_path, monkeypatch):
    found = set()
    for blas, own, backend in ((1, 1, "numpy"), (2, 3, "compiled"), (2, 1, "compiled"), (1, 2, "auto")):
        monkeypatch.setenv("MXTRAIN_THREADS", str(own))
        with limit_blas_threads(blas):
            config = {**CONFIG, "data": {**wide, "validation": 0.2}, "backend": backend}
            result = mxtrain.fit(config, run_dir=tmp_path / f"{blas}-{own}-{backend}")
        assert "\nthreads: null\n" in (result.run_dir / "config.yaml").read_text()
        found.add(
            ((result.run_dir / "model.safetensors").read_bytes(), (result.run_dir / "metrics.jsonl").read_bytes())
        )
    assert len(found) == 1


class Perceptron(MLP):
    """Custom model whose products NumPy computes."""

    def predict(self, params, inputs):
        return np.dot(np.maximum(np.dot(inputs, params["W1"]), 0), params["W2"])

    def loss_and_grad(self, params, inputs, targets, grads):
        hidden = np.maximum(np.dot(inputs, params["W1"]), 0)
        error = np.dot(hidden, params["W2"]) - targets[:, None]
        np.dot(hidden.T, error, out=grads["W2"])
        np.dot(inputs.T, np.dot(error, params["W2"].T) * (hidden > 0), out=grads["W1"])
        grads["b1"][...], grads["b2"][...] = 0, 0
        return (error * error).sum() / 2, error


def perceptron(config, n_features, n_outputs, xp):
    return Perceptron((n_features, 256, n_outputs), "relu", "squared_error")


CUSTOM = {**CONFIG, "model": {"kind": "custom"}}


def test_the_config_overrides_the_number_of_threads_of_the_process(wide, tmp_path):
    for outside in (1, 2):
        with limit_blas_threads(outside):
            mxtrain.fit({**CUSTOM, "data": wide, "threads": 1}, run_dir=tmp_path / str(outside), model=perceptron)
            assert blas_threads() == outside
    one, two = (tmp_path / name / "model.safetensors" for name in "12")
    assert one.read_bytes() == two.read_bytes()


def test_the_saved_config_records_the_number_of_threads(wide, tmp_path):
    with limit_blas_threads(2):
        mxtrain.fit({**CUSTOM, "data": wide}, run_dir=tmp_path / "run", model=perceptron)
    assert "\nthreads: 2\n" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_resumed_run_uses_the_same_number_of_threads(wide, tmp_path):
    config = {**CUSTOM, "data": wide, "threads": 2, "fit": {"epochs": 2}}
    mxtrain.fit(config, run_dir=tmp_path / "whole", model=perceptron)
    mxtrain.fit({**config, "fit": {"epochs": 1}}, run_dir=tmp_path / "cut", model=perceptron)
    with limit_blas_threads(1):
        mxtrain.resume(tmp_path / "cut", overrides=["fit.epochs=2"], model=perceptron)
    assert (tmp_path / "whole/model.safetensors").read_bytes() == (tmp_path / "cut/model.safetensors").read_bytes()
    with pytest.raises(mxtrain.ConfigError, match="threads: was 2 when the run started, and cannot become 1"):
        mxtrain.resume(tmp_path / "cut", overrides=["threads=1"], model=perceptron)
