"""Files with a sweep, given to the commands that check and show files, and to those that take one run."""

from pathlib import Path

import pytest

from mxtrain.config import read_sweep
from tests.cli.conftest import CONFIGS

SWEEP = str(CONFIGS / "sweep.yaml")


def test_a_sweep_is_checked(mxtrain):
    assert mxtrain("validate", SWEEP) == (0, f"{SWEEP}: ok\n", "")
    status, out, err = mxtrain(
        "validate", SWEEP, "--set", "sweep.search.optimizer.η={log: [0, 1]}", "--set", "sweep.trials=0"
    )
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 2


def test_a_sweep_is_shown_with_every_setting_and_reads_back(mxtrain, folder):
    status, out, err = mxtrain("show", SWEEP, "--set", "sweep.trials=7")
    assert (status, err) == (0, "")
    assert "  trials: 7\n  workers: auto\n  seeds: 1\n" in out
    Path("shown.yaml").write_text(out, encoding="utf-8")
    assert read_sweep("shown.yaml") == read_sweep(SWEEP, ["sweep.trials=7"])
    assert mxtrain("show", "shown.yaml").out == out


def test_a_sweep_has_no_one_program(mxtrain):
    status, out, err = mxtrain("show", SWEEP, "--backend", "numpy")
    assert (status, out) == (2, "")
    assert "many optimizers" in err


@pytest.mark.parametrize("command", ["fit", "schedule"])
def test_a_command_for_one_run_says_what_to_do_with_a_sweep(mxtrain, command):
    status, out, err = mxtrain(command, SWEEP)
    assert (status, out) == (2, "")
    assert err.splitlines()[0] == (
        f"{SWEEP}:5:1: sweep: this is a sweep: start it with `mxtrain sweep {SWEEP}`, or its run alone with --set sweep=null"
    )


def test_the_run_of_a_sweep_is_trained_alone(mxtrain, folder):
    assert mxtrain("fit", SWEEP, "--set", "sweep=null", "--set", "fit.epochs=1", "--quiet").status == 0
