"""The result of a sweep, its files, and sweeps that are run again, extended or moved."""

import json
from pathlib import Path

import optuna
import pytest

import mxtrain
from mxtrain.config import Objective
from mxtrain.sweeps import SweepResult, TrialResult
from tests.sweeps.conftest import small, table


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return mxtrain.sweep(
        small(pruner={"kind": "asha", "reduction": 2}), run_dir=tmp_path_factory.mktemp("sweep"), workers=2
    )


def test_each_trial_is_a_row_whose_run_can_be_loaded(result):
    assert [row["number"] for row in result] == [0, 1, 2, 3, 4, 5]
    for row in result:
        run = mxtrain.load_run(row["run_dir"])
        assert run.history[row["epochs"] - 1]["val_accuracy"] == row["value"]
        assert run.config.optimizer.η == row["params"]["optimizer.η"]
        assert run.config.optimizer.η_sched.γ == row["params"]["optimizer.η_sched.γ"]
        assert list(run.config.model.hidden) == row["params"]["model.hidden"]
        assert run.config.data.batch_size == row["params"]["data.batch_size"]


def test_the_best_is_the_complete_trial_with_the_best_value(result):
    complete = [row for row in result if row["state"] == "complete"]
    assert result.best["value"] == max(row["value"] for row in complete)
    assert result.front == [row for row in complete if row["value"] == result.best["value"]]


def test_a_sweep_is_shown_as_one_line_without_its_rows(result):
    found = f"the best is {result.best['number']}: val_accuracy {result.best['value']:.4f}"
    complete = len(result.in_state("complete"))
    assert repr(result) == f"SweepResult({str(result.run_dir)!r}, {complete} of 6 trials complete, {found})"


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        ([], "0 of 2 trials complete"),
        ([("complete", [0.9, 0.2]), ("complete", [0.8, 0.1])], "2 of 2 trials complete, 2 on the Pareto front"),
    ],
)
def test_a_sweep_without_a_single_best_trial_is_shown_as_one_line_too(rows, shown):
    objectives = (Objective("val_accuracy", True), Objective("val_loss", False))
    trials = tuple({"number": i, "state": state, "value": value} for i, (state, value) in enumerate(rows))
    assert repr(SweepResult("small", Path("here"), objectives, trials, 2)) == f"SweepResult('here', {shown})"


def test_the_best_run_is_reproduced_to_the_last_digit(result, tmp_path):
    again = mxtrain.fit(result.run_dir / "best.yaml", run_dir=tmp_path / "again")
    assert again.history[-1]["val_accuracy"] == result.best["value"]
    files = ("model.safetensors", "metrics.jsonl")
    for name in files:
        assert (again.run_dir / name).read_bytes() == (
            result.run_dir / "trials" / f"{result.best['number']:04}" / name
        ).read_bytes()


def test_the_rows_are_in_results_json(result):
    found = json.loads((result.run_dir / "results.json").read_text())
    assert found["trials"] == list(result)
    assert found["best"] == result.best
    assert found["objectives"] == [{"metric": "val_accuracy", "maximize": True}]


def test_optuna_opens_the_study(result):
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{result.run_dir / 'study.db'}")
    assert [trial.number for trial in study.trials] == [row["number"] for row in result]
    assert study.best_trial.number == result.best["number"]
    assert [trial.state.name.lower() for trial in study.trials] == [row["state"] for row in result]
    assert [trial.params for trial in study.trials] == [row["drawn"] for row in result]
    assert study.metric_names == ["val_accuracy"]


def test_running_a_finished_sweep_again_trains_nothing(result):
    before = {path: path.stat().st_mtime_ns for path in result.run_dir.glob("trials/*/*")}
    again = mxtrain.sweep(result.run_dir / "sweep.yaml", run_dir=result.run_dir, workers=1)
    assert list(again) == list(result)
    assert {path: path.stat().st_mtime_ns for path in result.run_dir.glob("trials/*/*")} == before


def test_a_sweep_can_get_more_trials(tmp_path):
    few = mxtrain.sweep(small(trials=2), run_dir=tmp_path / "grown", workers=1)
    more = mxtrain.sweep(small(trials=4), run_dir=tmp_path / "grown", workers=2)
    assert list(more)[:2] == list(few)
    assert table(more) == table(mxtrain.sweep(small(trials=4), run_dir=tmp_path / "at once", workers=2))


def test_another_sweep_is_refused_in_its_folder(result):
    config = small(pruner={"kind": "asha", "reduction": 2}, seed=1, fit={"epochs": 4, "metrics": ["accuracy"]})
    with pytest.raises(mxtrain.ConfigError) as error:
        mxtrain.sweep(config, run_dir=result.run_dir)
    assert [str(problem).partition(" when")[0] for problem in error.value.problems] == [
        "fit.epochs: was 3",
        "sweep.seed: was 0",
    ]


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(mxtrain.SweepError, match="is not empty and holds no sweep"):
        mxtrain.sweep(small(), run_dir=tmp_path)


def test_the_folder_can_be_moved(tmp_path):
    result = mxtrain.sweep(small(trials=2), run_dir=tmp_path / "here", workers=1)
    result.run_dir.rename(tmp_path / "there")
    again = mxtrain.sweep(small(trials=3), run_dir=tmp_path / "there", workers=1)
    assert table(again)[:2] == table(result)
    assert all(mxtrain.load_run(row["run_dir"]).status.is_finished for row in again)
    assert {row["run_dir"].rpartition("/trials")[0] for row in again} == {str(tmp_path / "there")}


@pytest.mark.parametrize("seeds", [1, 2])
def test_trials_are_restored_from_their_rows(seeds, result, tmp_path):
    if seeds > 1:
        objective = [{"maximize": "val_accuracy"}, {"minimize": "val_loss"}]
        result = mxtrain.sweep(small(seeds=seeds, trials=2, objective=objective), run_dir=tmp_path, workers=2)
    assert [trial.to_row() for trial in result.results] == list(result)
    for trial, row in zip(result.results, result, strict=True):
        assert trial.has_ended
        assert trial.run_dir == Path(row["run_dir"])
        assert len(trial.values_by_seed) == (seeds if seeds > 1 else 0)
        assert list(trial.std_over_seeds) == row.get("spread", [])


def test_a_trial_without_values_is_restored_from_its_row():
    trial = TrialResult(3, "failed", {"loss": "logistic"}, {"loss": "logistic"}, run_dir=Path("3"), error="no memory")
    assert TrialResult.from_row(json.loads(json.dumps(trial.to_row()))) == trial


def test_damaged_values_of_seeds_are_refused(result):
    record = result.to_dict()
    record["trials"] = [record["trials"][0] | {"values_by_seed": [0.5, "x"]}]
    with pytest.raises(ValueError, match=r"^trials\.0\.values_by_seed: is damaged"):
        SweepResult.from_dict(record)


def test_the_format_of_the_study_is_that_of_earlier_versions(result):
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{result.run_dir / 'study.db'}")
    assert set(study.user_attrs) == {"identity"}
    for trial in study.trials:
        assert set(trial.user_attrs) == {"mxtrain"}
        assert set(trial.user_attrs["mxtrain"]) == {
            *("number", "run_dir", "params", "values", "by_seed", "epochs", "seconds", "error", "marks", "files"),
            "sha256",
        }
