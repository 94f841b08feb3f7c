"""The driver: states of runs, lost studies, locks, status, and workers without a driver."""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

import mxtrain
from mxtrain.config import read_sweep, sweep_from_dict
from mxtrain.sweeps import SweepFolder, SweepResult, read_sweep_status
from mxtrain.sweeps.driver import Driver
from mxtrain.sweeps.run_sweep import silence_optuna
from mxtrain.sweeps.samplers_and_pruners import TrialSampler
from mxtrain.sweeps.study_storage import StudyStorage
from mxtrain.training import folder_lock, read_status
from tests.sweeps.conftest import small, table

ASHA = {"kind": "asha", "reduction": 2}
ODD = "per%cent%20 que?stion #&'\"{x} größe"


def test_pruned_trials_are_listed_as_pruned_and_paused_ones_never_as_failed(tmp_path):
    paused = []

    def watch(result):
        runs = [tmp_path / f"trials/{row['number']:04}" for row in result if row["state"] in ("running", "waiting")]
        paused.extend(read_status(run) for run in runs)

    result = mxtrain.sweep(small(pruner=ASHA, parallel=2), run_dir=tmp_path, workers=1, watch=watch)
    states = {row["number"]: row["state"] for row in result}
    listed = {number: read_status(tmp_path / f"trials/{number:04}").state for number in states}
    assert listed == {number: "finished" if state == "complete" else "pruned" for number, state in states.items()}
    assert "pruned" in states.values()
    assert "failed" not in {status.state for status in paused}


@pytest.mark.parametrize("pruner", [{"kind": "hyperband", "reduction": 2}, {"kind": "median", "startup": 1}], ids=str)
def test_a_lost_study_of_a_pruned_sweep_gives_the_same_table(pruner, tmp_path):
    config = small(pruner=pruner, parallel=2, fit={"epochs": 4, "metrics": ["accuracy"]})
    whole = mxtrain.sweep(config, run_dir=tmp_path, workers=1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("trials/*/m*")}
    (tmp_path / "study.db").unlink()
    assert table(mxtrain.sweep(config, run_dir=tmp_path, workers=1)) == table(whole)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("trials/*/m*")} == before


def test_trials_that_failed_are_restored_from_their_folders(tmp_path):
    search = {"optimizer.η": {"choice": [0.01, 1e30]}}
    config = small(search=search, sampler={"kind": "grid"}, optimizer={"kind": "sgd"}, pruner=ASHA)
    whole = mxtrain.sweep(config, run_dir=tmp_path, workers=1)
    assert whole.in_state("failed")
    (tmp_path / "study.db").unlink()
    assert table(mxtrain.sweep(config, run_dir=tmp_path, workers=1)) == table(whole)
    assert sorted(path.name for path in (tmp_path / "trials").iterdir()) == ["0000", "0001"]
    (tmp_path / "study.db").unlink()
    status = tmp_path / "trials/0001/status.json"
    text = status.read_text()
    status.write_text(text.replace("diverged", "divergeD"))
    with pytest.raises(mxtrain.SweepError, match=r"status.json is damaged: .* move .*/trials/0001 away, and continue"):
        mxtrain.sweep(config, run_dir=tmp_path, workers=1)
    status.write_text(text)
    again = mxtrain.sweep(config, run_dir=tmp_path, workers=1, retry_failed=True)
    (tmp_path / "study.db").unlink()
    assert table(mxtrain.sweep(config, run_dir=tmp_path, workers=1)) == table(again) == table(whole)
    assert sorted(path.name for path in (tmp_path / "trials").iterdir()) == ["0000", "0001", "0001-failed-1"]


def test_the_sampler_learns_from_the_result_of_every_trial_in_order(tmp_path, monkeypatch):
    reported = []
    monkeypatch.setattr(TrialSampler, "tell", lambda self, result: reported.append((result.number, result.values)))
    sweep = sweep_from_dict(small(sampler={"kind": "tpe"}, parallel=2, trials=8))
    folder = SweepFolder(tmp_path)
    folder.make()
    with silence_optuna():
        sampler = TrialSampler(sweep)
        with contextlib.closing(StudyStorage(sweep, tmp_path)) as storage:
            for number in range(8):
                storage.add(replace(sampler.draw(number), state="complete", values=(number / 8,)))
        driver = Driver(sweep, folder, SimpleNamespace(), 1, mxtrain.training.StopRequest(), lambda result: None)
        with contextlib.closing(driver):
            assert len(driver.run().in_state("complete")) == 8
    # at most two trials run at once: trial 7 may learn from trials 0 to 5
    assert reported == [(number, (number / 8,)) for number in range(6)]


def test_changed_data_end_the_sweep_without_failed_trials(tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("a,b,y\n" + "".join(f"{i},{i % 7},{i % 5}\n" for i in range(40)))
    data_section = {"source": str(data), "target": "y", "validation": 0.25}
    sections = {"data": data_section, "loss": "squared_error", "objective": {"minimize": "val_loss"}, "trials": 1}
    search = {"optimizer.η": {"log": [1e-4, 1e-2]}}
    config = small(**sections, search=search, fit={"epochs": 3000}, optimizer={"kind": "adam"})
    stop = mxtrain.training.StopRequest()

    def watch(result):
        if any((tmp_path / "sweep/trials/0000/checkpoints").glob("epoch-*")):
            stop.signal = 15

    with pytest.raises(mxtrain.RunInterrupted):
        mxtrain.sweep(config, run_dir=tmp_path / "sweep", workers=1, stop=stop, watch=watch)
    data.write_text(data.read_text().replace("39,4,4", "39,4,3"))
    with pytest.raises(mxtrain.SweepError, match="the data in .* are not those that the run was trained on"):
        mxtrain.sweep(config, run_dir=tmp_path / "sweep", workers=1)


def test_a_second_driver_of_a_sqlite_file_is_refused_for_any_folder_and_spelling(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    one = StudyStorage(sweep_from_dict(small(storage=f"sqlite:///{tmp_path}/all.db")), tmp_path / "one")
    two = StudyStorage(sweep_from_dict(small(storage=f"sqlite:///{tmp_path}/link/all.db")), tmp_path / "two")
    other = StudyStorage(
        sweep_from_dict(small(storage=f"sqlite:///{tmp_path}/all.db", name="other")), tmp_path / "other"
    )
    with silence_optuna(), contextlib.closing(one), contextlib.closing(two), contextlib.closing(other):
        assert one.attempts() == other.attempts() == []
        with pytest.raises(mxtrain.FolderBusyError, match="another process uses the study small in sqlite:///"):
            two.attempts()
    with silence_optuna(), contextlib.closing(two):
        assert two.attempts() == []


@pytest.mark.parametrize("granted", [0, 1])
def test_a_second_driver_of_one_mysql_study_is_refused(granted, tmp_path):
    statements = []
    connection = SimpleNamespace(
        execution_options=lambda **options: contextlib.nullcontext(connection),
        execute=lambda statement: statements.append(str(statement)),
        scalar=lambda statement, values: statements.append(str(statement)) or granted,
    )
    engine = SimpleNamespace(
        dialect=SimpleNamespace(name="mysql"), url=SimpleNamespace(database="db"), connect=lambda: connection
    )
    storage = StudyStorage(sweep_from_dict(small(storage="mysql://me@localhost/db")), tmp_path)
    expectation = contextlib.nullcontext() if granted else pytest.raises(mxtrain.FolderBusyError, match="busy")
    with expectation:
        storage._lock_study(engine, "busy")
    assert statements == ["SET SESSION wait_timeout = 31536000", "SELECT GET_LOCK(:name, 0)"]


def test_databases_are_found_in_folders_of_any_name(tmp_path):
    folder = tmp_path / ODD
    folder.mkdir()
    (folder / "storage.yaml").write_text(json.dumps(small(trials=1, storage="sqlite:///all%20studies.db?timeout=5")))
    (folder / "own.yaml").write_text(json.dumps(small(trials=1)))
    for name, database in (("own", folder / "own/study.db"), ("storage", folder / "all studies.db")):
        sweep = read_sweep(folder / f"{name}.yaml")
        with silence_optuna(), contextlib.closing(StudyStorage(sweep, folder / "own")) as storage:
            database.parent.mkdir(exist_ok=True)
            storage._open_study()
            assert database.is_file()
    assert [path.name for path in tmp_path.iterdir()] == [ODD]


def test_the_status_is_read_from_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    from mxtrain.config import Objective

    running = {"state": "running", "params": {}, "drawn": {}, "run_dir": "", "epochs": 0, "seconds": 0.0}
    result = SweepResult("small", tmp_path, (Objective("loss", False),), ({"number": 0, **running},), 1)
    SweepFolder(tmp_path).write_results(result)
    (tmp_path / "sweep.yaml").touch()
    assert read_sweep_status(tmp_path)[0]["state"] == "waiting"
    assert not (tmp_path / ".lock").exists()
    opened = os.open

    def read_only(path, flags, *args, **kwargs):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *args, **kwargs)

    with folder_lock(tmp_path, ""):
        monkeypatch.setattr(os, "open", read_only)
        assert read_sweep_status(tmp_path)[0]["state"] == "running"
    assert read_sweep_status(tmp_path)[0]["state"] == "waiting"


def test_the_numbers_of_the_status_add_up(tmp_path, capsys):
    from mxtrain.cli.sweep_output import print_status
    from mxtrain.config import Objective

    states = ("complete", "pruned", "running", "waiting", "waiting")
    rows = tuple(
        {"number": i, "state": state, "run_dir": "", "params": {}, "value": 0.5 if i < 2 else None, "seconds": 0.0}
        for i, state in enumerate(states)
    )
    print_status(SweepResult("small", tmp_path, (Objective("val_loss", False),), rows, 8), as_json=False)
    assert "trials  2 of 8 ended: 1 complete, 1 pruned, 1 running, 5 waiting" in capsys.readouterr().out


@pytest.mark.parametrize("partial", [b"", b'{"trial": 0, "seed'])
def test_a_worker_whose_driver_died_leaves_nothing_in_its_log(partial, tmp_path):
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "mxtrain.sweeps.local_engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        worker.stdout.close()
        worker.stdin.write(partial)
        if partial:
            worker.stdin.close()
        assert worker.wait(60) == 0
        worker.stdin.close()
    assert (tmp_path / "log").read_bytes() == b""
