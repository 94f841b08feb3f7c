"""Callbacks observe a run and may stop it; they may implement any subset of the methods."""

from pathlib import Path
from typing import Any

import pytest

import mxtrain
from mxtrain.training.run_folder.run_status import read_status

CONFIG: dict[str, Any] = {
    "data": {"source": "diabetes"},
    "model": {"kind": "linear"},
    "loss": "squared_error",
    "optimizer": {"kind": "adam"},
    "fit": {"epochs": 4},
}


def test_callbacks_may_implement_any_subset_of_the_methods(tmp_path: Path) -> None:
    seen = []

    class Inherits(mxtrain.Callback):
        def on_epoch(self, state: Any, row: Any) -> None:
            seen.append(row["epoch"])

    class HasOnlyOnEnd:
        def on_end(self, seconds: float) -> None:
            seen.append("end")

    mxtrain.fit(CONFIG, run_dir=tmp_path, callbacks=[Inherits(), HasOnlyOnEnd()])
    assert seen == [1, 2, 3, 4, "end"]


def test_a_run_stopped_in_on_start_can_be_resumed(tmp_path: Path) -> None:
    events = []

    class StopsAtStart(mxtrain.Callback):
        def on_start(self, info: Any) -> None:
            raise mxtrain.StopTraining

        def on_end(self, seconds: float) -> None:
            raise mxtrain.StopTraining

    class RecordsEvents(mxtrain.Callback):
        def on_start(self, info: Any) -> None:
            events.append("start")

        def on_end(self, seconds: float) -> None:
            events.append("end")

    stopped = mxtrain.fit(CONFIG, run_dir=tmp_path / "stopped", callbacks=[StopsAtStart(), RecordsEvents()])
    assert events == ["start", "end"]
    assert (stopped.history, stopped.state.curr_iter) == ([], 0)
    run = mxtrain.load_run(stopped.run_dir)
    assert (run.status.state, run.epoch) == ("finished", 0)
    whole = mxtrain.fit(CONFIG, run_dir=tmp_path / "whole")
    assert mxtrain.resume(stopped.run_dir).history == whole.history


def test_changes_that_a_callback_makes_to_rows_and_state_have_no_effect(tmp_path: Path) -> None:
    seen = []

    class ChangesRows(mxtrain.Callback):
        def on_start(self, info: Any) -> None:
            for row in info.history:
                row.clear()

        def on_epoch(self, state: Any, row: Any) -> None:
            row["diagnostics"]["grad_norm"] = object()
            row["note"] = object()
            state.curr_epoch = state.curr_iter = 0

    class RecordsRows(mxtrain.Callback):
        def on_epoch(self, state: Any, row: Any) -> None:
            seen.append((state.curr_epoch, row))

    expected = mxtrain.fit(CONFIG, run_dir=tmp_path / "whole").history
    short = {**CONFIG, "fit": {"epochs": 2}}
    run_dir = mxtrain.fit(short, run_dir=tmp_path / "run", callbacks=[ChangesRows(), RecordsRows()]).run_dir
    assert (
        mxtrain.resume(run_dir, overrides=["fit.epochs=4"], callbacks=[ChangesRows(), RecordsRows()]).history
        == expected
    )
    assert seen == [(row["epoch"], row) for row in expected]


def test_an_error_in_on_error_does_not_replace_the_original(tmp_path: Path) -> None:
    class Breaks(mxtrain.Callback):
        def on_batch(self, state: Any, loss: Any) -> None:
            raise RuntimeError("the first")

        def on_error(self, error: BaseException) -> None:
            raise ValueError("the second")

    with pytest.raises(RuntimeError, match="the first") as caught:
        mxtrain.fit(CONFIG, run_dir=tmp_path, callbacks=[Breaks()])
    assert caught.value.__notes__ == ["and Breaks.on_error raised ValueError('the second')"]


@pytest.mark.parametrize("callback", [5, "x", lambda: 1, mxtrain.Callback, None])
def test_objects_without_callback_methods_are_refused_before_the_run_starts(callback: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"callbacks\[0\] must be an object with one of on_start, "):
        mxtrain.fit(CONFIG, run_dir=tmp_path / "run", callbacks=[callback])
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_removed_ends_the_run(tmp_path: Path) -> None:
    class Remover(mxtrain.Callback):
        def on_batch(self, state: Any, loss: Any) -> None:
            (tmp_path / "run" / "config.yaml").unlink(missing_ok=True)

    with pytest.raises(mxtrain.TrainingError, match="the run.s folder was removed during the run"):
        mxtrain.fit(CONFIG, run_dir=tmp_path / "run", callbacks=[Remover()])


@pytest.mark.parametrize(("event", "epochs"), [("on_epoch", 2), ("on_batch", 1)])
def test_stop_training_finishes_the_run_and_it_can_be_resumed(event: str, epochs: int, tmp_path: Path) -> None:
    class StopsTraining(mxtrain.Callback):
        ended = False

        def on_epoch(self, state: Any, row: Any) -> None:
            if event == "on_epoch" and row["epoch"] == 2:
                raise mxtrain.StopTraining

        def on_batch(self, state: Any, loss: Any) -> None:
            if event == "on_batch" and state.curr_iter == 15:
                raise mxtrain.StopTraining

        def on_end(self, seconds: float) -> None:
            self.ended = True

    watch = StopsTraining()
    stopped = mxtrain.fit(CONFIG, run_dir=tmp_path / "stopped", callbacks=[watch])
    assert watch.ended
    assert len(stopped.history) == epochs
    run = mxtrain.load_run(stopped.run_dir)
    assert run.status.state == "finished"
    assert all((run.parameters[name] == value).all() for name, value in stopped.parameters.items())
    whole = mxtrain.fit(CONFIG, run_dir=tmp_path / "whole")
    assert mxtrain.resume(stopped.run_dir).history == whole.history


def test_an_exception_marks_the_run_as_failed_and_is_passed_to_on_error(tmp_path: Path) -> None:
    errors = []

    class Breaks(mxtrain.Callback):
        def on_epoch(self, state: Any, row: Any) -> None:
            raise KeyError("mine")

        def on_error(self, error: BaseException) -> None:
            errors.append(error)

    with pytest.raises(KeyError, match="mine"):
        mxtrain.fit(CONFIG, run_dir=tmp_path, callbacks=[Breaks()])
    assert [type(error) for error in errors] == [KeyError]
    assert mxtrain.training.run_folder.run_status.read_status(tmp_path).state == "failed"


def test_on_start_of_a_resumed_run_gets_the_earlier_history(tmp_path: Path) -> None:
    run_dir = mxtrain.fit(CONFIG, run_dir=tmp_path).run_dir
    infos: list[mxtrain.RunInfo] = []

    class RecordsInfo(mxtrain.Callback):
        def on_start(self, info: mxtrain.RunInfo) -> None:
            infos.append(info)

    history = mxtrain.resume(run_dir, callbacks=[RecordsInfo()]).history
    assert infos[0].history == tuple(history)
    assert infos[0].epochs == 4
    assert infos[0].notes == (
        f"the run is complete: all 4 epochs are finished; to train longer, run `mxtrain resume {run_dir} --set fit.epochs=8`",
    )


def test_the_status_is_unfinished_during_training_and_during_a_resume(tmp_path: Path) -> None:
    states = []

    class ReadsStatus(mxtrain.Callback):
        def on_epoch(self, state: Any, row: Any) -> None:
            states.append(read_status(tmp_path).state)

    mxtrain.fit(CONFIG, run_dir=tmp_path, callbacks=[ReadsStatus()])
    assert read_status(tmp_path).state == "finished"
    mxtrain.resume(tmp_path, overrides=["fit.epochs=5"], callbacks=[ReadsStatus()])
    assert states == ["unfinished"] * 5
