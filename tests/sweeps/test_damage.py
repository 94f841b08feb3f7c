"""A sweep with damaged, swapped or lost files gives the same table, or an error of one line that names the file."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import mxtrain
from mxtrain.cli.main import main
from tests.sweeps.conftest import small, table

ROWS = {
    "a value": "UPDATE trial_values SET value = value + 8 WHERE trial_id = (SELECT trial_id FROM trial_values LIMIT 1)",
    "a parameter": "UPDATE trial_params SET param_value = param_value + 0.001 WHERE param_id = 2",
    "a rung": "UPDATE trial_intermediate_values SET intermediate_value = 0.5 WHERE trial_intermediate_value_id = 1",
    "a state": "UPDATE trials SET state = 'PRUNED' WHERE number = 0",
    "an attribute": "UPDATE trial_user_attributes SET value_json = replace(value_json, '\"epochs\": 3', '\"epochs\": 2')",
    "an attribute of the pruner": "UPDATE trial_system_attributes SET value_json = '0.25' WHERE trial_system_attribute_id = 1",
    "a missing record": "UPDATE trial_user_attributes SET key = 'mxtraio' WHERE trial_user_attribute_id = 1",
    "an invalid row": "UPDATE trial_params SET distribution_json = '{' WHERE param_id = 1",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    mxtrain.sweep(small(pruner={"kind": "asha", "reduction": 2}, parallel=2, trials=4), run_dir=folder, workers=2)
    return folder


@pytest.fixture
def sweep(whole, tmp_path):
    """A copy of the sweep in another folder."""
    shutil.copytree(whole, tmp_path / "sweep")
    return tmp_path / "sweep"


def rows(folder: Path):
    return table(json.loads((folder / "results.json").read_text())["trials"])


def refusal(folder: Path, capsys) -> str:
    """Return the one-line error with which resuming the sweep fails."""
    before, has_study = rows(folder), (folder / "study.db").exists()
    assert main(["resume", str(folder), "--workers", "1", "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert rows(folder) == before or not has_study
    return line


@pytest.mark.parametrize("change", ROWS)
def test_a_changed_row_of_the_study_is_refused(change, sweep, capsys):
    with closing(sqlite3.connect(sweep / "study.db")) as study, study:
        assert study.execute(ROWS[change]).rowcount >= 1
    line = refusal(sweep, capsys)
    assert f"{sweep}/study.db is damaged: " in line
    assert f"move {sweep}/study.db away" in line


@pytest.mark.parametrize("is_lost", [False, True])
def test_swapped_folders_are_refused(is_lost, sweep, capsys):
    trials = sweep / "trials"
    for old, new in (("0001", "other"), ("0002", "0001"), ("other", "0002")):
        (trials / old).rename(trials / new)
    if is_lost:
        (sweep / "study.db").unlink()
    line = refusal(sweep, capsys)
    assert "trials/0001/config.yaml belongs to another run: " in line
    assert f"move {trials}/0001 away, and continue with `mxtrain resume {sweep}`" in line


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_changed_metric_is_refused(is_lost, sweep, capsys):
    number = next(row["number"] for row in rows(sweep) if row["state"] == "complete")
    file = sweep / f"trials/{number:04}/metrics.jsonl"
    text = file.read_text()
    place = text.rindex('"val_accuracy": 0.') + len('"val_accuracy": 0.')
    file.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])
    if is_lost:
        (sweep / "study.db").unlink()
    assert f"{file} is damaged: its SHA-256 is not that in" in refusal(sweep, capsys)
    file.write_text(text)
    assert main(["resume", str(sweep), "--workers", "1", "--quiet"]) == 0


def test_a_trial_can_be_trained_longer_and_a_folder_can_be_deleted(sweep):
    before = rows(sweep)
    complete, other, *_ = (row["number"] for row in before if row["state"] == "complete")
    mxtrain.resume(sweep / f"trials/{complete:04}", overrides=["fit.epochs=4"])
    shutil.rmtree(sweep / f"trials/{other:04}")
    assert table(mxtrain.sweeps.resume_sweep(sweep, workers=1)) == before
    (sweep / "study.db").unlink()
    assert table(mxtrain.sweeps.resume_sweep(sweep, workers=1)) == before


def test_a_changed_digit_in_the_results_is_refused(sweep, capsys):
    file = sweep / "results.json"
    file.write_text(file.read_text().replace('"value": 0.', '"value": 8.', 1))
    assert main(["sweep", str(sweep), "--status"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"{file} is damaged: its checksum differs; `mxtrain resume {sweep}` writes it again")
    assert main(["resume", str(sweep), "--workers", "1", "--quiet"]) == 0
    assert main(["sweep", str(sweep), "--status"]) == 0


def test_a_changed_digit_in_the_file_is_refused_unless_the_change_is_intended(sweep, capsys):
    file = sweep / "sweep.yaml"
    file.write_text(file.read_text().replace("trials: 4", "trials: 5"))
    line = refusal(sweep, capsys)
    assert f"{file} has changed since it was written" in line
    assert f"run `mxtrain sweep {file} --run-dir {sweep}`" in line
    assert main(["sweep", str(file), "--run-dir", str(sweep), "--workers", "1", "--quiet"]) == 0
    assert len(rows(sweep)) == 5
    assert main(["resume", str(sweep), "--workers", "1", "--quiet"]) == 0


def test_a_sweep_without_checksums_continues(sweep):
    """Earlier versions wrote no checksums, and recorded paused runs as failed."""
    before = rows(sweep)
    with closing(sqlite3.connect(sweep / "study.db")) as study, study:
        for key, value in study.execute(
            "SELECT trial_user_attribute_id, value_json FROM trial_user_attributes"
        ).fetchall():
            record = {name: each for name, each in json.loads(value).items() if name not in ("sha256", "files")}
            study.execute(
                "UPDATE trial_user_attributes SET value_json = ? WHERE trial_user_attribute_id = ?",
                (json.dumps(record), key),
            )
    for name in ("sweep.yaml", "results.json"):
        text = (sweep / name).read_text()
        if name == "sweep.yaml":
            text = text.partition("\n")[2]
        else:
            text = json.dumps({key: value for key, value in json.loads(text).items() if key != "sha256"})
        (sweep / name).write_text(text)
    for row in before:
        if row["state"] == "pruned":
            status = {"state": "failed", "reason": "paused; the run is saved: continue it with `...`", "sha256": {}}
            (sweep / f"trials/{row['number']:04}/status.json").write_text(json.dumps(status))
    assert main(["sweep", str(sweep), "--status"]) == 0
    assert table(mxtrain.sweeps.resume_sweep(sweep, workers=1, overrides=["sweep.trials=5"]))[:4] == before
    (sweep / "study.db").unlink()
    assert table(mxtrain.sweeps.resume_sweep(sweep, workers=1))[:4] == before
    assert not list((sweep / "trials").glob("*-failed-*"))
