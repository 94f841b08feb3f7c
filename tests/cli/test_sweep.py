"""`mxtrain sweep`: output, JSON, dry runs, status, signals, and errors."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import CONFIGS, command, environment

SWEEP = """\
extends: run.yaml
sweep:
  search:
    optimizer.η: {choice: [0.0001, 0.01, 1.0e-300]}
  objective: {maximize: val_accuracy}
  sampler: {kind: grid}
  workers: 1
"""


@pytest.fixture(autouse=True)
def file(folder: Path) -> Path:
    path = folder / "rates.yaml"
    path.write_text(SWEEP, encoding="utf-8")
    return path


def test_a_sweep_prints_its_trials_and_a_summary(mxtrain, folder):
    status, out, err = mxtrain("sweep", "rates.yaml")
    assert status == 0
    lines = out.splitlines()
    assert lines[0].split() == ["trial", "val_accuracy", "optimizer.η"]
    assert lines[1].split()[0] == "1"
    assert "trials  3: 3 complete" in lines
    assert "sweep   sweeps/rates" in lines
    assert [line.split()[:3] for line in err.splitlines()] == [["trial", str(i), "complete"] for i in range(3)]


def test_running_a_finished_sweep_again_trains_nothing(mxtrain):
    mxtrain("sweep", "rates.yaml", "--quiet")
    before = Path("sweeps/rates/results.json").read_text()
    status, out, err = mxtrain("sweep", "rates.yaml")
    assert (status, err) == (0, "3 of 3 trials have ended already\n")
    assert Path("sweeps/rates/results.json").read_text() == before
    assert mxtrain("resume", "sweeps/rates").out.splitlines()[:5] == out.splitlines()[:5]


def test_json_has_trials_and_the_best(mxtrain):
    status, out, _ = mxtrain("sweep", "rates.yaml", "--run-dir", "here", "--json", "--quiet")
    found = json.loads(out)
    assert status == 0
    assert [sorted(row) for row in found["trials"]] == [sorted(found["best"])] * 3
    assert {"number", "params", "value", "state", "run_dir"} <= found["best"].keys()
    assert found["best"]["params"] == {"optimizer.η": 0.01}
    assert found["best"]["run_dir"] == str(Path("here/trials/0001").absolute())
    status, out, _ = mxtrain("fit", "here/best.yaml", "--json", "--quiet")
    assert json.loads(out)["metrics"]["val_accuracy"] == found["best"]["value"]


def test_sweep_values_can_be_overridden(mxtrain):
    out = mxtrain(
        "sweep", "rates.yaml", "--set", "sweep.search.optimizer.lr={choice: [0.5]}", "--set", "fit.epochs=1", "--json"
    ).out
    (row,) = json.loads(out)["trials"]
    assert (row["params"], row["epochs"]) == ({"optimizer.η": 0.5}, 1)


def test_a_dry_run_prints_the_plan_and_writes_nothing(mxtrain, folder):
    status, out, _ = mxtrain("sweep", str(CONFIGS / "sweep.yaml"), "--dry-run", "--workers", "2")
    assert status == 0
    for line in (
        "optimizer.η          log [0.0001, 0.1]",
        "model.hidden         choice [[32], [64], [64, 64]]",
        "maximize val_accuracy",
        "2, with 1 thread each",
    ):
        assert line in out
    plan = json.loads(mxtrain("sweep", "rates.yaml", "--dry-run", "--json").out)
    assert plan["points"] == [{"optimizer.η": 0.0001}, {"optimizer.η": 0.01}, {"optimizer.η": 1e-300}]
    assert not (folder / "sweeps").exists()


def test_the_status_of_a_sweep(mxtrain):
    status, _, err = mxtrain("sweep", "rates.yaml", "--status")
    assert status == 2
    assert "there is no sweep in" in err
    mxtrain("sweep", "rates.yaml", "--quiet")
    assert "trials  3: 3 complete" in mxtrain("sweep", "rates.yaml", "--status").out
    assert json.loads(mxtrain("sweep", "sweeps/rates", "--status", "--json").out)["best"]["number"] == 1


def test_fit_refuses_a_sweep_with_a_remedy(mxtrain):
    status, _, err = mxtrain("fit", "rates.yaml")
    assert status == 2
    assert err.splitlines()[0].startswith("rates.yaml:2:1: sweep: ")
    assert "mxtrain sweep rates.yaml" in err.splitlines()[0]


def test_an_invalid_sweep_is_reported_and_trains_nothing(mxtrain, folder):
    status, _, err = mxtrain(
        "sweep", "rates.yaml", "--set", "sweep.search.optimizer.η={choice: [-1]}", "--set", "sweep.trails=3"
    )
    assert status == 2
    assert len(err.splitlines()) == 2
    assert not (folder / "sweeps").exists()


def test_without_complete_trials_the_status_is_1(mxtrain):
    status, out, err = mxtrain(
        "sweep", "rates.yaml", "--set", "sweep.search.optimizer.η={choice: [1.0e+300]}", "--set", "optimizer.kind=sgd"
    )
    assert status == 1
    assert "trials  1: 1 failed" in out
    assert "trial 0 failed: " in err
    assert "--retry-failed tries failed trials again" in err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_sweep_stopped_by_a_signal_can_be_resumed(number, status, folder, mxtrain):
    long = ["--set", "fit.epochs=400", "--set", "sweep.search.optimizer.η={choice: [0.001]}"]
    process = subprocess.Popen(
        command("sweep", "rates.yaml", *long),
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    checkpoints = folder / "sweeps/rates/trials/0000/checkpoints"
    deadline = time.monotonic() + 60
    while not (checkpoints.is_dir() and any(checkpoints.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert out == ""
    assert err.splitlines()[-1].endswith("continue it with `mxtrain resume sweeps/rates`")
    assert "Traceback" not in err
    assert json.loads(Path("sweeps/rates/results.json").read_text())["trials"][0]["state"] == "running"
    assert mxtrain("resume", "sweeps/rates", "--quiet").status == 0
    whole = mxtrain("sweep", "rates.yaml", *long, "--run-dir", "whole", "--quiet")
    assert whole.status == 0
    model = Path("trials/0000/model.safetensors")
    assert ("sweeps/rates" / model).read_bytes() == ("whole" / model).read_bytes()


def test_a_table_that_is_too_wide_is_printed_as_lines(mxtrain, monkeypatch):
    from mxtrain.cli import streams

    monkeypatch.setattr(streams, "PIPED_WIDTH", 45)
    out = mxtrain("sweep", "rates.yaml", "--set", "sweep.search.data.batch_size={choice: [32]}").out
    assert [line.split() for line in out.splitlines()[:3]] == [
        ["trial", "1", "val_accuracy", "0.9415"],
        ["optimizer.η", "0.01"],
        ["data.batch_size", "32"],
    ]


def test_the_table_shows_the_deviation_over_seeds_of_each_objective(mxtrain, file):
    objectives = "[{maximize: val_accuracy}, {minimize: val_loss}]"
    file.write_text(SWEEP.replace("{maximize: val_accuracy}", objectives) + "  seeds: 2\n", encoding="utf-8")
    status, out, err = mxtrain("sweep", "rates.yaml")
    assert status == 0, err
    header, *rows = out.splitlines()
    assert re.split(r"  +", header.strip()) == [
        "trial", "val_accuracy", "± over seeds", "val_loss", "± over seeds", "optimizer.η"
    ]  # fmt: skip
    found = json.loads(mxtrain("sweep", "rates.yaml", "--json", "--quiet").out)
    assert found["front"]
    for number, line in zip(found["front"], rows, strict=False):
        deviations = [float(line.split()[column]) for column in (2, 4)]
        assert deviations == pytest.approx(found["trials"][number]["spread"], rel=1e-2)
        assert deviations[0] != deviations[1]
