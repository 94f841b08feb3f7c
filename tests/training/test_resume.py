"""A run that is interrupted and resumed ends like an uninterrupted one, byte for byte."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from tests.training.conftest import StopAfter, fit_interrupted, results

KINDS = ["sgd", "adam", "adamw", "adagrad", "adadelta", "adamax", "rmsprop", "nadam"]
SCHEDULES: dict[str, Any] = {
    "no schedule": None,
    "fixed": {"kind": "fixed", "η": 0.01},
    "exp per epoch": {"kind": "exp", "γ": 0.5},
    "exp per iteration": {"kind": "exp", "γ": 0.9, "per": "iteration"},
    "inv per epoch": {"kind": "inv"},
    "inv per iteration": {"kind": "inv", "per": "iteration"},
    "cosine after a warm-up": {"kind": "cosine", "T": 8, "warmup": 3, "per": "iteration"},
    "step": {"kind": "step", "T": 1},
    "multistep": {"kind": "multistep", "milestones": [2, 7], "per": "iteration"},
}
MOMENTA: dict[str, Any] = {
    "null": {"kind": "null"},
    "fixed": {"kind": "fixed", "μ": 0.8},
    "nadam": {"kind": "nadam", "μ": 0.9},
}
PLATEAU = {"kind": "plateau", "monitor": "loss", "patience": 0, "threshold": 1.0, "factor": 0.5}
"""Reduces its value after each epoch except the first."""
INTERRUPTIONS = {"first step": 1, "mid-epoch": 7, "epoch edge": 4, "after a skipped step": 6, "last step": 12}
OPTIMIZERS = {
    **{f"{kind}, {name}": {"kind": kind, "η_sched": it} for kind in KINDS for name, it in SCHEDULES.items()},
    **{f"{kind}, μ {name}": {"kind": kind, "μ_sched": it} for kind in ("sgd", "nadam") for name, it in MOMENTA.items()},
    "plateau": {"kind": "adam", "η_sched": PLATEAU},
    "scheduled numbers": {
        "kind": "adam",
        "η_sched": {"kind": "one_cycle", "T": "run", "per": "fraction", "cycle_momentum": False},
        "schedules": {"β2": {"kind": "linear", "T": "run", "end": 0.9, "per": "iteration"}, "λ": PLATEAU},
    },
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty samples of three features, one of which is so large that its batch overflows in float32."""
    path = tmp_path_factory.mktemp("data") / "table.npz"
    inputs = np.random.default_rng(0).standard_normal((40, 3))
    targets = inputs @ [1.0, -2.0, 0.5] + 3
    inputs[17] = 1e30
    np.savez(path, X=inputs, y=targets)
    return path


def config(table: Path, optimizer: Any, **fit: Any) -> dict[str, Any]:
    """Return a config of three epochs of four batches."""
    return {
        "name": "resumed",
        "data": {"source": str(table), "target": "y", "batch_size": 9, "validation": 0.1, "standardize": "none"},
        "model": {"kind": "mlp", "hidden": [4]},
        "loss": "squared_error",
        "optimizer": optimizer,
        "fit": {"epochs": 3, "metrics": ["mae", "r2"], "on_nonfinite": "skip", **fit},
    }


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_resume_after_any_interruption_gives_the_same_bytes(optimizer: Any, table: Path, tmp_path: Path) -> None:
    whole = mxtrain.fit(config(table, optimizer), run_dir=tmp_path / "whole")
    assert whole.history[-1]["diagnostics"].get("skipped", 0) <= 1
    expected = results(whole.run_dir)
    for name, batches in INTERRUPTIONS.items():
        run_dir = tmp_path / name
        fit_interrupted(config(table, optimizer), run_dir, batches)
        resumed = mxtrain.resume(run_dir)
        assert results(run_dir) == expected, name
        assert resumed.state == whole.state, name


@pytest.mark.parametrize("batches", [3, 8, 10])
def test_a_plateau_with_rollbacks_is_resumed_exactly(batches: int, table: Path, tmp_path: Path) -> None:
    settings = config(table, {"kind": "sgd", "η_sched": PLATEAU}, on_nonfinite="rollback", epochs=4)
    whole = mxtrain.fit(settings, run_dir=tmp_path / "whole")
    assert [row["η"] for row in whole.history] == [0.01, 0.01, 0.005, 0.0025]
    mxtrain.resume(fit_interrupted(settings, tmp_path / "interrupted", batches))
    assert results(tmp_path / "interrupted") == results(tmp_path / "whole")
    assert mxtrain.verify(tmp_path / "interrupted") == []


def test_a_nonfinite_batch_is_skipped_in_each_epoch(table: Path, tmp_path: Path) -> None:
    result = mxtrain.fit(config(table, {"kind": "adam"}), run_dir=tmp_path)
    skipped = [row["diagnostics"].get("skipped", 0) for row in result.history]
    assert skipped == [1, 1, 1]
    assert result.state.curr_iter == 3 * 4 - 3


def test_a_run_interrupted_after_each_batch_gives_the_same_bytes(table: Path, tmp_path: Path) -> None:
    fit = {
        "clip_norm": 0.5,
        "early_stopping": {"monitor": "val_loss", "patience": 2},
        "checkpoint": {"every": "2 iterations", "best": "loss"},
    }
    whole = mxtrain.fit(config(table, {"kind": "nadam"}, **fit), run_dir=tmp_path / "whole")
    run_dir = tmp_path / "cut"
    fit_interrupted(config(table, {"kind": "nadam"}, **fit), run_dir, 1)
    for _ in range(50):
        stop = StopAfter(1)
        try:
            resumed = mxtrain.resume(run_dir, callbacks=[stop], stop=stop.request)
            break
        except mxtrain.RunInterrupted:
            continue
    assert results(run_dir) == results(whole.run_dir)
    assert resumed.history == whole.history


def test_more_epochs_continue_the_run(table: Path, tmp_path: Path) -> None:
    whole = mxtrain.fit(config(table, {"kind": "adam"}, epochs=5), run_dir=tmp_path / "whole")
    mxtrain.fit(config(table, {"kind": "adam"}, epochs=2), run_dir=tmp_path / "short")
    longer = mxtrain.resume(tmp_path / "short", overrides=["fit.epochs=5"])
    assert longer.history == whole.history
    assert (tmp_path / "short/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


def test_fewer_epochs_than_the_run_has_reached_are_refused(table: Path, tmp_path: Path) -> None:
    fit_interrupted(config(table, {"kind": "adam"}), tmp_path, 9)
    refusal = "fit.epochs: the run has reached epoch 3: set at least 3, got 2"
    with pytest.raises(mxtrain.ConfigError, match=refusal):
        mxtrain.resume(tmp_path, overrides=["fit.epochs=2"])
    mxtrain.resume(tmp_path)
    with pytest.raises(mxtrain.ConfigError, match=refusal):
        mxtrain.resume(tmp_path, overrides=["fit.epochs=2"])


def test_overrides_must_be_a_list_of_strings(table: Path, tmp_path: Path) -> None:
    mxtrain.fit(config(table, {"kind": "adam"}), run_dir=tmp_path)
    wrong: Any
    for wrong in ("fit.epochs=4", [5], 5, [None]):
        with pytest.raises(mxtrain.ConfigError, match="overrides: must be a list of strings, such as"):
            mxtrain.resume(tmp_path, overrides=wrong)


def test_resuming_a_finished_run_changes_nothing(table: Path, tmp_path: Path) -> None:
    run_dir = mxtrain.fit(config(table, {"kind": "adam"}), run_dir=tmp_path).run_dir
    before = results(run_dir)
    mxtrain.resume(run_dir)
    assert results(run_dir) == before


def test_truncated_and_extra_metric_lines_are_removed_on_resume(table: Path, tmp_path: Path) -> None:
    fit_interrupted(config(table, {"kind": "adam"}), tmp_path / "cut", 9)
    with (tmp_path / "cut/metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "loss": 1}\n{"epo')
    mxtrain.resume(tmp_path / "cut")
    whole = mxtrain.fit(config(table, {"kind": "adam"}), run_dir=tmp_path / "whole")
    assert (tmp_path / "cut/metrics.jsonl").read_bytes() == (whole.run_dir / "metrics.jsonl").read_bytes()
    assert [json.loads(line)["epoch"] for line in (tmp_path / "cut/timings.jsonl").read_text().splitlines()] == [
        1,
        2,
        3,
    ]


REFUSED = {
    "optimizer.η=0.5": "optimizer.η: was 0.001 when the run started, and cannot become 0.5: start a new run",
    "data.batch_size=8": "data.batch_size: was 9 when the run started, and cannot become 8: start a new run",
    "seed=1": "seed: was 0 when the run started, and cannot become 1: start a new run",
    "model.hidden=[5]": "model.hidden: was [4] when the run started, and cannot become [5]: start a new run",
}


@pytest.mark.parametrize(("override", "message"), REFUSED.items())
def test_settings_that_affect_completed_epochs_cannot_change(
    override: str, message: str, table: Path, tmp_path: Path
) -> None:
    run_dir = mxtrain.fit(config(table, {"kind": "adam"}), run_dir=tmp_path).run_dir
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.resume(run_dir, overrides=[override])
    assert f"overrides: {override}: {message}" in str(caught.value).splitlines()
    assert {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("override", "message"),
    {
        "optimizer.kind=adamw": "optimizer.kind: was 'adam' when the run started, and cannot become 'adamw'",
        "optimizer.η_sched={kind: cosine, T: 3}": "optimizer.η_sched.kind: was 'exp' when the run started, and cannot "
        "become 'cosine'",
        "optimizer.η_sched=null": "optimizer.η_sched: was a mapping when the run started, and cannot become null",
        "fit.early_stopping={patience: 3}": "fit.early_stopping: was null when the run started, and cannot become "
        "a mapping",
    }.items(),
)
def test_a_change_of_kind_is_reported_as_one_problem(override: str, message: str, table: Path, tmp_path: Path) -> None:
    rule = {"kind": "adam", "η_sched": {"kind": "exp"}}
    run_dir = mxtrain.fit(config(table, rule), run_dir=tmp_path).run_dir
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.resume(run_dir, overrides=[override])
    assert str(caught.value) == f"overrides: {override}: {message}: start a new run"


@pytest.mark.parametrize("override", ["backend=numpy", "backend=compiled", "fit.checkpoint.keep=7", "name=other"])
def test_settings_that_do_not_affect_results_can_change(override: str, table: Path, tmp_path: Path) -> None:
    whole = mxtrain.fit(config(table, {"kind": "adam"}), run_dir=tmp_path / "whole")
    fit_interrupted(config(table, {"kind": "adam"}), tmp_path / "cut", 7)
    assert mxtrain.resume(tmp_path / "cut", overrides=[override]).history == whole.history


def test_changed_data_are_refused(table: Path, tmp_path: Path) -> None:
    copy = tmp_path / "table.npz"
    copy.write_bytes(table.read_bytes())
    run_dir = mxtrain.fit(config(copy, {"kind": "adam"}), run_dir=tmp_path / "run").run_dir
    np.savez(copy, X=np.ones((40, 3)), y=np.ones(40))
    with pytest.raises(mxtrain.TrainingError, match="are not those that the run was trained on"):
        mxtrain.resume(run_dir, overrides=["fit.epochs=4"])


def test_data_can_be_moved(table: Path, tmp_path: Path) -> None:
    (tmp_path / "here.npz").write_bytes(table.read_bytes())
    run_dir = mxtrain.fit(config(tmp_path / "here.npz", {"kind": "adam"}), run_dir=tmp_path / "run").run_dir
    (tmp_path / "here.npz").rename(tmp_path / "there.npz")
    overrides = ["fit.epochs=4", f"data.source={tmp_path / 'there.npz'}"]
    assert mxtrain.resume(run_dir, overrides=overrides).state.curr_epoch == 4


def test_resume_in_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(mxtrain.TrainingError, match="there is no run in"):
        mxtrain.resume(tmp_path)


def test_fit_refuses_a_folder_with_a_run(table: Path, tmp_path: Path) -> None:
    run_dir = mxtrain.fit(config(table, {"kind": "adam"}), run_dir=tmp_path).run_dir
    before = results(run_dir)
    with pytest.raises(mxtrain.TrainingError, match="continue it with `mxtrain resume"):
        mxtrain.fit(config(table, {"kind": "adam"}), run_dir=tmp_path)
    assert results(run_dir) == before


def test_advance_is_a_pure_function(table: Path) -> None:
    run = mxtrain.RunConfig.model_validate(config(table, {"kind": "nadam"})).resolve()
    at_once = mxtrain.advance(run, None, 3)
    by_segments = mxtrain.advance(run, mxtrain.advance(run, mxtrain.advance(run, None, 1), 2), 3)
    assert at_once.differences(by_segments) == []
    assert at_once.to_files() == by_segments.to_files()


def test_advance_starts_from_the_parameters_of_its_snapshot(table: Path) -> None:
    run = mxtrain.RunConfig.model_validate(config(table, {"kind": "nadam"})).resolve()
    first = mxtrain.advance(run, None, 1)
    moved = replace(first, parameters={name: array + 1 for name, array in first.parameters.items()})
    name = next(iter(first.parameters))
    assert first.differences(replace(first, best={name: moved.parameters[name]})) == [f"best.{name}"]
    second, other = mxtrain.advance(run, first, 2), mxtrain.advance(run, moved, 2)
    assert any((second.parameters[name] != other.parameters[name]).any() for name in second.parameters)
    assert other.record["rows"][0] == first.record["rows"][0]


def test_verify_replays_to_the_byte(table: Path, tmp_path: Path) -> None:
    for name, every in (("epochs", "1 epoch"), ("iterations", "2 iterations")):
        run_dir = mxtrain.fit(
            config(table, {"kind": "adam"}, checkpoint={"every": every}), run_dir=tmp_path / name
        ).run_dir
        assert mxtrain.verify(run_dir) == []


def test_rollback_goes_back_to_the_last_checkpoint(table: Path, tmp_path: Path) -> None:
    fit = {"on_nonfinite": "rollback", "checkpoint": {"every": "1 iteration"}}
    skipped = mxtrain.fit(config(table, {"kind": "adam"}), run_dir=tmp_path / "skip")
    rolled = mxtrain.fit(config(table, {"kind": "adam"}, **fit), run_dir=tmp_path / "rollback")
    assert rolled.history == skipped.history, "with a checkpoint after every step, a rollback loses no step"
    fit["checkpoint"] = {"every": "1 epoch"}
    by_epoch = mxtrain.fit(config(table, {"kind": "adam"}, **fit), run_dir=tmp_path / "by epoch")
    assert by_epoch.state.curr_iter < skipped.state.curr_iter


def test_too_many_skipped_batches_end_the_run(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", X=np.full((40, 3), 1e30), y=np.ones(40))
    bad = config(tmp_path / "bad.npz", {"kind": "adam"}, nonfinite_limit=2)
    bad["data"]["standardize_target"] = False  # equal targets cannot be standardized
    with pytest.raises(mxtrain.TrainingError, match="in epoch 1, batch 2: the run has diverged"):
        mxtrain.fit(bad, run_dir=tmp_path / "run")


def test_early_stopping_restores_the_best(tmp_path: Path) -> None:
    stopping = {"monitor": "val_loss", "patience": 2}
    settings = {
        "data": {"source": "diabetes", "batch_size": 32},
        "model": {"kind": "mlp", "hidden": [32]},
        "loss": "squared_error",
        "optimizer": {"kind": "adam", "η": 0.3},
        "fit": {"epochs": 200, "early_stopping": stopping},
    }
    result = mxtrain.fit(settings, run_dir=tmp_path)
    losses = [row["val_loss"] for row in result.history]
    assert len(losses) < 200
    assert min(losses) == losses[-3]
    trainer = mxtrain.training.Trainer(mxtrain.RunConfig.model_validate(settings).resolve())
    for name, value in result.parameters.items():
        trainer.params[name][...] = value
    assert trainer.evaluate(trainer.validation)["loss"] == min(losses)
