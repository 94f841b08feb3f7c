"""Results on stdout, messages on stderr, whatever stands at their other end."""

import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import command, environment


def on_a_terminal(*arguments: str, **settings: str) -> str:
    """What a terminal is sent, by stdout and stderr together."""
    ours, theirs = pty.openpty()
    settings = {"TERM": "xterm-256color", "COLUMNS": "110", **settings}
    with subprocess.Popen(command(*arguments), env=environment(**settings), stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        sent = b""
        while True:
            try:
                sent += (chunk := os.read(ours, 65536))
            except OSError:  # Linux's way of saying that the other end is closed
                break
            if not chunk:
                break
    os.close(ours)
    assert process.returncode in (0, 2)
    return sent.decode()


def test_nothing_is_coloured_where_there_is_no_terminal(started):
    for arguments in (("fit", "run.yaml"), ("list", "models"), ("validate", "missing.yaml")):
        _, out, err = started(*arguments)
        assert out + err
        assert "\x1b" not in out + err


def test_a_terminal_has_a_bar_and_then_the_closing_table():
    sent = on_a_terminal("fit", "run.yaml")
    assert "━" in sent
    assert "\x1b[" in sent
    assert "validation" in sent


def test_no_color_is_honoured_on_a_terminal():
    sent = on_a_terminal("list", "models", NO_COLOR="1")
    assert "linear" in sent
    assert "\x1b[36m" not in sent
    assert "\x1b[36m" in on_a_terminal("list", "models")


def test_greek_letters_survive_an_encoding_without_them(started):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    status, out, err = started("fit", "run.yaml", "--json", **ascii_only)
    assert status == 0
    assert "\\u03b7 0.01" in err
    assert json.loads(out)["metrics"]["η"] == 0.01
    assert started("list", "optimizers", **ascii_only).status == 0
    status, out, _ = started("schedule", "run.yaml", **ascii_only)
    assert status == 0
    assert "learning rate eta" in out
    assert "\\u" not in out


def test_shown_yaml_is_utf8_in_every_locale(started):
    ascii_only = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    assert started("show", "run.yaml", **ascii_only).out == started("show", "run.yaml").out


def test_ctrl_c_is_one_line_and_status_130():
    arguments = command("fit", "run.yaml", "--set", "fit.epochs=1000000")
    with subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        assert process.stderr.readline().startswith("epoch")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "interrupted; the run is saved: continue it with `mxtrain resume runs/run-1`"
    assert "Traceback" not in err
    assert Path("runs/run-1/metrics.jsonl").exists()


def test_a_reader_who_has_seen_enough_is_no_error():
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(command("list"), env=environment(), stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [("list",), ("validate", "run.yaml"), ("--version",)])
def test_a_full_disk_is_one_line_and_status_1(arguments):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command(*arguments), env=environment(), stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr == b"error: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_run_goes_on_where_nobody_can_be_told_of_it():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("fit", "run.yaml", "--json"), env=environment(), stdout=subprocess.PIPE, stderr=full, check=False
        )
    assert (done.returncode, json.loads(done.stdout)["epochs"]) == (0, 2)
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        command("fit", "run.yaml", "--json"), env=environment(), stdout=subprocess.PIPE, stderr=theirs, check=False
    )
    os.close(theirs)
    assert (done.returncode, json.loads(done.stdout)["epochs"]) == (0, 2)
    for run in ("run-1", "run-2"):
        assert json.loads(Path("runs", run, "status.json").read_text())["state"] == "finished"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_error_that_nobody_can_be_told_of_keeps_its_status():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command("fit", "missing.yaml"), env=environment(), stderr=full, check=False)
    assert done.returncode == 2
