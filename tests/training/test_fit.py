"""Results of `fit`: counts, scale, reproducible bytes, and the files of the run's folder."""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

import mxtrain
from mxtrain.training import RunInfo

CONFIGS = Path(__file__).parents[2] / "configs"
DIGITS: dict[str, Any] = {
    "name": "digits",
    "data": {"source": "digits", "batch_size": 100},
    "model": {"kind": "mlp", "hidden": [16]},
    "loss": "softmax_cross_entropy",
    "optimizer": {"kind": "adam", "η": 0.01},
    "fit": {"epochs": 2, "metrics": ["accuracy"]},
}


def changed(**sections: Any) -> dict[str, Any]:
    config = copy.deepcopy(DIGITS)
    for name, value in sections.items():
        config[name] = config[name] | value if isinstance(value, dict) else value
    return config


EXPECTED_METRICS = {
    "adam": ("val_accuracy", 0.96),
    "sgd": ("val_accuracy", 0.95),
    "adamw": ("val_accuracy", 0.96),
    "adagrad": ("val_accuracy", 0.95),
    "adadelta": ("val_accuracy", 0.95),
    "adamax": ("val_accuracy", 0.95),
    "rmsprop": ("val_accuracy", 0.95),
    "nadam": ("val_accuracy", 0.95),
    "adam-wide": ("val_accuracy", 0.96),
    "adafactor": ("val_accuracy", 0.96),
    "muon": ("val_accuracy", 0.96),
    "soap": ("val_accuracy", 0.96),
    "groups": ("val_accuracy", 0.96),
    "lion": ("val_accuracy", 0.96),
    "adan": ("val_accuracy", 0.96),
    "lamb": ("val_accuracy", 0.96),
    "prodigy": ("val_accuracy", 0.96),
    "dog": ("val_accuracy", 0.96),
    "schedule_free_adamw": ("val_accuracy", 0.96),
    "lbfgs": ("val_accuracy", 0.96),
    "ftrl": ("val_accuracy", 0.95),
    "rprop": ("val_r2", 0.5),
    "regression": ("val_r2", 0.5),
}


def test_every_shipped_config_is_tested() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {*EXPECTED_METRICS, "sweep", "tournament", "search-rule"}


@pytest.mark.parametrize(
    ("name", "metric", "minimum"), [(name, *expected) for name, expected in EXPECTED_METRICS.items()]
)
def test_shipped_configs_reach_their_expected_metric(name: str, metric: str, minimum: float, tmp_path: Path) -> None:
    assert mxtrain.fit(CONFIGS / f"{name}.yaml", run_dir=tmp_path).history[-1][metric] >= minimum


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = (mxtrain.fit(DIGITS, run_dir=tmp_path / name).run_dir for name in ("one", "other"))
    for name in ("config.yaml", "metrics.jsonl", "model.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    other_seed = mxtrain.fit(changed(seed=1), run_dir=tmp_path / "another").run_dir
    assert (one / "model.safetensors").read_bytes() != (other_seed / "model.safetensors").read_bytes()


def test_backends_give_the_same_results(tmp_path: Path) -> None:
    numpy, compiled = (mxtrain.fit(changed(backend=name), run_dir=tmp_path / name) for name in ("numpy", "compiled"))
    assert compiled.history == numpy.history
    for name, value in numpy.parameters.items():
        assert compiled.parameters[name].tobytes() == value.tobytes()


def test_the_state_counts_epochs_batches_and_iterations(tmp_path: Path) -> None:
    seen = []

    class Watch:
        def on_start(self, info: RunInfo) -> None:
            seen.append((info.batches, info.samples, info.parameters))

        def on_batch(self, state: mxtrain.OptimizationState, loss: Any) -> None:
            seen.append((state.curr_epoch, state.curr_batch, state.curr_iter))

        def on_epoch(self, state: mxtrain.OptimizationState, row: dict[str, Any]) -> None:
            seen.append(row["iteration"])

        def on_end(self, seconds: float) -> None:
            seen.append(seconds > 0)

    result = mxtrain.fit(changed(data={"batch_size": 700}), run_dir=tmp_path, callbacks=[Watch()])
    assert seen == [
        (3, (1438, 359), 64 * 16 + 16 + 16 * 10 + 10),
        (1, 1, 1), (1, 2, 2), (1, 3, 3), 3,
        (2, 1, 4), (2, 2, 5), (2, 3, 6), 6,
        True,
    ]  # fmt: skip
    assert result.state == mxtrain.OptimizationState(700, curr_epoch=2, curr_batch=3, curr_iter=6)


@pytest.mark.parametrize(("last_batch", "batches"), [("keep", 15), ("drop", 14)])
def test_the_last_batch_is_kept_or_dropped(last_batch: str, batches: int, tmp_path: Path) -> None:
    result = mxtrain.fit(changed(data={"last_batch": last_batch}, fit={"epochs": 1}), run_dir=tmp_path)
    assert result.state.curr_batch == batches


def test_every_sample_weighs_the_same_in_a_smaller_last_batch(tmp_path: Path) -> None:
    """One epoch of plain SGD over one and a half batches equals the sums computed by hand, with scale 1/batch_size."""
    np.savez(tmp_path / "line.npz", X=np.array([[1.0], [2.0], [3.0]]), y=np.array([1.0, 1.0, 1.0]))
    config = {
        "dtype": "float64",
        "data": {
            "source": str(tmp_path / "line.npz"),
            "target": "y",
            "batch_size": 2,
            "validation": 0,
            "shuffle": False,
            "standardize": "none",
            "standardize_target": False,
        },
        "model": {"kind": "linear", "bias": False},
        "loss": "squared_error",
        "optimizer": {"kind": "sgd", "η": 0.1, "λ": 0},
        "fit": {"epochs": 1},
    }
    initial = mxtrain.fit(config | {"fit": {"epochs": 1}}, run_dir=tmp_path / "run")
    (w,) = initial.parameters["W1"].ravel()
    start = mxtrain.training.Trainer(mxtrain.RunConfig.model_validate(config)).parameters()["W1"].item()
    first = start - 0.1 * (1 / 2) * (1 * (1 * start - 1) + 2 * (2 * start - 1))
    second = first - 0.1 * (1 / 2) * (3 * (3 * first - 1))
    assert w == pytest.approx(second, rel=1e-12)


def test_an_unset_scale_is_resolved_without_changing_the_users_config(tmp_path: Path) -> None:
    config = copy.deepcopy(DIGITS)
    run = mxtrain.RunConfig.model_validate(config)
    for config_or_run in (config, run):
        run_dir = mxtrain.fit(config_or_run, run_dir=tmp_path / str(type(config_or_run).__name__)).run_dir
        assert yaml.safe_load((run_dir / "config.yaml").read_text())["optimizer"]["scale"] == 1 / 100
    assert config == DIGITS
    assert run.optimizer.scale == 0


def test_an_explicit_scale_is_kept(tmp_path: Path) -> None:
    run_dir = mxtrain.fit(changed(optimizer={"scale": 1, "η": 1e-4}), run_dir=tmp_path).run_dir
    assert yaml.safe_load((run_dir / "config.yaml").read_text())["optimizer"]["scale"] == 1


def test_the_run_folder_matches_the_result(tmp_path: Path) -> None:
    result = mxtrain.fit(changed(optimizer={"η_sched": {"kind": "exp", "γ": 0.5}}), run_dir=tmp_path)
    names = {"config.yaml", "environment.json", "preprocessing.json", "status.json", "checkpoints", "checkpoints.jsonl"}
    names |= {"metrics.jsonl", "timings.jsonl", "model.safetensors"}
    assert {path.name for path in tmp_path.iterdir() if path.name != ".lock"} == names
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == result.history
    assert list(rows[0]) == ["epoch", "iteration", "loss", "accuracy", "val_loss", "val_accuracy", "η", "diagnostics"]
    assert [row["η"] for row in rows] == [0.01, 0.005]
    saved = load_file(tmp_path / "model.safetensors")
    assert saved.keys() == result.parameters.keys()
    assert all((saved[name] == value).all() for name, value in result.parameters.items())
    timings = [json.loads(line) for line in (tmp_path / "timings.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in timings] == [1, 2]
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["packages"]["mxtrain"] == mxtrain.__version__


def test_the_resolved_config_reproduces_the_run(tmp_path: Path) -> None:
    first = mxtrain.fit(CONFIGS / "sgd.yaml", overrides=["fit.epochs=2"], run_dir=tmp_path / "first")
    again = mxtrain.fit(first.run_dir / "config.yaml", run_dir=tmp_path / "again")
    assert again.history == first.history
    assert (again.run_dir / "config.yaml").read_text() == (first.run_dir / "config.yaml").read_text()


def test_runs_are_numbered_if_no_folder_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [mxtrain.fit(changed(fit={"epochs": 1})).run_dir for _ in range(2)]
    assert [path.as_posix() for path in paths] == ["runs/digits-1", "runs/digits-2"]


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere")], ids=["a file", "a dead link"])
def test_a_runs_folder_that_cannot_be_created_is_reported(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("runs"))
    with pytest.raises(mxtrain.TrainingError, match=r"^the folder runs cannot be created: File exists$"):
        mxtrain.fit(DIGITS)


def test_a_folder_with_other_files_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(mxtrain.TrainingError, match="is not empty; name another one"):
        mxtrain.fit(DIGITS, run_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("loss", ["squared_error", "softmax_cross_entropy"])
def test_a_run_that_diverges_fails_with_a_remedy(loss: str, tmp_path: Path) -> None:
    config = changed(optimizer={"kind": "sgd", "η": 1e25}, loss=loss, fit={"metrics": []})
    if loss == "squared_error":
        config["data"]["source"] = "diabetes"
    with pytest.raises(mxtrain.TrainingError, match=r"loss is \w+ in epoch 1, batch \d+: the run has diverged; lower"):
        mxtrain.fit(config, run_dir=tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_run_without_validation(tmp_path: Path) -> None:
    row = mxtrain.fit(changed(data={"validation": 0}), run_dir=tmp_path).history[-1]
    assert list(row) == ["epoch", "iteration", "loss", "accuracy", "η", "diagnostics"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_is_kept_from_end_to_end(dtype: str, tmp_path: Path) -> None:
    parameters = mxtrain.fit(changed(dtype=dtype), run_dir=tmp_path).parameters
    assert {str(value.dtype) for value in parameters.values()} == {dtype}


def test_overrides_must_be_a_list() -> None:
    with pytest.raises(mxtrain.ConfigError, match=r"must be a list of strings, such as \['seed=1'\]"):
        mxtrain.fit(CONFIGS / "adam.yaml", overrides="seed=1")


@pytest.mark.parametrize("config", [7, None, ["adam.yaml"]])
def test_an_object_that_is_not_a_config_is_refused(config: Any) -> None:
    with pytest.raises(mxtrain.ConfigError, match="must be a path, a dict or a RunConfig"):
        mxtrain.fit(config)


def test_the_cupy_backend_without_cupy_is_an_error_with_the_pip_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(
        mxtrain.BackendError, match=r"^the backend cupy needs CuPy; install it with .*mxtrain\[cuda12\]"
    ):
        mxtrain.fit({**DIGITS, "backend": "cupy"}, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_commands_in_messages_quote_paths_with_spaces(tmp_path: Path) -> None:
    folder = tmp_path / "a run of mine"
    mxtrain.fit(changed(fit={"epochs": 1}), run_dir=folder)
    with pytest.raises(mxtrain.TrainingError, match=f"`mxtrain resume '{folder}'`"):
        mxtrain.fit(DIGITS, run_dir=folder)
    assert f"`mxtrain resume '{folder}'`" in str(mxtrain.RunInterrupted(folder, 2))
