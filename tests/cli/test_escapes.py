"""Names from files and folders reach a terminal with everything escaped that it would obey, or hide."""

import json
import os
import pty
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest

from tests.cli.conftest import command, environment

EVIL = "a\x1b]0;title\x07\x1b[31mb\rc\u202ed\x9b2Je\u2066f"
ESCAPED = r"a\x1b]0;title\x07\x1b[31mb\rc\u202ed\x9b2Je\u2066f"


def unsafe(text: str) -> set[str]:
    """Return the characters that a terminal would obey, or hide."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c != "\n"}


@pytest.fixture
def run(mxtrain):
    """A finished run in a folder of that name."""
    mxtrain("fit", "run.yaml", "-q", "--run-dir", "run")
    folder = Path("runs", EVIL)
    folder.parent.mkdir()
    Path("run").rename(folder)
    return str(folder)


def test_the_name_of_a_run_is_escaped_wherever_it_is_printed(run, mxtrain):
    said = [
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
    for _, out, err in said:
        assert not unsafe(out + err)
    assert sum(ESCAPED in out + err for _, out, err in said) >= 15


def test_json_is_the_same_data(run, mxtrain):
    out = mxtrain("evaluate", run, "--json").out
    assert json.loads(out)["run_dir"] == run


@pytest.fixture
def classes():
    """A run whose classes and columns have such names, and its table."""
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
    ours, theirs = pty.openpty()
    done = subprocess.run(
        command("predict", "run", "table.csv"), env=environment(), stdout=theirs, stderr=theirs, check=False
    )
    os.close(theirs)
    sent = os.read(ours, 100_000).decode().replace("\r\n", "\n")
    os.close(ours)
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


def test_everything_that_the_console_prints_is_escaped(capsys):
    """The console escapes text that its caller has not escaped."""
    from rich.table import Table
    from rich.text import Text

    from mxtrain.cli.streams import complain_plainly, messages, print_results

    table = Table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(EVIL)
    print_results(table, EVIL, Text(EVIL, style="bold"))
    messages().print(EVIL, soft_wrap=True)
    complain_plainly(EVIL)
    out, err = capsys.readouterr()
    assert out.count("title") == 5
    assert not unsafe(out + err)
