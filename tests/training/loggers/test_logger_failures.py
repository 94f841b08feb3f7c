"""Training never depends on a logger, an unreachable server or a full disk."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mxtrain
from mxtrain.training.loggers.delivery import allowed_names, scalars
from tests.training.conftest import fit_interrupted
from tests.training.loggers.mlflow_server import FakeMLflow, serving
from tests.training.loggers.test_loggers import config, logged_points, matches

LONGEST_START, LONGEST_END = 2.0, 8.0


class Clock(mxtrain.Callback):
    """Callback that measures the time at which training started."""

    def on_start(self, info: mxtrain.RunInfo) -> None:
        self.began = time.monotonic()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeMLflow:
    pytest.importorskip("mlflow.tracking", reason="needs the extra `mlflow`")
    from mxtrain.training.loggers import mlflow_logger

    monkeypatch.setattr(mlflow_logger, "_SILENT", set())
    return FakeMLflow()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never responds."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener.getsockname()[1]


def use(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")


def is_complete(server: FakeMLflow, history: list[dict[str, Any]]) -> bool:
    (run_id,) = server.runs
    return matches(server.points(run_id), history) and server.runs[run_id]["status"] == "FINISHED"


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "mxtrain"]


@pytest.mark.parametrize("failures", ["refused", "silent", "status 500"])
def test_an_unreachable_server_neither_delays_nor_ends_a_run_and_gets_the_rows_on_resume(
    failures: str,
    server: FakeMLflow,
    silent_port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from mxtrain.training.loggers import mlflow_logger

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server.failing = 500 if failures == "status 500" else 0
    monkeypatch.setattr(mlflow_logger, "STALLED_LIMIT", 0.5)
    begin, clock = time.monotonic(), Clock()

    def fit() -> Any:
        return mxtrain.fit(config("mlflow"), run_dir=tmp_path / "run", callbacks=[clock])

    if failures == "status 500":
        with serving(server, port):
            use(monkeypatch, port)
            result = fit()
    else:
        use(monkeypatch, silent_port if failures == "silent" else port)
        result = fit()
    assert clock.began - begin < LONGEST_START
    assert time.monotonic() - begin < LONGEST_END
    (line,) = warnings_of(caplog)
    assert "does not take the metrics" in line
    assert "mxtrain resume" in line
    assert "\n" not in line
    assert mxtrain.load_run(result.run_dir).status.state == "finished"

    server.failing = 0
    monkeypatch.setattr(mlflow_logger, "STALLED_LIMIT", 3.0)
    monkeypatch.setattr(mlflow_logger, "_SILENT", set())
    with serving(server, 0 if failures == "silent" else port) as now:
        use(monkeypatch, now)
        mxtrain.resume(result.run_dir)
    assert is_complete(server, result.history)
    assert len(warnings_of(caplog)) == 1


def test_a_server_that_recovers_gets_every_row_once_and_in_order(
    server: FakeMLflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Outage(mxtrain.Callback):
        def on_epoch(self, state: mxtrain.OptimizationState, row: dict[str, Any]) -> None:
            server.failing = 503 if 3 <= row["epoch"] < 20 else 0
            time.sleep(0.02)

    with serving(server) as port:
        use(monkeypatch, port)
        result = mxtrain.fit(config("mlflow", epochs=40), run_dir=tmp_path, callbacks=[Outage()])
    assert is_complete(server, result.history)
    assert len(warnings_of(caplog)) == 1


def test_lost_responses_create_no_duplicate_run_or_point(
    server: FakeMLflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.lost = {"experiments/create", "runs/create", "runs/log-batch"}
    with serving(server) as port:
        use(monkeypatch, port)
        result = mxtrain.fit(config("mlflow"), run_dir=tmp_path)
    assert is_complete(server, result.history)


def test_a_slow_server_does_not_slow_training(
    server: FakeMLflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.delay = 0.2
    epochs: list[float] = []

    class Times(mxtrain.Callback):
        def on_epoch(self, state: mxtrain.OptimizationState, row: dict[str, Any]) -> None:
            epochs.append(time.monotonic())

    with serving(server) as port:
        use(monkeypatch, port)
        result = mxtrain.fit(config("mlflow", epochs=30), run_dir=tmp_path, callbacks=[Times()])
    assert epochs[-1] - epochs[0] < 30 * 0.2 / 2
    assert is_complete(server, result.history)


def test_an_interrupted_run_continues_in_the_same_mlflow_run(
    server: FakeMLflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(server) as port:
        use(monkeypatch, port)
        run_dir = fit_interrupted(config("mlflow"), tmp_path / "run", 10)
        (run,) = server.runs.values()
        assert run["status"] == "KILLED"
        result = mxtrain.resume(run_dir)
    assert is_complete(server, result.history)


def test_names_and_values_that_mlflow_refuses_are_mapped(
    server: FakeMLflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.longest_value = 500
    named = config("mlflow") | {
        "optimizer": {"kind": "adam", "groups": {"[b]1": {"λ": 0}, "W*": {"λ": 0}}},
        "model": {"kind": "mlp", "hidden": [1] * 300},
    }
    named["fit"]["epochs"] = 1
    with serving(server) as port:
        use(monkeypatch, port)
        mxtrain.fit(named, run_dir=tmp_path)
    (run,) = server.runs.values()
    groups = {name for name in run["params"] if name.startswith("optimizer.groups")}
    assert len(groups) == 2
    assert all(re.fullmatch(r"[/\w.\- ]+", name) for name in run["params"])
    assert len(run["params"]["model.hidden"]) == 500
    assert run["metrics"]


def test_names_are_mapped_without_collisions() -> None:
    odd = [
        "b*",
        "b?",
        "b_",
        "a",
        "a/b",
        "x" * 300,
        "x" * 301,
        "../a",
        "/a",
        "a//b",
        "a/.",
        "",
        ".",
        "b_-0a1b2c3d",
        "η",
        "b\n",
    ]
    odd += list(allowed_names(["b*"], re.compile(r"[^/\w]"), 250).values())
    for refused in (r"[^/\w.\- ]|^[/.]+|(?<=/)\.*/|(?<=/)\.+\Z|/\Z", r"[^-/\w.]|^/+"):
        names = allowed_names(odd, re.compile(refused), 250)
        assert len(set(names.values())) == len(odd)
        assert names["η"] == "η"
        assert max(map(len, names.values())) <= 250
        assert not any(other.startswith(f"{name}/") for name in names.values() for other in names.values())
    validation = pytest.importorskip("mlflow.utils.validation", reason="needs the extra `mlflow`")
    from mxtrain.training.loggers.mlflow_logger import _LONGEST_NAME, _REFUSED

    for name in allowed_names(odd, _REFUSED, _LONGEST_NAME).values():
        validation._validate_metric_name(name)
        validation._validate_param_name(name)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "text", 10**400, [1.0], {}])
def test_a_metric_without_a_value_is_not_sent(value: Any) -> None:
    assert dict(scalars({"epoch": 1, "loss": 0.5, "r2": value})) == {"loss": 0.5}


class Broken(mxtrain.Logger):
    def on_start(self, info: mxtrain.RunInfo) -> None:
        self.rows = 0

    def on_epoch(self, state: mxtrain.OptimizationState, row: dict[str, Any]) -> None:
        self.rows += 1
        raise OSError(28, "No space left on device")


def test_a_custom_logger_that_raises_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = Broken()
    result = mxtrain.fit(config(), run_dir=tmp_path, callbacks=[logger])
    assert len(result.history) == logger.rows == 4
    assert warnings_of(caplog) == ["Broken.on_epoch failed: No space left on device; training continues"]


def test_a_logger_can_stop_training(tmp_path: Path) -> None:
    class Stopper(mxtrain.Logger):
        def on_epoch(self, state: mxtrain.OptimizationState, row: dict[str, Any]) -> None:
            raise mxtrain.StopTraining

    assert len(mxtrain.fit(config(), run_dir=tmp_path, callbacks=[Stopper()]).history) == 1


def test_tensorboard_has_every_epoch_after_a_full_disk_and_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    writer = pytest.importorskip("tensorboardX", reason="needs the extra `tensorboard`").RecordWriter
    write, left = writer.write, 25

    def full(self: Any, data: bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            self._writer.write(data[:3])
            raise OSError(28, "No space left on device")
        write(self, data)

    monkeypatch.setattr(writer, "write", full)
    result = mxtrain.fit(config("tensorboard"), run_dir=tmp_path)
    (line,) = warnings_of(caplog)
    assert line == "TensorBoard.on_epoch failed: No space left on device; training continues"
    epochs = {epoch for points in logged_points(tmp_path / "tensorboard").values() for epoch in points}
    assert epochs == {1, 2}, "complete records remain readable"
    monkeypatch.undo()
    mxtrain.resume(tmp_path)
    assert matches(logged_points(tmp_path / "tensorboard"), result.history)


def test_a_file_in_place_of_tensorboards_folder_does_not_end_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("tensorboardX", reason="needs the extra `tensorboard`")
    run_dir = mxtrain.fit(config(epochs=2), run_dir=tmp_path).run_dir
    (run_dir / "tensorboard").write_text("a file")
    mxtrain.resume(run_dir, overrides=["fit.loggers=[tensorboard]", "fit.epochs=3"])
    (line,) = warnings_of(caplog)
    assert line.startswith("TensorBoard.on_start failed: ")


def test_parameters_with_names_that_tensorboard_refuses_have_separate_curves(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="needs the extra `tensorboard`")
    from mxtrain.training.loggers.tensorboard_logger import TensorBoard

    run_dir = mxtrain.fit(config(epochs=1), run_dir=tmp_path).run_dir
    run = mxtrain.load_run(run_dir)
    row = {"epoch": 1, "loss": 1.0, "diagnostics": {"update_ratio": {"b*": 1.0, "b?": 2.0, "b_": 3.0}}}
    logger = TensorBoard()
    logger.on_start(mxtrain.RunInfo(run.config, run_dir, 1, (1, 1), 1, (row,)))
    logger.on_end(0.0)
    points = logged_points(run_dir / "tensorboard")
    assert sorted(values[1] for values in points.values()) == [1.0, 1.0, 2.0, 3.0]


def test_a_password_is_neither_printed_nor_stored(
    server: FakeMLflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mxtrain.training.loggers import mlflow_logger

    with serving(server) as port:
        monkeypatch.setattr(mlflow_logger, "STALLED_LIMIT", 0.5)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
        server.failing = 500
        mxtrain.fit(config("mlflow", epochs=1), run_dir=tmp_path)
        server.failing = 0
        monkeypatch.setattr(mlflow_logger, "STALLED_LIMIT", 3.0)
        monkeypatch.setattr(mlflow_logger, "_SILENT", set())
        mxtrain.resume(tmp_path, overrides=["fit.epochs=2"])
    (line,) = warnings_of(caplog)
    assert f"MLflow at http://127.0.0.1:{port} does not take" in line
    assert "secret" not in line + (tmp_path / "mlflow.json").read_text()


def test_a_warning_is_one_line_on_stderr() -> None:
    code = "from mxtrain.training.loggers.delivery import report; report('one\\ntwo')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "one\\ntwo\n")
