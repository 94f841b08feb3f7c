"""Wrappers around a rule in a run: aliases, skipped batches, accumulation, averages and resume."""

import copy
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.training.trainer import Trainer
from tests.training.conftest import results

RUN: dict[str, Any] = {
    "data": {"source": "digits", "validation": 0.2, "batch_size": 200},
    "model": {"kind": "mlp", "hidden": [8]},
    "loss": "softmax_cross_entropy",
    "optimizer": {"kind": "adamw", "η": 0.01},
    "fit": {"epochs": 2, "metrics": ["accuracy"]},
}
ALL: dict[str, Any] = {
    "cautious": True, "agc": {"clipping": 0.1}, "lookahead": {"period": 2}, "ema": {"decay": 0.9}, "bounds": [-1, 1],
    "clip_norm": 0.5, "skip_nonfinite": True, "accumulate": 3, "corrected": True,
    "η_sched": {"kind": "exp", "γ": 0.9, "per": "iteration"},
}  # fmt: skip


def config(optimizer: dict[str, Any] | None = None, **fit: Any) -> dict[str, Any]:
    changed = copy.deepcopy(RUN)
    changed["optimizer"] |= optimizer or {}
    changed["fit"] |= fit
    return changed


def parameters(run: dict[str, Any]) -> dict[str, bytes]:
    trainer = Trainer(mxtrain.RunConfig.model_validate(run).resolve())
    for _ in range(run["fit"]["epochs"]):
        trainer.run_epoch()
    return {name: value.tobytes() for name, value in trainer.parameters().items()}


def test_both_names_of_clip_norm_give_equal_bits() -> None:
    run = config({"clip_norm": 0.3})
    assert parameters(run) == parameters(config(clip_norm=0.3)) != parameters(config())
    assert parameters(config({"clip_norm": 0.3}, clip_norm=0.3)) == parameters(run)


def test_two_different_norms_are_an_error() -> None:
    with pytest.raises(mxtrain.ConfigError, match=r"^fit\.clip_norm: is another name of optimizer\.clip_norm, .* 0.3"):
        mxtrain.RunConfig(**config({"clip_norm": 0.3}, clip_norm=0.2))


def test_the_clip_norm_of_a_run_may_have_a_schedule() -> None:
    schedule = {"schedules": {"clip_norm": {"kind": "exp", "γ": 0.5, "per": "iteration"}}}
    falling = parameters(config({"clip_norm": 0.3} | schedule))
    assert falling != parameters(config({"clip_norm": 0.3}))


def test_the_mean_of_gradients_is_clipped_in_a_run() -> None:
    free, bound = (parameters(config({"accumulate": 2} | norm)) for norm in ({}, {"clip_norm": 0.1}))
    assert free != bound == parameters(config({"accumulate": 2}, clip_norm=0.1))


def test_accumulation_counts_updates_and_continues_in_the_next_epoch() -> None:
    trainer = Trainer(mxtrain.RunConfig.model_validate(config({"accumulate": 3})).resolve())
    batches = len(trainer.batches)
    assert batches == 8
    trainer.run_epoch()
    assert trainer.state.curr_iter == 2  # two gradients are left for the first update of the next epoch
    trainer.run_epoch()
    assert trainer.state.curr_iter == 5


def test_a_schedule_of_the_whole_run_counts_updates() -> None:
    schedule = {"η_sched": {"kind": "cosine", "T": "run", "per": "iteration"}}
    trainer = Trainer(mxtrain.RunConfig.model_validate(config({"accumulate": 3} | schedule)).resolve())
    assert trainer.rule.η_sched is not None
    assert trainer.rule.η_sched.to_dict()["T"] == 5


@pytest.mark.parametrize("batches", [4, 13])
def test_a_run_with_all_wrappers_is_resumed_in_the_middle_of_a_mean(batches: int) -> None:
    run = mxtrain.RunConfig(**config(ALL))
    at_once = mxtrain.advance(run, None, 15)
    first = mxtrain.advance(run, None, batches)
    assert mxtrain.advance(run, first, 15).differences(at_once) == []


SCRIPT = """
import os, signal, sys
import mxtrain

class Kill(mxtrain.Callback):
    left = int(sys.argv[3])

    def on_batch(self, state, loss):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

config, run_dir = eval(sys.argv[1]), sys.argv[2]
if os.path.exists(os.path.join(run_dir, "config.yaml")):
    mxtrain.resume(run_dir, callbacks=[Kill()])
else:
    mxtrain.fit(config, run_dir=run_dir, callbacks=[Kill()])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_with_all_wrappers_groups_and_schedules_ends_with_the_same_bytes(tmp_path: Path) -> None:
    halving = {"kind": "exp", "γ": 0.9, "per": "iteration"}
    schedules = dict.fromkeys(("β2", "λ", "ema.decay", "agc.clipping", "clip_norm"), halving)
    own = {"kind": "lion", "η": 0.002, "λ": 0.1, "corrected": True, "ema": {"decay": 0.8}, "schedules": {"β1": halving}}
    groups = {"W1": own, "ndim < 2": {"kind": "prodigy", "lookahead": {"period": 3}}}
    run = config(ALL | {"λ": 0.1, "schedules": schedules, "groups": groups}, epochs=4, checkpoint={"every": "1 epoch"})
    run |= {"backend": "numpy", "threads": 1}
    whole, run_dir = mxtrain.fit(run, run_dir=tmp_path / "whole"), tmp_path / "killed"
    for batches in (13, 11):  # in the second epoch and, after a resume from its start, in the third
        command = [sys.executable, "-W", "ignore", "-c", SCRIPT, repr(run), str(run_dir), str(batches)]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        killed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    mxtrain.resume(run_dir)
    assert results(run_dir) == results(whole.run_dir)


def test_a_nonfinite_gradient_is_skipped_and_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = 0
    original = Trainer.__init__

    def spoiled(self: Trainer, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        compute = self.model.loss_and_grad

        def loss_and_grad(params: Any, inputs: Any, targets: Any, grads: Any) -> Any:
            nonlocal calls
            result = compute(params, inputs, targets, grads)
            calls += 1
            if calls in (3, 11):
                grads["W1"][0, 0] = np.inf
            return result

        monkeypatch.setattr(self.model, "loss_and_grad", loss_and_grad)

    monkeypatch.setattr(Trainer, "__init__", spoiled)
    result = mxtrain.fit(config({"skip_nonfinite": True}), run_dir=tmp_path)
    assert result.state.skipped == 2
    assert [row["diagnostics"].get("skipped") for row in result.history] == [1, 1]
    assert result.state.curr_iter == 14


@pytest.mark.parametrize("wrapper", [{"ema": {"decay": 0.8}}, {"lookahead": {"period": 5}}], ids=["ema", "lookahead"])
def test_a_run_evaluates_and_saves_the_averaged_weights(wrapper: dict[str, Any], tmp_path: Path) -> None:
    result = mxtrain.fit(config(wrapper, epochs=3), run_dir=tmp_path)
    trainer = Trainer(mxtrain.RunConfig.model_validate(config(wrapper, epochs=3)).resolve())
    for _ in range(3):
        trainer.run_epoch()
    averaged = trainer.optimizer.evaluation_params(trainer.params)
    assert any((averaged[name] != value).any() for name, value in trainer.params.items())
    saved = mxtrain.load_run(tmp_path).parameters
    for name, value in averaged.items():
        assert value.tobytes() == result.parameters[name].tobytes() == saved[name].tobytes()
