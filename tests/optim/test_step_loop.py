"""Loops of `Optimizer.steps`: stop conditions, callbacks, history, averages, wrong use."""

from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.errors import ConfigError, NonFiniteError, UsageError

SGD = {"kind": "sgd", "η": 0.1, "λ": 0}


def loss_and_grads(params: Any) -> tuple[float, Any]:
    return float((params["W"] ** 2).sum()), {"W": 2 * params["W"]}


def run(until: Any, rule: Any = SGD, params: Any = None, **settings: Any) -> Any:
    params = {"W": np.array([1.0, -2.0])} if params is None else params
    for step in mxtrain.build(rule).steps(params, until, **settings):
        loss, grads = loss_and_grads(params)
        step(grads, loss=loss)
    return step


@pytest.mark.parametrize(
    ("until", "iterations", "success", "message"),
    [
        ({"max_iterations": 7}, 7, False, "max_iterations: the limit of 7 iterations is reached"),
        ({"max_evaluations": 7}, 7, False, "max_evaluations: the limit of 7 evaluations is reached"),
        # W = [1, -2]·0.8ᵏ and f = 5·0.64ᵏ after k updates
        ({"target": 5 * 0.64**6 + 1e-9}, 6, True, "target: the value 0.343597 is at most 0.343597"),
        ({"gtol": 4 * 0.8**5 + 1e-9}, 5, True, "gtol: the largest element of the gradient, 1.31, is at most 1.31072"),
        ({"ftol": 0.36 * 5 * 0.64**4 + 1e-9}, 5, True, "ftol: the relative change of the value is at most 0.30199"),
        ({"xtol": 0.25000001}, 1, True, "xtol: the relative length of the step is at most 0.25"),
        ({"max_iterations": 9, "all_of": [{"gtol": 3}, {"target": 2}]}, 3, True, "gtol: the largest element"),
        (lambda progress: progress.value < 1, 4, True, "when: <lambda> returned true"),
    ],
)
def test_conditions(until: Any, iterations: int, success: bool, message: str) -> None:
    step = run(until)
    assert (step.progress.iterations, step.success) == (iterations, success)
    assert step.message.startswith(message)
    expected = np.array([1.0, -2.0])
    optimizer, params = mxtrain.build(SGD), {"W": expected}
    for _ in range(iterations):
        optimizer.step(params, loss_and_grads(params)[1])
    assert (step.params["W"] == expected).all()


def test_patience_counts_iterations_without_a_lower_loss() -> None:
    losses = iter([3.0, 2.0, 2.5, 2.0, 2.1, 9.0])
    params = {"W": np.ones(1)}
    for step in mxtrain.build(SGD).steps(params, {"patience": 3}):
        step({"W": np.zeros(1)}, loss=next(losses))
    assert (step.progress.iterations, step.progress.best_value) == (4, 2.0)
    assert step.message == "patience: no lower value than 2 in 3 iterations"


def test_history_and_callbacks() -> None:
    seen: list[Any] = []

    class Watcher(mxtrain.Callback):
        def on_batch(self, state: Any, loss: Any) -> None:
            seen.append((state.curr_iter, loss))
            if state.curr_iter == 3:
                raise mxtrain.StopTraining

    def stop(step: Any) -> None:
        seen.append(step.progress.iterations)

    step = run({"max_iterations": 9}, callbacks=[Watcher(), stop], history=True)
    assert [each for each in seen if isinstance(each, int)] == [1, 2, 3]
    assert [each[0] for each in seen if isinstance(each, tuple)] == [1, 2, 3]
    assert (step.message, step.success) == ("a callback stopped the loop", False)
    assert step.history["iteration"] == [1, 2, 3]
    assert step.history["loss"] == pytest.approx([5.0, 3.2, 2.048])
    assert len(step.history["seconds"]) == 3


def test_epochs_begin_for_schedules_and_averages_are_evaluated() -> None:
    rule = SGD | {"η_sched": {"kind": "exp", "γ": 0.5}, "ema": {"decay": 0.5}}
    step = run({"max_iterations": 6}, rule, steps_per_epoch=2)
    optimizer, params = mxtrain.build(rule), {"W": np.array([1.0, -2.0])}
    for _ in range(3):
        optimizer.state.begin_epoch()
        for _ in range(2):
            optimizer.step(params, loss_and_grads(params)[1])
    assert (step.params["W"] == params["W"]).all()
    assert (step.evaluation_params["W"] == optimizer.evaluation_params(params)["W"]).all()


def test_nested_parameters() -> None:
    params = {"layers": [{"W": np.ones(2)}, {"W": np.ones(3)}]}
    for step in mxtrain.build(SGD).steps(params, {"gtol": 1e-3, "xtol": 1e-9, "max_iterations": 100}):
        step({"layers": [{"W": 2 * layer["W"]} for layer in params["layers"]]})
    assert step.success
    assert step.message.startswith("gtol")


def test_wrong_use_is_refused_and_changes_nothing() -> None:
    params = {"W": np.ones(2)}
    grads = {"W": np.ones(2)}
    steps = mxtrain.build(SGD).steps(params, {"ftol": 1e-9})
    step = next(steps)
    with pytest.raises(
        UsageError, match=r"^a stop condition or the history needs the loss; call step\(grads, loss=loss\)$"
    ):
        step(grads)
    with pytest.raises(NonFiniteError, match="^the loss is nan in iteration 1; lower η, or bound"):
        step(grads, loss=float("nan"))
    with pytest.raises(UsageError, match=r"^iteration 1 ended without a call of step\(grads\)$"):
        next(steps)
    assert (params["W"] == 1).all()
    step(grads, loss=1.0)
    with pytest.raises(UsageError, match="^step was called outside of an iteration of its loop, or twice"):
        step(grads, loss=1.0)
    assert (params["W"] == 0.9).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"until": 3}, "until: must be a mapping of stop conditions or a function, got 3"),
        ({"until": {"max_iteration": 3}}, "until.max_iteration: unknown field; did you mean max_iterations?"),
        ({"steps_per_epoch": 0}, "steps_per_epoch: must be a whole number, at least 1, got 0"),
        ({"callbacks": [3]}, "callbacks.0: must be a function of the loop or an object with on_batch, got 3"),
    ],
)
def test_wrong_settings(settings: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        mxtrain.build(SGD).steps({"W": np.ones(2)}, **settings)
    assert str(caught.value) == message
