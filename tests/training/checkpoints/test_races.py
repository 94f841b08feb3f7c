"""If several runs start in one folder at the same time, one gets the folder, and the others change nothing.

MXTRAIN_TEST_RACES sets the number of races; few by default.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.config import read_run
from mxtrain.sweeps import SweepFolder, sweep
from mxtrain.training.run_folder import locking as locking_module
from mxtrain.training.run_folder.locking import folder_lock, is_folder_locked
from mxtrain.training.run_folder.run_directory import RunDirectory
from tests.training.checkpoints.crash_states import tree

RACES = int(os.environ.get("MXTRAIN_TEST_RACES", "4"))
RATES = (0.01, 0.02, 0.03, 0.04)
X = np.random.default_rng(0).normal(size=(40, 2))
DATA = (X, X[:, 0])


def config(rate: float) -> dict[str, Any]:
    return {
        "name": "raced",
        "data": {"source": "in_memory"},
        "model": {"kind": "linear"},
        "loss": "squared_error",
        "optimizer": {"kind": "adam", "η": rate},
        "fit": {"epochs": 2},
    }


def fit(rate: float, run_dir: Path | None) -> Path:
    return mxtrain.fit(config(rate), data=DATA, run_dir=run_dir).run_dir


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[float, bytes]:
    """The trained model of each learning rate."""
    folder = tmp_path_factory.mktemp("alone")
    return {rate: (fit(rate, folder / str(rate)) / "model.safetensors").read_bytes() for rate in RATES}


def attempt(rate: float, run_dir: Path) -> str | None:
    """Train; return the error message if the run does not get the folder."""
    try:
        fit(rate, run_dir)
    except mxtrain.TrainingError as error:
        return str(error)
    return None


def assert_is_of_one(run_dir: Path, messages: dict[float, str | None], models: dict[float, bytes]) -> None:
    (winner,) = (rate for rate, message in messages.items() if message is None)
    assert all(len(message.splitlines()) == 1 for message in messages.values() if message)
    assert read_run(run_dir / "config.yaml").optimizer.η == winner
    assert (run_dir / "model.safetensors").read_bytes() == models[winner]
    assert len((run_dir / "metrics.jsonl").read_bytes().splitlines()) == 2
    assert mxtrain.load_run(run_dir).notes == ()
    assert not [path for path in run_dir.rglob(".*") if path.name != ".lock"]


def raced(run_dir: Path) -> dict[float, str | None]:
    """Start one run in each of several threads."""
    barrier = threading.Barrier(len(RATES))

    def one(rate: float) -> str | None:
        barrier.wait()
        return attempt(rate, run_dir)

    with ThreadPoolExecutor(len(RATES)) as pool:
        return dict(zip(RATES, pool.map(one, RATES), strict=True))


def raced_by_processes(run_dir: Path) -> dict[float, str | None]:
    context: Any = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(len(RATES)), context.Queue()

    def one(rate: float) -> None:
        barrier.wait()
        queue.put((rate, attempt(rate, run_dir)))

    processes = [context.Process(target=one, args=(rate,)) for rate in RATES]
    for process in processes:
        process.start()
    messages = dict(queue.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    return messages


@pytest.mark.parametrize(
    "race",
    [
        raced,
        pytest.param(
            raced_by_processes,
            marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
        ),
    ],
)
def test_one_of_several_concurrent_runs_gets_the_folder(
    race: Callable[[Path], dict[float, str | None]], models: dict[float, bytes], tmp_path: Path
) -> None:
    for number in range(RACES):
        run_dir = tmp_path / str(number)
        if number % 2:
            run_dir.mkdir()
        messages = race(run_dir)
        assert_is_of_one(run_dir, messages, models)
        before = tree(run_dir)
        assert all(race(run_dir).values())  # the folder holds a run now
        assert tree(run_dir) == before


def test_the_check_is_repeated_under_the_lock(
    models: dict[float, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = RunDirectory.claim

    def late(path: Path) -> RunDirectory:
        monkeypatch.undo()
        fit(0.02, path)  # between the first check and the lock
        return claim(path)

    monkeypatch.setattr(RunDirectory, "claim", late)
    assert "holds a run" in str(attempt(0.01, tmp_path / "run"))
    assert_is_of_one(tmp_path / "run", {0.02: None}, models)


def test_a_sweep_and_a_run_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = config(0.1) | {"data": {"source": "diabetes"}}
    settings = {"search": {"optimizer.η": {"choice": [0.1, 0.2]}}, "objective": {"minimize": "loss"}, "trials": 2}
    make = SweepFolder.make

    def late(folder: SweepFolder) -> None:
        make(folder)
        fit(0.02, folder.path)
        before.update(tree(folder.path))

    before: dict[str, bytes] = {}
    monkeypatch.setattr(SweepFolder, "make", late)
    with pytest.raises(mxtrain.SweepError, match="is not empty and holds no sweep"):
        sweep(run | {"sweep": settings}, run_dir=tmp_path / "both")
    assert tree(tmp_path / "both") == before


def test_concurrent_automatic_names_are_distinct(
    models: dict[float, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    barrier = threading.Barrier(8)

    def one(rate: float) -> Path:
        barrier.wait()
        return fit(rate, None)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, RATES * 2))
    assert sorted(map(str, found)) == sorted(f"runs/raced-{i}" for i in range(1, 9))
    for rate, run_dir in zip(RATES * 2, found, strict=True):
        assert_is_of_one(run_dir, {rate: None}, models)


def test_an_automatic_name_taken_by_another_run_is_skipped(
    models: dict[float, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    claim = RunDirectory.claim

    def late(path: Path) -> RunDirectory:
        monkeypatch.setattr(RunDirectory, "claim", claim)
        fit(0.02, path)
        return claim(path)

    monkeypatch.setattr(RunDirectory, "claim", late)
    assert fit(0.01, None) == Path("runs/raced-2")
    assert not is_folder_locked(Path("runs/raced-1"))
    assert_is_of_one(Path("runs/raced-1"), {0.02: None}, models)


def test_a_refused_folder_is_unchanged(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    assert "is not empty" in str(attempt(0.01, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_files_of_a_process_killed_before_its_config_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".config.yaml.0123456789abcdef.tmp").write_text("name: ra")
    fit(0.01, tmp_path)
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_lock_file_that_is_replaced_during_the_wait_is_locked_again(tmp_path: Path) -> None:
    with folder_lock(tmp_path, "busy"):
        (tmp_path / ".lock").unlink()
        with folder_lock(tmp_path, "busy"):
            assert is_folder_locked(tmp_path)
        assert not is_folder_locked(tmp_path)


def test_is_folder_locked_creates_no_file_and_holds_no_lock(tmp_path: Path) -> None:
    assert not is_folder_locked(tmp_path)
    assert not list(tmp_path.iterdir())
    with folder_lock(tmp_path, "busy"):
        assert is_folder_locked(tmp_path)
        with pytest.raises(mxtrain.FolderBusyError, match="busy"), folder_lock(tmp_path, "busy"):
            pass


def test_the_locks_of_windows_are_used_without_fcntl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl", reason="the locks of Windows are imitated by those of POSIX")

    def locking(descriptor: int, mode: int, length: int) -> None:
        assert (mode, length) == (2, 1)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PermissionError(13, "Permission denied") from error

    monkeypatch.setattr(locking_module, "_fcntl", None)
    monkeypatch.setattr(locking_module, "_msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    assert not is_folder_locked(tmp_path)
    with folder_lock(tmp_path, "busy"):
        assert is_folder_locked(tmp_path)
        with pytest.raises(mxtrain.FolderBusyError, match="busy"), folder_lock(tmp_path, "busy"):
            pass
    assert not is_folder_locked(tmp_path)
