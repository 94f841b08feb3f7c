"""Studies in databases: locks, several drivers in turn, damaged and deleted studies."""

import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from sqlalchemy.exc import OperationalError

import mxtrain
from mxtrain.config import sweep_from_dict
from mxtrain.sweeps.run_sweep import silence_optuna
from mxtrain.sweeps.study_storage import StudyStorage
from mxtrain.sweeps.sweep_folder import study_identity
from mxtrain.sweeps.trial_result import TrialResult
from tests.sweeps.conftest import small, table

SERVER = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)


@pytest.fixture(scope="module")
def postgresql():
    """The address of a PostgreSQL server that is started for the tests."""
    if SERVER is None:
        pytest.skip("PostgreSQL's server is not installed on this machine")
    folder = Path(tempfile.mkdtemp(prefix="mxtrain-postgresql-"))  # pytest closes its own folders to other users
    user = []
    if os.geteuid() == 0:  # the server refuses to run as root
        user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres", "postgres")
    programs = Path(SERVER).resolve().parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    subprocess.run(
        [*user, programs / "initdb", "-A", "trust", "-U", "sweeper", "-N", "-D", folder / "data"],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    control = [*user, programs / "pg_ctl", "-D", folder / "data", "-w"]
    subprocess.run(
        [*control, "-l", folder / "log", "-o", options, "start"], check=True, capture_output=True, cwd=folder
    )
    yield f"postgresql://sweeper@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder)
    shutil.rmtree(folder)


def test_two_drivers_use_one_study_in_turn(postgresql, tmp_path):
    """The second driver finds the trials of the first one, even with another folder."""
    first = mxtrain.sweep(small(storage=postgresql, trials=3, name="turns"), run_dir=tmp_path / "one", workers=2)
    second = mxtrain.sweep(small(storage=postgresql, trials=6, name="turns"), run_dir=tmp_path / "two", workers=2)
    assert list(second)[:3] == list(first)
    assert table(second) == table(mxtrain.sweep(small(), run_dir=tmp_path / "alone", workers=2))
    storage = optuna.storages.RDBStorage(postgresql)
    study = optuna.load_study(study_name="turns", storage=storage)
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3, 4, 5]
    storage.remove_session()
    storage.engine.dispose()


def test_a_second_driver_of_a_study_is_refused(postgresql, tmp_path):
    refused = []

    def watch(result):
        if not refused:
            with pytest.raises(mxtrain.FolderBusyError, match="another process uses the study busy in postgresql://"):
                mxtrain.sweep(small(storage=postgresql, name="busy"), run_dir=tmp_path / "two", workers=1)
            refused.append(True)

    mxtrain.sweep(small(storage=postgresql, name="busy"), run_dir=tmp_path / "one", workers=1, watch=watch)
    assert refused


def test_another_sweep_of_the_same_name_is_refused(postgresql, tmp_path):
    mxtrain.sweep(small(storage=postgresql, trials=1, name="taken"), run_dir=tmp_path / "one", workers=1)
    with pytest.raises(mxtrain.SweepError, match="the study taken in postgresql://.* belongs to another sweep"):
        mxtrain.sweep(small(storage=postgresql, trials=1, seed=9, name="taken"), run_dir=tmp_path / "two", workers=1)


def test_a_database_that_does_not_answer_is_one_error_without_the_password(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"postgresql://sweeper:s3cret@127.0.0.1:{free.getsockname()[1]}/postgres"
    with pytest.raises(mxtrain.SweepError, match="cannot be reached") as error:
        mxtrain.sweep(small(storage=address), run_dir=tmp_path, workers=1)
    assert "s3cret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_trial_that_a_user_added_is_not_changed(tmp_path):
    first = mxtrain.sweep(small(trials=2), run_dir=tmp_path, workers=1)
    optuna.load_study(study_name="small", storage=f"sqlite:///{tmp_path / 'study.db'}").enqueue_trial(
        {"optimizer.η": 0.01}
    )
    assert list(mxtrain.sweep(small(trials=4), run_dir=tmp_path, workers=1))[:2] == list(first)


def test_only_the_owner_can_read_a_password(tmp_path):
    from mxtrain.sweeps import SweepFolder

    SweepFolder(tmp_path).claim(sweep_from_dict(small(storage="postgresql://me:s3cret@localhost/db")))
    assert (tmp_path / "sweep.yaml").stat().st_mode & 0o077 == 0


def test_a_damaged_study_is_one_error(tmp_path):
    mxtrain.sweep(small(trials=1), run_dir=tmp_path, workers=1)
    (tmp_path / "study.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(
        mxtrain.SweepError, match=r"study.db cannot be reached: file is not a database; move the file away"
    ):
        mxtrain.sweep(small(trials=2), run_dir=tmp_path, workers=1)


def test_a_deleted_study_is_restored_from_the_folders_of_the_trials(tmp_path):
    result = mxtrain.sweep(small(), run_dir=tmp_path, workers=2)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("trials/*/model.safetensors")}
    (tmp_path / "study.db").unlink()
    assert table(mxtrain.sweep(small(), run_dir=tmp_path, workers=2)) == table(result)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("trials/*/model.safetensors")} == before


@pytest.fixture
def open_storage(tmp_path):
    """Return a context manager that opens the storage of a small sweep; keyword arguments are those of `small`."""

    def open_(**settings):
        return closing(StudyStorage(sweep_from_dict(small(**settings)), tmp_path))

    with silence_optuna():
        yield open_


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_study_of_another_sweep_is_refused_in_either_order_of_their_identities(is_reversed, open_storage, tmp_path):
    url = f"sqlite:///{tmp_path}/studies.db"
    first, second = sorted(
        (0, 1),
        key=lambda seed: study_identity(sweep_from_dict(small(storage=url, seed=seed))),
        reverse=is_reversed,
    )
    for _ in range(2):
        with open_storage(storage=url, seed=first) as storage:
            assert storage.attempts() == []
    with (
        open_storage(storage=url, seed=second) as storage,
        pytest.raises(mxtrain.SweepError, match=r"the study small in sqlite:.*studies.db belongs to another sweep"),
    ):
        storage.attempts()


def add_trials(storage, numbers):
    for number in numbers:
        storage.add(TrialResult(number, "failed", {}, {}, error="diverged"))


def test_retried_trials_are_recorded_more_than_once(open_storage):
    with open_storage() as storage:
        add_trials(storage, [0, 1, 0, 2, 1, 1])
    with open_storage() as storage:
        assert [result.number for result in storage.attempts()] == [0, 1, 0, 2, 1, 1]


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [([1], 0), ([1, 0], 0), ([0, 2], 1), ([0, 2, 1], 1), ([0, 0, 2], 1), ([0, 1, 3, 3], 2)],
    ids=str,
)
def test_first_attempts_with_gaps_or_out_of_order_are_refused(numbers, missing, open_storage):
    with open_storage() as storage:
        add_trials(storage, numbers)
    with (
        open_storage() as storage,
        pytest.raises(
            mxtrain.SweepError, match=rf"study.db is damaged: trial {missing} is missing; move .*study.db away"
        ),
    ):
        storage.attempts()


def test_the_remedy_of_a_database_error_depends_on_the_place_of_the_study(open_storage, tmp_path):
    url = f"sqlite:///{tmp_path}/studies.db"
    for file in ("study.db", "studies.db"):
        (tmp_path / file).write_bytes(b"no database at all" * 100)
    with open_storage() as storage:
        with pytest.raises(mxtrain.SweepError) as error:
            storage.attempts()
        damaged = str(storage.damaged("trial 1 is missing"))
    restored = "and it is restored from the folders of the trials"
    assert str(error.value).endswith(
        f"study.db cannot be reached: file is not a database; move the file away, {restored}"
    )
    assert damaged.endswith(f"is damaged: trial 1 is missing; move {tmp_path}/study.db away, {restored}")
    with open_storage(storage=url) as storage:
        with pytest.raises(mxtrain.SweepError) as error:
            storage.attempts()
        damaged = str(storage.damaged("trial 1 is missing"))
    assert str(error.value).endswith("studies.db cannot be reached: file is not a database; finished trials are kept")
    assert damaged.endswith("is damaged: trial 1 is missing; restore the database, or give the sweep another name")


def chain(*errors):
    """Chain exceptions, each caused by the next one, and return the first."""
    for error, cause in zip(errors, errors[1:], strict=False):
        error.__cause__ = cause
    return errors[0]


def test_the_message_of_a_database_error_is_that_of_the_database_driver(open_storage, tmp_path, monkeypatch):
    """Messages of Optuna, of SQLAlchemy (which quote the statement), and of causes of the driver's error are not shown."""
    driver_error = sqlite3.OperationalError("disk I/O error\n  at page 3")
    statement = OperationalError("SELECT 1", {}, driver_error)
    internal = optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
    error = chain(internal, RuntimeError("retried"), statement, driver_error, OSError("input/output error"))

    def fail(self):
        raise error

    monkeypatch.setattr(StudyStorage, "_open_study", fail)
    with open_storage(storage=f"sqlite:///{tmp_path}/studies.db") as storage:
        with pytest.raises(mxtrain.SweepError, match="studies.db cannot be reached: disk I/O error at page 3; "):
            storage.attempts()
        error = chain(KeyError("state"), ValueError("invalid row"), TypeError("'x' is no state"))
        with pytest.raises(mxtrain.SweepError, match="studies.db is damaged: KeyError: 'x' is no state; "):
            storage.attempts()


def test_closing_the_storage_closes_its_connections(open_storage):
    with open_storage() as storage:
        add_trials(storage, [0])
        engine = storage._storage.engine
        assert engine.pool.checkedin() + engine.pool.checkedout() >= 1
    assert engine.pool.checkedin() + engine.pool.checkedout() == 0
