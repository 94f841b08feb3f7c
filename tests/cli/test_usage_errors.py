"""Exit statuses and messages for wrong requests: options, folders, missing packages and config values."""

import sys
from pathlib import Path

import pytest

SWEEP = """\
extends: run.yaml
sweep:
  search: {optimizer.η: {log: [1e-3, 1e-1]}}
  objective: {minimize: val_loss}
  trials: 1
"""


@pytest.fixture
def run(mxtrain, folder):
    """A finished run without a test part."""
    assert mxtrain("fit", "run.yaml", "--run-dir", "run", "--set", "fit.epochs=1", "--quiet").status == 0
    return "run"


@pytest.fixture
def sweep_file(folder):
    (folder / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    return "sweep.yaml"


@pytest.mark.parametrize(
    "arguments",
    [
        ("resume", "nowhere"),
        ("report", "nowhere"),
        ("predict", "nowhere", "run.yaml"),
        ("evaluate", "nowhere"),
        ("runs", "nowhere"),
        ("fit", "run.yaml", "--run-dir", "run"),
        ("fit", "run.yaml", "--run-dir", "run.yaml/below"),
        ("predict", "run", "run.yaml"),
        ("evaluate", "run", "--part", "test"),
        ("schedule", "run.yaml", "-o", "nowhere/picture.png"),
        ("fit", "run.yaml", "--set", "model={kind: custom}"),
    ],
)
def test_a_wrong_request_has_status_2(mxtrain, run, arguments):
    status, _, err = mxtrain(*arguments)
    assert status == 2
    assert "Traceback" not in err


def test_a_missing_package_has_status_2(mxtrain, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    status, out, err = mxtrain("fit", "run.yaml", "--set", "backend=cupy")
    assert (status, out) == (2, "")
    assert "needs CuPy" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bench", "--size", "0"), "--size: must be at least 1, got 0"),
        (("bench", "--size", "x"), "--size: must be a whole number at least 1, got 'x'"),
        (
            ("bench", "--dtype", "float23"),
            "--dtype: must be one of float32, float64, got 'float23'; did you mean float32?",
        ),
        (("sweep", "run.yaml", "--workers", "0"), "--workers: must be at least 1, got 0"),
        (
            ("sweep", "run.yaml", "--engine", "daks"),
            "--engine: must be one of local, dask, got 'daks'; did you mean dask?",
        ),
        (
            ("evaluate", "run", "--part", "tst"),
            "--part: must be one of training, validation, test, got 'tst'; did you mean test?",
        ),
        (
            ("show", "adam", "--backend", "gpu"),
            "--backend: must be one of numpy, compiled, cupy, got 'gpu'; did you mean cupy?",
        ),
    ],
)
def test_messages_about_options_are_in_the_style_of_those_about_configs(mxtrain, arguments, message):
    status, out, err = mxtrain(*arguments)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == f"Error: {message}"


@pytest.mark.parametrize(
    ("words", "override"),
    [
        (("--epochs", "3"), "fit.epochs=3"),
        (("--epochs=3",), "fit.epochs=3"),
        (("--epochs",), "fit.epochs=VALUE"),
        (("--lr", "0.1"), "optimizer.lr=0.1"),
        (("--optimizer", "sgd"), "optimizer.kind=sgd"),
        (("--batch-size", "8"), "data.batch_size=8"),
        (("--data", "a.csv"), "data.source=a.csv"),
        (("--optimizer.lr", "0.1"), "optimizer.lr=0.1"),
    ],
)
def test_an_unknown_option_that_names_a_config_field_hints_at_set(mxtrain, words, override):
    status, _, err = mxtrain("fit", "run.yaml", *words)
    assert status == 2
    assert err.splitlines()[-1].endswith(f"; a value of the file is set with --set {override}")


def test_other_unknown_options_have_no_such_hint(mxtrain):
    assert "--set " not in mxtrain("fit", "run.yaml", "--frobnicate", "3").err
    assert "--set " not in mxtrain("runs", "--epochs", "3").err


def test_a_refused_override_of_resume_names_the_option(mxtrain, run):
    status, _, err = mxtrain("resume", run, "--set", "optimizer.lr=0.3")
    assert status == 2
    assert err.startswith("--set optimizer.lr=0.3: optimizer.lr: was 0.01 when the run started")


def test_a_refused_override_of_a_sweep_names_the_option_and_the_folder_as_typed(mxtrain, sweep_file):
    assert mxtrain("sweep", sweep_file, "--run-dir", "found", "--quiet").status == 0
    status, _, err = mxtrain("resume", "found", "--set", "sweep.seed=3")
    assert status == 2
    assert err.startswith("--set sweep.seed=3: sweep.seed: was 0 when the sweep in found was started")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--scheduler", "tcp://x:1"), "only the engine dask has a scheduler"),
        (("--set", "sweep.storage=mysql+nodriver://host/name"), "needs a driver; pip install 'mxtrain[mysql]'"),
        (("--set", "model={kind: custom}"), "needs a model"),
    ],
)
def test_a_wrong_request_for_a_sweep_writes_nothing(mxtrain, sweep_file, arguments, words):
    status, out, err = mxtrain("sweep", sweep_file, "--run-dir", "found", *arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert not Path("found").exists()


@pytest.mark.parametrize(
    ("storage", "shown"),
    [("foo://x", "got 'foo://x'"), ("study.db", "got 'study.db'"), ("foo://me:s3cret@x", "got foo://…")],
)
def test_a_wrong_storage_is_shown_without_its_password(mxtrain, sweep_file, storage, shown):
    err = mxtrain("sweep", sweep_file, "--dry-run", "--set", f"sweep.storage={storage}").err
    assert shown in err
    assert "s3cret" not in err


def test_an_unknown_metric_of_runs_names_those_there_are(mxtrain, run):
    assert "did you mean loss?" in mxtrain("runs", ".", "--sort", "vloss").err
