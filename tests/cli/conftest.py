"""Fixtures that run commands in this process or in a new one and return exit status, stdout and stderr."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from mxtrain.cli.main import main

CONFIGS = Path(__file__).parents[2] / "configs"
COLOUR_SETTINGS = ("NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "COLUMNS", "TTY_COMPATIBLE")
RUN = """\
data: {source: digits, validation: 0.2}
model: {kind: linear}
loss: softmax_cross_entropy
optimizer: {kind: adam, η: 0.01}
fit: {epochs: 2, metrics: [accuracy]}
"""


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment without variables that change colours or widths, and with `settings`."""
    return {name: value for name, value in os.environ.items() if name not in COLOUR_SETTINGS} | settings


def command(*arguments: str) -> list[str]:
    """Return a command line that runs mxtrain in a new Python process."""
    return [sys.executable, "-c", "import sys; from mxtrain.cli.main import main; sys.exit(main())", *arguments]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the commands, with a run file, `run.yaml`."""
    monkeypatch.chdir(tmp_path)
    for name in COLOUR_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "run.yaml").write_text(RUN, encoding="utf-8")
    return tmp_path


@pytest.fixture
def mxtrain(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in this process."""

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        status = main(arguments)
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture
def started() -> Callable[..., Outcome]:
    """Run a command in a new process."""

    def run(*arguments: str, **settings: str) -> Outcome:
        done = subprocess.run(
            command(*arguments), env=environment(**settings), capture_output=True, check=False, timeout=60
        )
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
