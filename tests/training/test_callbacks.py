"""Callbacks watch a run, and may end it; those who watch need write only what they want."""

from pathlib import Path
from typing import Any

import pytest

import mxtrain

CONFIG: dict[str, Any] = {
    "data": {"source": "diabetes"},
    "model": {"kind": "linear"},
    "loss": "squared_error",
    "optimizer": {"kind": "adam"},
    "fit": {"epochs": 4},
}


def test_a_callback_writes_only_the_methods_it_needs(tmp_path: Path) -> None:
    seen = []

    class Inherits(mxtrain.Callback):
        def on_epoch(self, state: Any, row: Any) -> None:
            seen.append(row["epoch"])

    class Looks:
        def on_end(self, seconds: float) -> None:
            seen.append("end")

    mxtrain.fit(CONFIG, run_dir=tmp_path, callbacks=[Inherits(), Looks()])
    assert seen == [1, 2, 3, 4, "end"]


@pytest.mark.parametrize(("event", "epochs"), [("on_epoch", 2), ("on_batch", 1)])
def test_stop_training_ends_a_run_in_good_order_and_it_can_go_on(event: str, epochs: int, tmp_path: Path) -> None:
    class Enough(mxtrain.Callback):
        ended = False

        def on_epoch(self, state: Any, row: Any) -> None:
            if event == "on_epoch" and row["epoch"] == 2:
                raise mxtrain.StopTraining

        def on_batch(self, state: Any, loss: Any) -> None:
            if event == "on_batch" and state.curr_iter == 15:
                raise mxtrain.StopTraining

        def on_end(self, seconds: float) -> None:
            self.ended = True

    watch = Enough()
    stopped = mxtrain.fit(CONFIG, run_dir=tmp_path / "stopped", callbacks=[watch])
    assert watch.ended
    assert len(stopped.history) == epochs
    run = mxtrain.load_run(stopped.run_dir)
    assert run.status.state == "finished"
    assert all((run.parameters[name] == value).all() for name, value in stopped.parameters.items())
    whole = mxtrain.fit(CONFIG, run_dir=tmp_path / "whole")
    assert mxtrain.resume(stopped.run_dir).history == whole.history


def test_an_exception_ends_the_run_as_a_failure_and_is_told_to_all(tmp_path: Path) -> None:
    told = []

    class Breaks(mxtrain.Callback):
        def on_epoch(self, state: Any, row: Any) -> None:
            raise KeyError("mine")

        def on_error(self, error: BaseException) -> None:
            told.append(error)

    with pytest.raises(KeyError, match="mine"):
        mxtrain.fit(CONFIG, run_dir=tmp_path, callbacks=[Breaks()])
    assert [type(error) for error in told] == [KeyError]
    assert mxtrain.training.status.read_status(tmp_path).state == "failed"


def test_a_resumed_run_tells_what_came_before(tmp_path: Path) -> None:
    run_dir = mxtrain.fit(CONFIG, run_dir=tmp_path).run_dir
    infos: list[mxtrain.RunInfo] = []

    class Listens(mxtrain.Callback):
        def on_start(self, info: mxtrain.RunInfo) -> None:
            infos.append(info)

    history = mxtrain.resume(run_dir, callbacks=[Listens()]).history
    assert infos[0].history == tuple(history)
    assert infos[0].epochs == 4
    assert infos[0].notes == (
        f"the run is over: all 4 epochs are done; to train on, say `mxtrain resume {run_dir} --set fit.epochs=8`",
    )
