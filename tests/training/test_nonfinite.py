"""`on_nonfinite` at a batch in which a gradient, a loss or a slot of the optimizer stops being finite."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.training import Trainer
from mxtrain.training.slot_check import SlotCheck

BAD = 3
"""The batch that goes wrong, of four in an epoch."""
WITH_SQUARES = ["adam", "adamw", "adagrad", "adadelta", "rmsprop", "nadam"]


class Line:
    """`X·w + b`, whose gradient of b is replaced in one batch of the run."""

    def __init__(self, features: int, gradient: float, loss: float | None) -> None:
        self.features, self.gradient, self.loss_value, self.batches = features, gradient, loss, 0

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"w": (self.features, 1), "b": (1,)}

    def init(self, seed: int, dtype: Any) -> dict[str, Any]:
        return {name: np.full(shape, 0.5, dtype) for name, shape in self.shapes().items()}

    def predict(self, params: Any, inputs: Any) -> Any:
        return inputs @ params["w"] + params["b"]

    def loss_and_grad(self, params: Any, inputs: Any, targets: Any, grads: Any) -> Any:
        outputs = self.predict(params, inputs)
        error = outputs - targets[:, None]
        loss = (error * error).sum() / 2
        grads["w"][...], grads["b"][...] = inputs.T @ error, error.sum(axis=0)
        self.batches += 1
        if self.batches == BAD:
            if self.loss_value is not None:
                loss = np.float32(self.loss_value)
            else:
                grads["b"][...] = self.gradient
        return loss, outputs


def trainer(policy: str, gradient: float = np.nan, loss: float | None = None, **changes: Any) -> Trainer:
    """Return a trainer with four batches per epoch, the third of which is not finite."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(32, 3))
    config = {
        "data": {"source": "in_memory", "batch_size": 8, "validation": 0, "standardize": "none"},
        "model": {"kind": "custom"},
        "loss": "squared_error",
        "optimizer": {"kind": "adam", "scale": 1.0},
        "fit": {"epochs": 2, "on_nonfinite": policy, "checkpoint": {"every": "2 iterations"}, "metrics": ["mae"]},
        **changes,
    }
    run = mxtrain.RunConfig.model_validate(config).resolve()
    data = mxtrain.data.read_in_memory_data(run, (inputs, inputs.sum(axis=1)))
    found = mxtrain.data.read_data(run, data)
    return Trainer(run, lambda c, d, k, xp: Line(d, gradient, loss), found)


def state(of: Trainer) -> Any:
    """Return parameters, slots and counts of updates."""
    saved = of.optimizer.state_dict()
    slots = {name: (it["updates"], it["scalars"], it["slots"]) for name, it in saved["parameters"].items()}
    return of.parameters(), slots, saved["state"]["curr_iter"]


def assert_equal(one: Any, other: Any) -> None:
    np.testing.assert_equal(one, other)
    assert one[2] == other[2]


def until_the_bad_batch(run: Trainer) -> tuple[Any, Any]:
    """Return the iterator over the steps of the epoch, and the state before the bad batch."""
    steps = run.steps()
    for _ in range(BAD - 1):
        next(steps)
    return steps, state(run)


SOURCES = {
    "a gradient that is NaN": ({"gradient": np.nan}, "the gradient of b has numbers that are not finite"),
    "a gradient that is infinite": ({"gradient": np.inf}, "the gradient of b has numbers that are not finite"),
    "a loss that is infinite": ({"loss": np.inf}, "loss is inf"),
    "a second moment that overflows": ({"gradient": 2e19}, "the optimizer's slot v of b would become infinite or NaN"),
}


@pytest.mark.parametrize(("source", "problem"), SOURCES.values(), ids=SOURCES.keys())
def test_raise_names_the_batch_and_the_parameter_before_any_update(source: Any, problem: str) -> None:
    run = trainer("raise", **source)
    steps, before = until_the_bad_batch(run)
    with pytest.raises(mxtrain.TrainingError, match=f"^{problem} in epoch 1, batch 3: the run has diverged"):
        next(steps)
    assert_equal(state(run), before)


@pytest.mark.parametrize(("source", "problem"), SOURCES.values(), ids=SOURCES.keys())
def test_skip_omits_the_batch(source: Any, problem: str) -> None:
    run = trainer("skip", **source)
    steps, before = until_the_bad_batch(run)
    seen = run.step.sums.samples, run.step.sums.steps, run.step.sums.to_record()["metrics"]
    next(steps)
    assert_equal(state(run), before)
    assert (run.step.sums.samples, run.step.sums.steps, run.step.sums.to_record()["metrics"]) == seen
    assert (run.step.sums.skipped, run.state.curr_batch, run.step.consecutive_skips) == (1, 3, 1)
    next(steps)
    assert (run.state.curr_iter, run.step.consecutive_skips) == (3, 0)
    assert run.finish_epoch()["diagnostics"]["skipped"] == 1


@pytest.mark.parametrize(("source", "problem"), SOURCES.values(), ids=SOURCES.keys())
@pytest.mark.parametrize(("every", "back_to"), [("2 iterations", 2), ("1 iteration", 2), ("1 epoch", 0)])
def test_rollback_restores_the_last_scheduled_checkpoint(source: Any, problem: str, every: str, back_to: int) -> None:
    fit = {"epochs": 2, "on_nonfinite": "rollback", "checkpoint": {"every": every}, "metrics": ["mae"]}
    run = trainer("rollback", **source, fit=fit)
    start = run.parameters()
    steps, before = until_the_bad_batch(run)
    next(steps)
    assert run.state.curr_batch == 3
    if back_to:
        assert_equal(state(run), before)
    else:
        np.testing.assert_equal(run.parameters(), start)
        assert (run.state.curr_iter, run.optimizer.state_dict()["parameters"]) == (0, {})
    for _ in steps:
        pass
    assert run.state.curr_iter == back_to + 1


def test_too_many_consecutive_nonfinite_batches_end_the_run() -> None:
    fit = {"epochs": 2, "on_nonfinite": "skip", "nonfinite_limit": 2}
    run = trainer("skip", 1.0, fit=fit, optimizer={"kind": "adam", "scale": 1e30})  # each gradient overflows the slot
    with pytest.raises(
        mxtrain.TrainingError,
        match=r"^the optimizer's slot v of \w would become .* the previous 2 batches were non-finite too",
    ):
        run.run_epoch()
    assert run.state.curr_iter == 0


@pytest.mark.parametrize("kind", WITH_SQUARES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_rule_with_squared_gradients_is_checked(kind: str, dtype: str) -> None:
    gradient = 2e19 if dtype == "float32" else 2e154
    run = trainer("skip", gradient, dtype=dtype, optimizer={"kind": kind, "scale": 1.0})
    steps, before = until_the_bad_batch(run)
    next(steps)
    assert_equal(state(run), before)
    assert run.step.sums.skipped == 1


def test_momentum_that_overflows_is_undone_with_its_weight() -> None:
    run = trainer("skip", 3e38, optimizer={"kind": "sgd", "η": 10.0, "μ": 0.9, "scale": 1.0})
    steps, before = until_the_bad_batch(run)
    next(steps)
    assert_equal(state(run), before)


@pytest.mark.parametrize("bound", [{"clip": 1.0}, {"clip_norm": 1.0}], ids=["clip", "clip_norm"])
def test_a_large_gradient_that_is_clipped_is_used(bound: Any) -> None:
    fit = {"epochs": 1, "on_nonfinite": "raise"} | ({"clip_norm": 1.0} if "clip_norm" in bound else {})
    optimizer = {"kind": "adam", "scale": 1.0} | ({"clip": 1.0} if "clip" in bound else {})
    run = trainer("raise", 2e19, fit=fit, optimizer=optimizer)
    run.run_epoch()
    assert run.state.curr_iter == 4


def test_weight_decay_that_overflows_a_slot_is_detected() -> None:
    run = trainer("raise", 0.0, optimizer={"kind": "adam", "scale": 1e-30, "λ": 1e12})
    run.params["w"][1] = 1e9
    with pytest.raises(mxtrain.TrainingError, match="^the optimizer's slot v of w would become"):
        run.run_epoch()


def test_sums_of_squares_that_overflow_after_many_steps_are_detected() -> None:
    run = trainer("raise", 0.0, optimizer={"kind": "adagrad", "scale": 1e15, "η": 1e-30})
    next(run.steps())
    for slot in run.optimizer.slot_arrays():
        slot[...] = np.finfo(np.float32).max
    run.restore(run.snapshot())
    with pytest.raises(mxtrain.TrainingError, match="^the optimizer's slot x of [wb] would become"):
        next(run.steps())


def test_only_steps_far_from_overflow_are_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    scans: list[int] = []
    scan = SlotCheck.scan
    monkeypatch.setattr(SlotCheck, "scan", lambda *arguments: (scans.append(1), scan(*arguments))[1])
    run = trainer("raise", 0.0)
    for _ in run.steps():
        pass
    assert len(scans) == 1, "ordinary steps are scanned only at the start and every sixteenth step"


def test_the_check_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(kind: str) -> Any:
        run = trainer("raise", 0.0, optimizer={"kind": kind})
        return [run.run_epoch(), run.run_epoch()], state(run)

    for kind in (*WITH_SQUARES, "sgd", "adamax"):
        plain = trained(kind)
        with monkeypatch.context() as patched:
            patched.setattr(SlotCheck, "is_needed", lambda *arguments: True)
            np.testing.assert_equal(trained(kind), plain)
        with monkeypatch.context() as patched:
            patched.setattr(SlotCheck, "is_needed", lambda *arguments: False)
            np.testing.assert_equal(trained(kind), plain)


def test_a_nonfinite_slot_is_never_saved(tmp_path: Path) -> None:
    run = trainer("raise", 0.0)
    run.run_epoch()
    next(run.optimizer.slot_arrays())[0] = np.inf
    with pytest.raises(mxtrain.TrainingError, match="^the optimizer's slot m of w has numbers that are not finite"):
        run.check_parameters()


def test_rollbacks_that_make_no_progress_end_the_run(tmp_path: Path) -> None:
    run = {"data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy"}
    for limit, batches in ((10, 32), (3, 11)):
        fit = {"epochs": 2, "on_nonfinite": "rollback", "nonfinite_limit": limit}
        with pytest.raises(mxtrain.TrainingError) as caught:
            mxtrain.fit(run | {"optimizer": {"kind": "adamw", "η": 1e20}, "fit": fit}, run_dir=tmp_path / str(limit))
        message = f"and {limit} batches since the last checkpoint were non-finite too in epoch 1, batch {batches}: "
        assert message in str(caught.value)
