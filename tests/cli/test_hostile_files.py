"""Every command on runs and sweeps in which a file is replaced by a link, a pipe, a device, a folder or a huge file.

No command hangs, ends in a traceback, reads without bound, or changes other files. By default a sample of the cases is tested;
MXTRAIN_TEST_HOSTILE=1 tests all of them.
"""

import itertools
import os
import random
import resource
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mxtrain
from mxtrain.cli.main import main
from mxtrain.sweeps import sweep

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")

ALL = bool(os.environ.get("MXTRAIN_TEST_HOSTILE"))
CONFIG: dict[str, Any] = {
    "name": "hostile",
    "data": {"source": "diabetes", "batch_size": 200},
    "model": {"kind": "linear"},
    "loss": "squared_error",
    "optimizer": {"kind": "adam"},
    "fit": {"epochs": 2, "checkpoint": {"keep": 2}},
}
SWEEP = {"search": {"optimizer.η": {"choice": [0.1, 0.2]}}, "objective": {"minimize": "val_loss"}, "trials": 2}
NEWEST = "checkpoints/epoch-000002-batch-00000000"
RUN_FILES = (
    "config.yaml",
    "environment.json",
    "metrics.jsonl",
    "timings.jsonl",
    "preprocessing.json",
    "status.json",
    "model.safetensors",
    "checkpoints.jsonl",
    ".lock",
    "checkpoints",
    NEWEST,
    f"{NEWEST}/arrays.safetensors",
    f"{NEWEST}/record.json",
    f"{NEWEST}/SHA256SUMS",
    "checkpoints/epoch-000000-batch-00000001",
    "checkpoints/epoch-000003-batch-00000000",
    "checkpoints/.x.tmp",
    "checkpoints/.x.old",
    "checkpoints/.epoch-000003-batch-00000000.before",
    ".x.tmp",
    ".metrics.jsonl.tmp",
    ".model.safetensors.0123456789abcdef.tmp",
    "report.html",
    "report",
)
SWEEP_FILES = (
    "sweep.yaml",
    "study.db",
    "study.db-journal",
    "results.json",
    ".results.json.tmp",
    "best.yaml",
    ".lock",
    "logs",
    "logs/worker-0.log",
    "trials",
    "trials/0000",
    "trials/0001/metrics.jsonl",
    "trials/0001/status.json",
    "trials/0002",
)
KINDS = ("link", "junk", "folder link", "dangling", "device", "pipe", "socket", "folder", "huge", "hard link")
RUN_COMMANDS = {
    "predict": ["predict", "run", "diabetes", "-o", "predictions.csv"],
    "evaluate": ["evaluate", "run"],
    "resume": ["resume", "run", "--quiet"],
    "longer": ["resume", "run", "--quiet", "--set", "fit.epochs=4"],
    "verify": ["resume", "run", "--verify"],
    "runs": ["runs", "."],
    "report": ["report", "run"],
    "show": ["show", "run/config.yaml"],
    "validate": ["validate", "run/config.yaml"],
    "again": ["fit", "run/config.yaml", "--run-dir", "again", "--quiet"],
    "over": ["fit", "run.yaml", "--run-dir", "run", "--quiet"],
}
SWEEP_COMMANDS = {
    "status": ["sweep", "sweep", "--status"],
    "resume": ["resume", "sweep", "--quiet"],
    "more": ["resume", "sweep", "--quiet", "--set", "sweep.trials=3", "--workers", "1"],
    "report": ["report", "sweep"],
    "runs": ["runs", "sweep/trials"],
    "show": ["show", "sweep/sweep.yaml"],
    "over": ["fit", "run.yaml", "--run-dir", "sweep", "--quiet"],
}


class Hangs(BaseException):
    """A command exceeds the time limit."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: Any) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def place_hostile_file(place: Path, kind: str, outside: Path) -> None:
    """Replace a file by a hostile one; targets of links are copies of it in the folder `outside`."""
    protected = outside / "folder" / "epoch-000001-batch-00000000"
    protected.mkdir(parents=True)
    (protected / "precious").write_text("precious")
    (outside / "folder" / ".x.tmp").write_text("precious")
    (outside / "junk").write_text("precious")
    target = outside / "like"
    if place.is_dir():
        shutil.copytree(place, target)
        shutil.rmtree(place)
    elif place.exists():
        shutil.copy(place, target)
        place.unlink()
    else:
        target.write_text("precious")
    place.parent.mkdir(exist_ok=True)
    match kind:
        case "link":
            place.symlink_to(target)
        case "junk":
            place.symlink_to(outside / "junk")
        case "folder link":
            place.symlink_to(outside / "folder")
        case "dangling":
            place.symlink_to(outside / "missing")
        case "device":
            place.symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(place)
        case "socket":
            here = Path.cwd()
            os.chdir(place.parent)  # the path of a socket must be short
            try:
                with socket.socket(socket.AF_UNIX) as listener:
                    listener.bind(place.name)
            finally:
                os.chdir(here)
        case "folder":
            (place / "inside").mkdir(parents=True)
        case "huge":
            with place.open("wb") as file:
                file.truncate(2**40)
        case "hard link":
            place.hardlink_to(target if target.is_file() else outside / "junk")


def content(folder: Path) -> dict[str, Any]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else path.lstat().st_mode
        for path in folder.rglob("*")
    }


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    mxtrain.fit(CONFIG, run_dir=folder / "run")
    sweep(CONFIG | {"sweep": SWEEP}, run_dir=folder / "sweep", workers=1)
    text = mxtrain.config.to_yaml(mxtrain.RunConfig.model_validate(CONFIG))
    (folder / "run.yaml").write_text(text, encoding="utf-8")
    return folder


def draw(cases: list[Any], count: int) -> list[Any]:
    """Return a fixed sample of the cases."""
    return cases if ALL else random.Random(2).sample(cases, count)


def attempt(
    what: str, name: str, kind: str, command: list[str], originals: Path, place: Path, capsys: Any
) -> str | None:
    """Run a command on a copy with a hostile file; return a description of the failure, or None."""
    shutil.copytree(originals, place / "here")
    os.chdir(place / "here")
    place_hostile_file(place / "here" / what / name, kind, place / "outside")
    before = content(place / "outside")
    try:
        with time_limit(60):
            status = main(command)
    except Hangs:
        return "hangs"
    except BaseException as error:  # noqa: BLE001 - a traceback, of whatever kind
        return f"{type(error).__name__}: {error}"
    out, err = capsys.readouterr()
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    if content(place / "outside") != before:
        return "a file outside has changed"
    if status not in (0, 1, 2) or "Traceback" in err or len(errors) > 1:
        return f"status {status}: {err}"
    if status and not (out + err).strip():
        return f"status {status}, and no message"
    return None


def attempt_all(
    what: str,
    cases: list[tuple[str, str, str]],
    commands: dict[str, list[str]],
    originals: Path,
    tmp_path: Path,
    capsys: Any,
) -> list[str]:
    here, found = Path.cwd(), []
    try:
        for number, (name, kind, command) in enumerate(cases):
            wrong = attempt(what, name, kind, commands[command], originals, tmp_path / str(number), capsys)
            if wrong:
                found.append(f"{command} with a {kind} as {name}: {wrong}")
            shutil.rmtree(tmp_path / str(number))
    finally:
        os.chdir(here)
    return found


def test_hostile_files_in_a_run_do_not_harm_commands(originals: Path, tmp_path: Path, capsys: Any) -> None:
    quick = [name for name in RUN_COMMANDS if ALL or name != "report"]
    cases = draw(list(itertools.product(RUN_FILES, KINDS, quick)), 40)
    assert attempt_all("run", cases, RUN_COMMANDS, originals, tmp_path, capsys) == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * 2**20, "more than 4 GiB"


def test_hostile_files_in_a_sweep_do_not_harm_commands(originals: Path, tmp_path: Path, capsys: Any) -> None:
    quick = SWEEP_COMMANDS if ALL else {name: SWEEP_COMMANDS[name] for name in ("status", "runs", "show", "over")}
    cases = draw(list(itertools.product(SWEEP_FILES, KINDS, quick)), 20)
    assert attempt_all("sweep", cases, SWEEP_COMMANDS, originals, tmp_path, capsys) == []
