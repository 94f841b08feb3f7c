"""Products of matrices round differently on another number of BLAS threads, so a run fixes the number."""

import numpy as np
import pytest

import mxtrain
from mxtrain.training.blas_threads import blas_limited, blas_threads

CONFIG = {
    "model": {"kind": "mlp", "hidden": [256]}, "loss": "squared_error", "optimizer": {"kind": "sgd", "η": 0.001},
    "fit": {"epochs": 1},
}  # fmt: skip


@pytest.fixture
def wide(tmp_path):
    """Enough features that a product is shared among threads."""
    random = np.random.default_rng(0)
    inputs = random.standard_normal((512, 784)).astype("float32")
    np.savez(tmp_path / "wide.npz", X=inputs, y=inputs[:, 0])
    return {"source": str(tmp_path / "wide.npz"), "target": "y", "batch_size": 128}


def test_a_run_has_the_threads_of_its_config_whatever_the_process_has(wide, tmp_path):
    for outside in (1, 2):
        with blas_limited(outside):
            mxtrain.fit({**CONFIG, "data": wide, "threads": 1}, run_dir=tmp_path / str(outside))
            assert blas_threads() == outside
    one, two = (tmp_path / name / "model.safetensors" for name in "12")
    assert one.read_bytes() == two.read_bytes()


def test_the_saved_config_says_how_many_threads_there_were(wide, tmp_path):
    with blas_limited(2):
        mxtrain.fit({**CONFIG, "data": wide}, run_dir=tmp_path / "run")
    assert "\nthreads: 2\n" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_resumed_run_keeps_its_threads(wide, tmp_path):
    config = {**CONFIG, "data": wide, "threads": 2, "fit": {"epochs": 2}}
    mxtrain.fit(config, run_dir=tmp_path / "whole")
    mxtrain.fit({**config, "fit": {"epochs": 1}}, run_dir=tmp_path / "cut")
    with blas_limited(1):
        mxtrain.resume(tmp_path / "cut", overrides=["fit.epochs=2"])
    assert (tmp_path / "whole/model.safetensors").read_bytes() == (tmp_path / "cut/model.safetensors").read_bytes()
    with pytest.raises(mxtrain.ConfigError, match="threads: was 2 when the run began, and cannot become 1"):
        mxtrain.resume(tmp_path / "cut", overrides=["threads=1"])
