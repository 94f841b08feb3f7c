"""Studies in databases: locks, several drivers in turn, damaged and deleted studies."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import optuna
import pytest

import mxtrain
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
    from mxtrain.config import sweep_from_dict
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
