"""`mxtrain fit`: the summary, JSON, files, numbered folders, overrides, and errors."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mxtrain.cli.run_output import LINES
from mxtrain.formatting import format_number
from mxtrain.sweeps.task import Task, run_task
from mxtrain.training import fit
from mxtrain.training.callbacks import StopRequest
from tests.cli.conftest import CONFIGS
from tests.nn.test_custom_loss import PLUGIN

RUN = """\
data: {source: data.npz, target: y}
model: {kind: custom}
loss: custom
optimizer: {kind: adam, lr: 0.05}
fit: {epochs: 2, metrics: [mae]}
"""


def test_commands_and_sweep_trials_use_the_loss_of_the_model(mxtrain: Any) -> None:
    Path("quantile_plugin.py").write_text(PLUGIN)
    rng = np.random.default_rng(0)
    np.savez("data.npz", X=rng.normal(size=(200, 2)), y=rng.normal(size=200))
    Path("run.yaml").write_text(RUN)
    plugin = ("--plugin", "quantile_plugin")
    status, out, err = mxtrain("fit", "run.yaml", *plugin, "--run-dir", "run", "--json", "--quiet")
    assert status == 0, err
    fitted = json.loads(out)["metrics"]
    _, out, _ = mxtrain("evaluate", "run", *plugin, "--json")
    assert json.loads(out)["metrics"]["loss"] == fitted["val_loss"]
    assert mxtrain("predict", "run", "data.npz", *plugin)[1].count("\n") == 201

    status, _, err = mxtrain("fit", "run.yaml", *plugin, "--run-dir", "other", "--set", "loss=squared_error", "--quiet")
    assert status == 2
    assert "loss: is squared_error, but the model of quantile_plugin.model computes another loss" in err

    from mxtrain.config import read_run

    task = Task(0, 0, read_run("run.yaml").resolve().to_dict(), "trial", 2)
    outcome = run_task(task, StopRequest(), "quantile_plugin:model")
    assert outcome.progress is not None, outcome.message
    assert outcome.progress.rows[-1]["val_loss"] == fitted["val_loss"]


CONTENTS = [
    ".lock", "checkpoints", "checkpoints.jsonl", "config.yaml", "environment.json", "metrics.jsonl", "model.safetensors",
    "preprocessing.json", "status.json", "timings.jsonl",
]  # fmt: skip


def rows(run_dir: str) -> list[dict]:
    return [json.loads(line) for line in Path(run_dir, "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_summary_has_training_and_validation_metrics_the_best_epoch_and_the_folder(mxtrain):
    status, out, _ = mxtrain("fit", "run.yaml", "--run-dir", "here")
    last = rows("here")[-1]
    assert status == 0
    assert re.search(r"^epoch 2 +training +validation$", out, re.MULTILINE)
    for name in ("loss", "accuracy"):
        assert re.search(rf"^{name} +{last[name]:.4f} +{last[f'val_{name}']:.4f}$", out, re.MULTILINE)
    best = min(rows("here"), key=lambda row: row["val_loss"])
    assert re.search(rf"^best +epoch {best['epoch']}: val_loss {best['val_loss']:.4f}", out, re.MULTILINE)
    assert re.search(r"^time +[\d.]+ s for 2 epochs, 90 iterations$", out, re.MULTILINE)
    assert re.search(r"^parameters +650$", out, re.MULTILINE)
    assert re.search(r"^run +here$", out, re.MULTILINE)


def test_the_best_epoch_follows_the_metric_of_checkpoint_best(mxtrain):
    watch = ["--set", "fit.checkpoint.best=loss", "--set", "fit.epochs=6", "--set", "optimizer.η=0.3"]
    _, out, _ = mxtrain("fit", "run.yaml", "--run-dir", "here", *watch)
    by_loss = min(rows("here"), key=lambda row: row["loss"])
    assert by_loss != min(rows("here"), key=lambda row: row["val_loss"]), (
        "this test needs metrics with different best epochs"
    )
    assert re.search(
        rf"^best +epoch {by_loss['epoch']}: .*loss {format_number(by_loss['loss'])} \(lowest loss\)$", out, re.MULTILINE
    )
    result = json.loads(mxtrain("resume", "here", "--json").out)
    assert (result["best"], result["best_metric"]) == (by_loss, "loss")


def test_without_validation_there_is_no_best_epoch(mxtrain):
    _, out, _ = mxtrain("fit", "run.yaml", "--set", "data.validation=0")
    assert "training" in out
    assert "best" not in out
    assert "val" not in out


def until_worse(**stopping: object) -> list[str]:
    """Return options of a run that diverges slowly, so that early stopping ends it."""
    early_stopping = json.dumps({"patience": 2, **stopping})
    return ["--set", "optimizer.η=1", "--set", "fit.epochs=50", "--set", f"fit.early_stopping={early_stopping}"]


def shown(out: str, row: dict) -> bool:
    """Return True if the summary has the metrics of an epoch."""
    lines = [
        rf"^epoch {row['epoch']} +training +validation$",
        rf"^loss +{format_number(row['loss'])} +{format_number(row['val_loss'])}$",
        rf"^gradient +norm {format_number(row['diagnostics']['grad_norm'])}, ",
    ]
    return all(re.search(line, out, re.MULTILINE) for line in lines)


def test_the_summary_shows_the_epoch_that_early_stopping_restores(mxtrain):
    _, out, _ = mxtrain("fit", "run.yaml", "--run-dir", "here", *until_worse())
    history = rows("here")
    best = len(history) - 2
    assert len(history) < 50
    assert shown(out, history[best - 1])
    message = f"stopped early, after epoch {len(history)} of 50; the model is that of epoch {best}"
    assert re.search(rf"^ended +{message}$", out, re.MULTILINE)
    assert f"epoch {best} " in mxtrain("evaluate", "here").out
    assert shown(mxtrain("resume", "here").out, history[best - 1])


def test_without_restore_best_the_summary_shows_the_last_epoch(mxtrain):
    _, out, _ = mxtrain("fit", "run.yaml", "--run-dir", "here", *until_worse(restore_best=False))
    history = rows("here")
    assert shown(out, history[-1])
    last = len(history)
    assert f"stopped early, after epoch {last} of 50; the model is that of epoch {last}\n" in out


def test_a_run_with_all_its_epochs_is_not_reported_as_stopped_early(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet", "--run-dir", "whole", *until_worse())
    epochs = len(rows("whole"))
    _, out, _ = mxtrain("fit", "run.yaml", "--run-dir", "here", *until_worse(), "--set", f"fit.epochs={epochs}")
    assert shown(out, rows("here")[epochs - 3])
    assert re.search(rf"^ended +after epoch {epochs}; the model is that of epoch {epochs - 2}$", out, re.MULTILINE)


def test_json_has_the_metrics_of_the_restored_epoch_and_stopped_early(mxtrain):
    found = json.loads(mxtrain("fit", "run.yaml", "--json", "-q", "--run-dir", "here", *until_worse()).out)
    assert found["stopped_early"] is True
    assert found["metrics"] == rows("here")[-3]
    assert found["epochs"] == len(rows("here"))
    assert json.loads(mxtrain("fit", "run.yaml", "--json", "-q").out)["stopped_early"] is False


def test_without_a_terminal_each_epoch_is_one_line_on_stderr(mxtrain):
    _, _, err = mxtrain("fit", "run.yaml")
    first, second = err.splitlines()
    assert re.fullmatch(r"epoch 1/2  loss \S+  accuracy \S+  val_loss \S+  val_accuracy \S+  η 0.01", first)
    assert second.startswith("epoch 2/2")


def test_a_long_run_prints_a_bounded_number_of_lines(mxtrain):
    small = ["--set", "data.batch_size=2000", "--set", "fit.epochs=250"]
    _, _, err = mxtrain("fit", "run.yaml", *small)
    lines = err.splitlines()
    assert LINES / 2 < len(lines) <= LINES
    assert lines[0].startswith("epoch   1/250")
    assert lines[-1].startswith("epoch 250/250")


def test_json_is_one_object_on_stdout(mxtrain):
    status, out, err = mxtrain("fit", "run.yaml", "--json")
    result = json.loads(out)
    assert status == 0
    assert err.startswith("epoch 1/2")
    assert result["run_dir"] == "runs/run-1"
    assert (result["epochs"], result["iterations"], result["parameters"]) == (2, 90, 650)
    assert result["state"] == {"batch_size": 32, "curr_epoch": 2, "curr_batch": 45, "curr_iter": 90, "skipped": 0}
    assert result["metrics"] == rows("runs/run-1")[-1]
    assert result["best"] in rows("runs/run-1")
    assert result["seconds"] > 0


def test_quiet_prints_nothing(mxtrain):
    assert mxtrain("fit", "run.yaml", "--quiet") == (0, "", "")


def test_quiet_json_prints_only_json(mxtrain):
    _, out, err = mxtrain("fit", "run.yaml", "--quiet", "--json")
    assert json.loads(out)["epochs"] == 2
    assert err == ""


def test_the_run_folder_has_the_documented_files(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet")
    assert sorted(path.name for path in Path("runs/run-1").iterdir()) == CONTENTS
    assert len(rows("runs/run-1")) == 2
    assert json.loads(Path("runs/run-1/environment.json").read_text())["packages"]["mxtrain"]


def test_two_runs_write_the_same_bytes(mxtrain):
    for name in ("one", "two"):
        mxtrain("fit", "run.yaml", "--quiet", "--run-dir", name)
    for file in ("metrics.jsonl", "model.safetensors", "config.yaml"):
        assert Path("one", file).read_bytes() == Path("two", file).read_bytes()


def test_the_saved_config_reproduces_the_run(mxtrain):
    mxtrain("fit", str(CONFIGS / "adam.yaml"), "--quiet", "--run-dir", "one", "--set", "fit.epochs=2")
    mxtrain("fit", "one/config.yaml", "--quiet", "--run-dir", "two")
    for file in ("metrics.jsonl", "model.safetensors", "config.yaml"):
        assert Path("one", file).read_bytes() == Path("two", file).read_bytes()


def test_runs_without_a_run_dir_are_numbered(mxtrain):
    for number in (1, 2):
        assert json.loads(mxtrain("fit", "run.yaml", "--json").out)["run_dir"] == f"runs/run-{number}"


def test_a_folder_that_is_not_empty_is_refused_and_unchanged(mxtrain):
    Path("taken").mkdir()
    Path("taken/thesis.txt").write_text("years of work")
    status, out, err = mxtrain("fit", "run.yaml", "--run-dir", "taken")
    assert (status, out) == (2, "")
    assert err == "error: the run directory taken is not empty; name another one, or delete it first\n"
    assert [path.name for path in Path("taken").iterdir()] == ["thesis.txt"]


def test_set_overrides_values_of_the_file(mxtrain):
    mxtrain("fit", "run.yaml", "-q", "--run-dir", "a", "--set", "fit.epochs=1", "--set", "optimizer.lr=0.02")
    assert [row["η"] for row in rows("a")] == [0.02]


def test_errors_of_set_and_of_the_file_are_reported_together(mxtrain, folder):
    text = (folder / "run.yaml").read_text(encoding="utf-8")
    (folder / "bad.yaml").write_text(text.replace("η: 0.01", "β2: 1.2"), encoding="utf-8")
    status, out, err = mxtrain("fit", "bad.yaml", "--set", "fit.epochs=0", "--set", "nonsense")
    assert (status, out) == (2, "")
    assert "bad.yaml:4:29: optimizer.β2: must be at least 0 and below 1, got 1.2\n" in err
    assert "--set fit.epochs=0: fit.epochs: must be a whole number at least 1" in err
    assert "--set nonsense: must have the form path=value" in err
    assert not Path("runs").exists()


def test_a_run_that_diverges_is_one_line_and_status_1(mxtrain, folder):
    divergent = ["--set", "data.source=diabetes", "--set", "loss=squared_error", "--set", "fit.metrics=[]"]
    status, out, err = mxtrain("fit", "run.yaml", "-q", *divergent, "--set", "optimizer={kind: sgd, η: 1e30}")
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert "the run has diverged" in err
    assert len(err.splitlines()) == 1


def test_unsuitable_data_are_one_line_and_status_2(mxtrain, folder):
    (folder / "table.csv").write_text("a,b\n1,2\n3,oops\n", encoding="utf-8")
    status, out, err = mxtrain(
        "fit", "run.yaml", "--set", "data={source: table.csv, target: b}", "--set", "loss=logistic",
        "--set", "data.features=[c]",
    )  # fmt: skip
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert "table.csv" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_status_2(mxtrain, name):
    status, out, err = mxtrain("fit", name)
    assert (status, out) == (2, "")
    assert err.startswith(f"{name}: ")
    assert len(err.splitlines()) == 1


def test_commands_on_a_config_with_data_in_memory_ask_for_python(mxtrain, folder):
    text = (folder / "run.yaml").read_text(encoding="utf-8").replace("digits", "in_memory")
    (folder / "memory.yaml").write_text(text, encoding="utf-8")
    assert mxtrain("validate", "memory.yaml") == (0, "memory.yaml: ok\n", "")
    assert mxtrain("show", "memory.yaml").status == 0
    message = "memory.yaml:1:16: data.source: the data are not in the config; pass them in Python as data=\n"
    for command in ("fit", "schedule", "bench --run"):
        status, out, err = mxtrain(*command.split(), "memory.yaml")
        assert (status, out) == (2, "")
        assert message in err
    assert not (folder / "runs").exists()


def test_a_run_on_data_in_memory_can_be_used_but_not_resumed_by_commands(mxtrain, folder):
    inputs = np.arange(20.0).reshape(-1, 2)
    config = {
        "data": {"source": "in_memory"},
        "model": {"kind": "linear"},
        "loss": "squared_error",
        "optimizer": {"kind": "adam"},
        "fit": {"epochs": 2},
    }
    fit(config, run_dir="run", data=(inputs, inputs[:, 0]))
    np.savez("new.npz", X=inputs, y=inputs[:, 0])
    for command in ("resume run", "resume run --verify", "evaluate run"):
        status, out, err = mxtrain(*command.split())
        assert (status, out) == (2, "")
        assert "data.source: the data are not in the config; pass them in Python as data=" in err
        assert "Traceback" not in err
    for command in ("evaluate run --data new.npz", "predict run new.npz -o out.csv", "runs run", "report run"):
        assert mxtrain(*command.split()).status == 0, command
