"""`on_nonfinite`: the default warns and changes no bit; `raise` and `skip` decide as if every step ran on copies."""

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.nonfinite import NonFiniteGuard
from mxtrain.optim.rules import RULES
from tests.tables import WITH_TOTALS, with_stage

CONFIGS: list[dict[str, Any]] = [{"kind": rule.model_fields["kind"].annotation.__args__[0]} for rule in RULES]  # type: ignore[union-attr]
CONFIGS[0] |= {"μ": 0.9}
MESSAGE = "^weight 'w': its slot . is NaN or infinite, so the weight no longer moves"


def always_on_copies(config: Any, policy: Any) -> mxtrain.Optimizer:
    """Return an optimizer that runs each step on copies first."""
    optimizer = mxtrain.build(config, on_nonfinite=policy)
    optimizer._guard._cannot_overflow = lambda *_: (False, False)
    return optimizer


def bits(optimizer: mxtrain.Optimizer, *weights: Any) -> bytes:
    return pickle.dumps((optimizer.state_dict(), [weight.tobytes() for weight in weights]))


def changes(generator: np.random.Generator, kind: str) -> dict[str, Any]:
    """Random settings, most of them ordinary and some extreme."""
    return {
        "λ": generator.choice([0.0, 1e-5, 1e-2, 1e3, 1e18]),
        "scale": generator.choice([0.0, 0.0, -1e-3, 1e12, 1e39]),
        "clip": generator.choice([0.0, 0.0, 1.0, 1e25]),
        "η": generator.choice([1e-3, 1.0, 1e20, 1e39]),
        "groups": generator.choice([{}, {"b*": {"λ": 0.0}}]),
    } | ({"μ": generator.choice([0.5, 0.99, 3.0])} if kind == "sgd" else {})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["kind"])
@pytest.mark.parametrize("make", [dict, mxtrain.FlatParameters], ids=["loose", "flat"])
def test_decisions_are_those_of_running_every_step_on_copies(config: Any, dtype: str, make: Any) -> None:
    generator = np.random.default_rng(len(config["kind"]))
    exponent = np.finfo(dtype).maxexp // 2
    skipped = 0
    for _ in range(15):
        this = with_stage(config, changes(generator, config["kind"]) if generator.random() < 0.7 else {})
        params = make({"w": generator.normal(size=(2, 3)).astype(dtype), "b": generator.normal(size=2).astype(dtype)})
        expected = copy.deepcopy(params)
        quick, slow = mxtrain.build(this, on_nonfinite="skip"), always_on_copies(this, "skip")
        for _ in range(20):
            sizes = {name: np.ldexp(1.0, int(generator.integers(exponent - 16, exponent + 3))) for name in params}
            grads = make({n: (generator.normal(size=v.shape) * sizes[n]).astype(dtype) for n, v in params.items()})
            if generator.random() < 0.05:
                grads["b"][0] = generator.choice([np.nan, np.inf, -np.inf])
            caught = []
            for optimizer, weights in ((quick, params), (slow, expected)):
                with warnings.catch_warnings(record=True) as found:
                    warnings.simplefilter("always")
                    optimizer.step(weights, grads)
                caught.append([str(each.message) for each in found])
            assert caught[0] == caught[1], this
            skipped += bool(caught[0])
        assert bits(quick, *params.values()) == bits(slow, *expected.values())
    assert 0 < skipped < 300


def test_a_step_far_from_overflow_is_not_run_on_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    describe = NonFiniteGuard._describe_nonfinite
    monkeypatch.setattr(
        NonFiniteGuard, "_describe_nonfinite", lambda *arguments: (runs.append(1), describe(*arguments))[1]
    )
    for config in CONFIGS:
        optimizer, weight = mxtrain.build(config, on_nonfinite="raise"), np.ones((3, 4), "float32").T
        if optimizer.rule.overflow_bounds == "none":
            continue  # every step is run on copies
        for _ in range(40):
            optimizer.step({"w": weight}, {"w": np.ones((4, 3), "float32")})
        assert not runs, config
        optimizer.step({"w": weight}, {"w": np.full((4, 3), 1e17, "float32")})
        assert len(runs) == 1
        runs.clear()


def test_a_sum_of_squares_that_grows_slowly_is_noticed() -> None:
    """Each square is far from the largest number; after 20 steps their sum is not."""
    largest = float(np.finfo("float32").max)
    step = np.array([(largest / 19.5) ** 0.5], "float32")
    optimizer, weight = mxtrain.build({"kind": "adagrad", "λ": 0}, on_nonfinite="raise"), np.ones(1, "float32")
    for _ in range(19):
        optimizer.update("w", step, weight)
    before = bits(optimizer, weight)
    with pytest.raises(mxtrain.NonFiniteError, match="the update of weight 'w' would make its slot x"):
        optimizer.update("w", step, weight)
    assert bits(optimizer, weight) == before


def test_a_step_near_overflow_restarts_the_check() -> None:
    optimizer, weight = mxtrain.build({"kind": "adagrad", "λ": 0}, on_nonfinite="raise"), np.ones(1, "float32")
    optimizer.update("w", np.ones(1, "float32"), weight)
    optimizer.update(
        "w", np.nextafter(np.sqrt(np.finfo("float32").max, dtype="float32"), np.float32(0)).reshape(1), weight
    )
    gradient = np.full(1, 8e15, "float32")
    with pytest.raises(mxtrain.NonFiniteError, match="'w'"):
        any(optimizer.update("w", gradient, weight) for _ in range(10))  # type: ignore[func-returns-value]
    assert np.isfinite(next(optimizer.slot_arrays())).all()


def test_slots_are_scanned_again_after_16_steps() -> None:
    optimizer, weight = mxtrain.build({"kind": "adagrad", "λ": 0}, on_nonfinite="raise"), np.ones(1, "float32")
    optimizer.update("w", np.ones(1, "float32"), weight)
    for _ in range(15):
        optimizer.update("w", np.zeros(1, "float32"), weight)
    next(optimizer.slot_arrays())[:] = np.finfo("float32").max
    with pytest.raises(mxtrain.NonFiniteError, match="'w'"):
        optimizer.update("w", np.full(1, 8e15, "float32"), weight)


def test_a_loaded_state_restarts_the_check() -> None:
    optimizer, weight = mxtrain.build({"kind": "adagrad", "λ": 0}, on_nonfinite="raise"), np.ones(1, "float32")
    optimizer.update("w", np.ones(1, "float32"), weight)
    state = optimizer.state_dict()
    state["parameters"]["w"]["slots"]["x"][:] = np.finfo("float32").max
    optimizer.load_state_dict(state)
    with pytest.raises(mxtrain.NonFiniteError, match="'w'"):
        optimizer.update("w", np.full(1, 9e15, "float32"), weight)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["kind"])
@pytest.mark.parametrize("make", [dict, mxtrain.FlatParameters], ids=["loose", "flat"])
def test_the_default_warns_once_and_changes_no_bit(config: Any, make: Any) -> None:
    weights_that_warn = make({"b": np.ones(2, "float32"), "w": np.ones(2, "float32")})
    expected = copy.deepcopy(weights_that_warn)
    warning, ignoring = mxtrain.build(config), mxtrain.build(config, on_nonfinite="ignore")
    for step in range(1, 9):
        gradient = np.inf if step == 3 else 1
        grads = make({"b": np.ones(2, "float32"), "w": np.array([1, gradient], "float32")})
        ignoring.step(expected, grads)
        if step == 4 and config["kind"] != "rprop":  # its slots are finite again after one update
            # With sums over all parameters, the first of them is not finite either.
            message = MESSAGE.replace("'w'", "'b'") if config["kind"] in WITH_TOTALS else MESSAGE
            with pytest.warns(RuntimeWarning, match=message) as caught:
                warning.step(weights_that_warn, grads)
            assert len(caught) == 1
            assert caught[0].filename == __file__
        else:
            warning.step(weights_that_warn, grads)
    assert bits(warning, *weights_that_warn.values()) == bits(ignoring, *expected.values())


def test_slots_are_scanned_at_powers_of_two_then_every_1024th_step(monkeypatch: pytest.MonkeyPatch) -> None:
    scans: list[int] = []
    optimizer, weights = mxtrain.build({"kind": "adam"}), {"w": np.ones(1), "b": np.ones(1)}
    optimizer._guard.first_nonfinite = lambda *_: scans.append(optimizer.state.curr_iter)
    for _ in range(3100):
        optimizer.step(weights, weights | {name: np.zeros(1) for name in weights})
    assert scans == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3072]


def test_a_state_with_a_slot_that_is_not_finite_warns(tmp_path: Path) -> None:
    optimizer, weight = mxtrain.build({"kind": "adam"}), np.ones(1, "float32")
    for step in range(3):
        optimizer.update("w", np.array([2e19 if step == 2 else 1], "float32"), weight)
    other = pickle.loads(pickle.dumps(optimizer))
    with pytest.warns(RuntimeWarning, match=MESSAGE) as caught:
        other.save(tmp_path / "state")
    assert caught[0].filename == __file__
    for each in (optimizer, copy.copy(optimizer)):
        with pytest.warns(RuntimeWarning, match=MESSAGE) as caught:
            each.state_dict()
        assert caught[0].filename == __file__
        each.state_dict()


def test_single_updates_warn_where_they_are_called() -> None:
    gradient = np.full(1, 2e19, "float32")
    for act in (lambda it: it.update, mxtrain.get_updater):
        update = act(mxtrain.build({"kind": "adam"}))
        with pytest.warns(RuntimeWarning, match=MESSAGE) as caught:
            update("w", gradient, np.ones(1, "float32"))
        assert caught[0].filename == __file__


def test_a_rule_without_slots_checks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NonFiniteGuard, "first_nonfinite", None)
    monkeypatch.setattr(NonFiniteGuard, "_cannot_overflow", None)
    for policy in ("warn", "raise", "skip"):
        optimizer = mxtrain.build({"kind": "sgd"}, on_nonfinite=policy)  # type: ignore[arg-type]
        optimizer.step({"w": np.ones(1)}, {"w": np.array([np.nan])})
        optimizer.state_dict()
