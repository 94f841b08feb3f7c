"""TensorBoard and MLflow receive each row of metrics.jsonl once, also if a run is interrupted several times."""

import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mxtrain
from mxtrain.training.loggers.delivery import scalars
from tests.training.conftest import fit_interrupted

LOGGERS = ["tensorboard", "mlflow"]


def config(*loggers: str, **fit: Any) -> dict[str, Any]:
    return {
        "name": "logged",
        "data": {"source": "diabetes", "batch_size": 100},
        "model": {"kind": "linear"},
        "loss": "squared_error",
        "optimizer": {"kind": "adam", "η": 0.5},
        "fit": {"epochs": 4, "metrics": ["r2"], "loggers": list(loggers), **fit},
    }


def expected(history: list[dict[str, Any]]) -> dict[str, dict[int, float]]:
    """Return the points that a logger must have, by name and epoch."""
    points: dict[str, dict[int, float]] = {}
    for row in history:
        for name, value in scalars(row):
            points.setdefault(name, {})[row["epoch"]] = value
    assert {"loss", "val_loss", "val_r2", "η", "diagnostics/grad_norm", "diagnostics/update_ratio/W1"} <= points.keys()
    return points


def events(folder: Path) -> Iterator[Any]:
    """Yield the events in the files of a folder, as TensorBoard reads them."""
    event = pytest.importorskip("tensorboardX.proto.event_pb2", reason="needs the extra `tensorboard`").Event
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            yield event.FromString(content[12 : 12 + length])
            content = content[16 + length :]


def logged_points(folder: Path) -> dict[str, dict[int, float]]:
    points: dict[str, dict[int, float]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                assert event.step not in points.setdefault(value.tag, {}), "duplicate point"
                points[value.tag][event.step] = value.simple_value
    return points


def matches(found: dict[str, dict[int, float]], history: list[dict[str, Any]]) -> bool:
    wanted = expected(history)
    return found.keys() == wanted.keys() and all(found[name] == pytest.approx(wanted[name]) for name in wanted)


def test_tensorboard_gets_every_epoch_and_the_hyperparameters(tmp_path: Path) -> None:
    result = mxtrain.fit(config("tensorboard"), run_dir=tmp_path)
    assert matches(logged_points(tmp_path / "tensorboard"), result.history)
    (file,) = (tmp_path / "tensorboard").iterdir()
    assert ".tfevents." in file.name
    start = next(
        value.metadata.plugin_data
        for event in events(tmp_path / "tensorboard")
        for value in event.summary.value
        if value.tag == "_hparams_/session_start_info"
    )
    assert start.plugin_name == "hparams"
    assert "optimizer.η".encode() in start.content


@pytest.mark.parametrize("batches", [3, 6, 10])
def test_tensorboard_has_no_duplicate_points_after_a_resume(batches: int, tmp_path: Path) -> None:
    every = {"checkpoint": {"every": "2 epochs"}}
    run_dir = fit_interrupted(config("tensorboard", **every), tmp_path / "run", batches)
    last = max((run_dir / "checkpoints").iterdir())
    for file in last.iterdir():  # as after a kill: epochs since the previous checkpoint are trained again
        file.write_bytes(b"")
    history = mxtrain.resume(run_dir).history
    assert matches(logged_points(run_dir / "tensorboard"), history)


def test_tensorboard_can_be_enabled_on_resume(tmp_path: Path) -> None:
    run_dir = mxtrain.fit(config(epochs=2), run_dir=tmp_path).run_dir
    result = mxtrain.resume(run_dir, overrides=["fit.loggers=[tensorboard]", "fit.epochs=3"])
    assert matches(logged_points(tmp_path / "tensorboard"), result.history)


def test_tensorboard_reads_the_event_files(tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard itself is not installed"
    )
    run_dir = fit_interrupted(config("tensorboard"), tmp_path / "run", 6)
    history = mxtrain.resume(run_dir).history
    events = reader.EventAccumulator(str(run_dir / "tensorboard"))
    events.Reload()
    points = {tag: {it.step: it.value for it in events.Scalars(tag)} for tag in events.Tags()["scalars"]}
    assert matches(points, history)


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Factory of MLflow clients for a tracking URI."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    tracking = pytest.importorskip("mlflow.tracking", reason="needs the extra `mlflow`")
    return lambda uri: tracking.MlflowClient(tracking_uri=uri)


def sent(client: Any) -> tuple[Any, dict[str, dict[int, float]]]:
    """Return the only run of the experiment in MLflow, and its points."""
    experiment = client.get_experiment_by_name("logged")
    (run,) = client.search_runs([experiment.experiment_id])
    points: dict[str, dict[int, float]] = {}
    for name in run.data.metrics:
        for point in client.get_metric_history(run.info.run_id, name):
            assert point.step not in points.setdefault(name, {}), "duplicate point"
            points[name][point.step] = point.value
    return run, points


def test_mlflow_gets_every_epoch_once_and_the_hyperparameters(mlflow: Any, tmp_path: Path) -> None:
    run_dir = fit_interrupted(config("mlflow", checkpoint={"every": "2 epochs"}), tmp_path / "run", 10)
    client = mlflow((run_dir / "mlflow").as_uri())
    run, _ = sent(client)
    assert run.info.status == "KILLED"
    for file in max((run_dir / "checkpoints").iterdir()).iterdir():
        file.write_bytes(b"")
    result = mxtrain.resume(run_dir, overrides=["fit.epochs=5"])
    run, points = sent(client)
    assert matches(points, result.history)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    assert run.data.params["optimizer.η"] == "0.5"


def test_mlflow_uses_the_tracking_uri_of_the_environment(
    mlflow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = (tmp_path / "server").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    result = mxtrain.fit(config("mlflow"), run_dir=tmp_path / "run")
    assert matches(sent(mlflow(uri))[1], result.history)
    assert not (tmp_path / "run/mlflow").exists()


def test_a_temporary_server_failure_does_not_stop_the_run(
    mlflow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    log_batch, calls = MlflowClient.log_batch, iter(range(100))

    def flaky(self: Any, *arguments: Any, **fields: Any) -> None:
        if "metrics" in fields and next(calls) in (1, 2):
            raise MlflowException("the server is down")
        log_batch(self, *arguments, **fields)

    monkeypatch.setattr(MlflowClient, "log_batch", flaky)
    result = mxtrain.fit(config("mlflow"), run_dir=tmp_path)
    assert matches(sent(mlflow((tmp_path / "mlflow").as_uri()))[1], result.history)


def test_mlflow_marks_a_failed_run(mlflow: Any, tmp_path: Path) -> None:
    with pytest.raises(mxtrain.TrainingError, match="the run has diverged"):
        mxtrain.fit(config("mlflow") | {"optimizer": {"kind": "sgd", "η": 1e30}}, run_dir=tmp_path)
    assert sent(mlflow((tmp_path / "mlflow").as_uri()))[0].info.status == "FAILED"


@pytest.mark.parametrize(("logger", "package"), [("tensorboard", "tensorboardX"), ("mlflow", "mlflow")])
def test_a_missing_extra_is_one_line_before_anything_is_written(
    logger: str, package: str, tmp_path: Path, hide_packages: Callable[..., None]
) -> None:
    hide_packages(package, importers=(f"mxtrain.training.loggers.{logger}_",))
    message = rf"fit\.loggers: {logger} needs the package {package}; pip install 'mxtrain\[{logger}\]'"
    with pytest.raises(mxtrain.TrainingError, match=message):
        mxtrain.fit(config(logger), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_loggers_are_imported_only_if_requested() -> None:
    code = (
        "import mxtrain, sys; mxtrain.fit; print([name for name in ('tensorboardX', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
