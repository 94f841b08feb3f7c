"""Output on terminals, pipes and full disks: escaping of control characters, colours, encodings, and exit status."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from tests.cli.conftest import command, environment

EVIL = "a\x1b]0;title\x07\x1b[31mb\rc\u202ed\x9b2Je\u2066f"
ESCAPED = r"a\x1b]0;title\x07\x1b[31mb\rc\u202ed\x9b2Je\u2066f"


def unsafe(text: str) -> set[str]:
    """Return the control and invisible characters of a text."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c != "\n"}


@pytest.fixture
def run(mxtrain):
    """A finished run in a folder with a name of control characters."""
    mxtrain("fit", "run.yaml", "-q", "--run-dir", "run")
    folder = Path("runs", EVIL)
    folder.parent.mkdir()
    Path("run").rename(folder)
    return str(folder)


def test_the_name_of_a_run_is_escaped_in_every_output(run, mxtrain):
    outcomes = [
        mxtrain("resume", run),
        mxtrain("resume", run, "--verify"),
        mxtrain("resume", run, "--verify", "--json"),
        mxtrain("resume", run, "--set", "fit.epochs=1"),
        mxtrain("runs"),
        mxtrain("runs", run),
        mxtrain("runs", run, "--sort", "val_loss"),
        mxtrain("evaluate", run),
        mxtrain("evaluate", run, "--json"),
        mxtrain("evaluate", run, "--data", EVIL),
        mxtrain("predict", run, EVIL),
        mxtrain("predict", run, EVIL, EVIL),
        mxtrain("report", run, "--output", f"{EVIL}.html"),
        mxtrain("fit", EVIL),
        mxtrain("fit", "run.yaml", "--set", f"{EVIL}=3"),
        mxtrain("fit", "run.yaml", f"--{EVIL}"),
        mxtrain("show", EVIL),
        mxtrain("schedule", "run.yaml", "--output", f"{EVIL}.png"),
        mxtrain(EVIL),
        mxtrain("bench", EVIL),
        mxtrain("fit", "run.yaml", "--plugin", EVIL),
        mxtrain("sweep", EVIL),
    ]
    for _, out, err in outcomes:
        assert not unsafe(out + err)
    assert sum(ESCAPED in out + err for _, out, err in outcomes) >= 15


def test_json_keeps_the_name_unchanged(run, mxtrain):
    out = mxtrain("evaluate", run, "--json").out
    assert json.loads(out)["run_dir"] == run


@pytest.fixture
def classes():
    """A config and its table, whose class and column names have control characters."""
    lines = [f"x{EVIL.replace(chr(13), '')},y"] + [f"{i},{['good', EVIL][i % 2]}" for i in range(8)]
    Path("table.csv").write_bytes("\n".join(lines).replace(EVIL, f'"{EVIL}"').encode())
    Path("classes.yaml").write_text(
        "data: {source: table.csv, target: y, batch_size: 4}\nmodel: {kind: linear}\nloss: softmax_cross_entropy\n"
        "optimizer: {kind: adam}\nfit: {epochs: 1}\n"
    )


def test_predictions_are_data_in_a_file_and_escaped_on_a_terminal(classes, mxtrain):
    assert mxtrain("fit", "classes.yaml", "--run-dir", "run").status == 0
    piped = mxtrain("predict", "run", "table.csv").out
    assert EVIL in piped
    assert mxtrain("predict", "run", "table.csv", "-o", "out.csv").status == 0
    assert Path("out.csv").read_bytes().decode() == piped
    reader, writer = pty.openpty()
    done = subprocess.run(
        command("predict", "run", "table.csv"), env=environment(), stdout=writer, stderr=writer, check=False
    )
    os.close(writer)
    sent = os.read(reader, 100_000).decode().replace("\r\n", "\n")
    os.close(reader)
    assert done.returncode == 0
    assert ESCAPED in sent
    assert not unsafe(sent)


def test_columns_and_keys_are_escaped_in_errors(classes, mxtrain):
    shutil.copy("classes.yaml", "other.yaml")
    for edit in (
        ("target: y", f"target: {json.dumps(EVIL)}"),
        ("target: y", f"target: y, {json.dumps(EVIL)}: 3"),
        ("kind: linear", f"kind: {json.dumps(EVIL)}"),
        ("epochs: 1", f"epochs: {json.dumps(EVIL)}"),
    ):
        Path("other.yaml").write_text(Path("classes.yaml").read_text().replace(*edit))
        status, out, err = mxtrain("fit", "other.yaml")
        assert status in (1, 2)
        assert not unsafe(out + err)


def test_console_output_is_escaped(capsys):
    """The console escapes text that its caller has not escaped."""
    from rich.table import Table
    from rich.text import Text

    from mxtrain.cli.streams import messages, print_plain_error, print_results

    table = Table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(EVIL)
    print_results(table, EVIL, Text(EVIL, style="bold"))
    messages().print(EVIL, soft_wrap=True)
    print_plain_error(EVIL)
    out, err = capsys.readouterr()
    assert out.count("title") == 5
    assert not unsafe(out + err)


def on_a_terminal(*arguments: str, **settings: str) -> str:
    """Run a command on a pseudo-terminal and return its output."""
    reader, writer = pty.openpty()
    settings = {"TERM": "xterm-256color", "COLUMNS": "110", **settings}
    with subprocess.Popen(command(*arguments), env=environment(**settings), stdout=writer, stderr=writer) as process:
        os.close(writer)
        sent = b""
        while True:
            try:
                sent += (chunk := os.read(reader, 65536))
            except OSError:  # Linux reports a closed terminal as an error
                break
            if not chunk:
                break
    os.close(reader)
    assert process.returncode in (0, 2)
    return sent.decode()


def test_output_without_a_terminal_has_no_colours(started):
    for arguments in (("fit", "run.yaml"), ("list", "models"), ("validate", "missing.yaml")):
        _, out, err = started(*arguments)
        assert out + err
        assert "\x1b" not in out + err


def test_a_terminal_shows_a_bar_and_then_the_summary():
    sent = on_a_terminal("fit", "run.yaml")
    assert "━" in sent
    assert "\x1b[" in sent
    assert "validation" in sent


def test_no_color_is_respected_on_a_terminal():
    sent = on_a_terminal("list", "models", NO_COLOR="1")
    assert "linear" in sent
    assert "\x1b[36m" not in sent
    assert "\x1b[36m" in on_a_terminal("list", "models")


def test_output_in_an_ascii_locale(started):
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


def test_a_closed_pipe_on_stdout_is_not_an_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command("list"), env=environment(), stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [("list",), ("validate", "run.yaml"), ("--version",)])
def test_a_full_disk_is_one_line_and_status_1(arguments):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command(*arguments), env=environment(), stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr == b"error: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_run_continues_if_its_output_cannot_be_written():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("fit", "run.yaml", "--json"), env=environment(), stdout=subprocess.PIPE, stderr=full, check=False
        )
    assert (done.returncode, json.loads(done.stdout)["epochs"]) == (0, 2)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command("fit", "run.yaml", "--json"), env=environment(), stdout=subprocess.PIPE, stderr=writer, check=False
    )
    os.close(writer)
    assert (done.returncode, json.loads(done.stdout)["epochs"]) == (0, 2)
    for run in ("run-1", "run-2"):
        assert json.loads(Path("runs", run, "status.json").read_text())["state"] == "finished"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_error_that_cannot_be_printed_keeps_its_exit_status():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command("fit", "missing.yaml"), env=environment(), stderr=full, check=False)
    assert done.returncode == 2


def test_ctrl_c_during_imports_is_one_line() -> None:
    program = (
        "import sys, builtins\nfrom mxtrain.cli.main import main\noriginal = builtins.__import__\n"
        "def interrupt(name, *arguments):\n    if name == 'typer':\n        raise KeyboardInterrupt\n"
        "    return original(name, *arguments)\nbuiltins.__import__ = interrupt\nsys.exit(main(['--help']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"interrupted\n")
