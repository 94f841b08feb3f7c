"""Attributes and keyword arguments: accepted names, read-only attributes, and error messages."""

import copy
import inspect
import pickle
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mxtrain.learning_rate import Exp
from mxtrain.momentum import Nadam

import mxtrain
from mxtrain.config.data_section import DataConfig
from mxtrain.config.fit_section import FitConfig
from mxtrain.names import ascii_names, display_name
from mxtrain.optim.rules import RULES, Time
from mxtrain.optim.schedules import learning_rate, momentum

ROOT = Path(__file__).parents[2]


def test_names_in_the_documentation_can_be_imported() -> None:
    assert Exp is mxtrain.learning_rate.Exp
    assert Nadam is mxtrain.momentum.Nadam
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    names = {name for text in texts for name in re.findall(r"\bmxtrain\.((?:[a-z_]+\.)?[A-Z]\w+)", text)}
    assert {"learning_rate.Cosine", "Adam"} <= names
    for name in sorted(names):
        if name.startswith(("torch.", "jax.")):
            continue  # tests/frameworks imports them, where PyTorch and JAX are installed
        module, _, attribute = f"mxtrain.{name}".rpartition(".")
        assert hasattr(import_module(module), attribute), name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lr", "optimizer.lr cannot be set; build another with .*to_dict.*'η'.*load_state_dict"),
        ("β1", "optimizer.β1 cannot be set; build another"),
        ("rule", "optimizer.rule is read-only; build another"),
        ("curr_epoch", "did you mean optimizer.state.curr_epoch?"),
        ("no_such_name", "optimizer has no attribute no_such_name; only optimizer.state can be set"),
    ],
)
def test_setting_an_attribute_of_an_optimizer(name: str, message: str) -> None:
    optimizer = mxtrain.build({"kind": "adam"})
    with pytest.raises(AttributeError, match=message) as caught:
        setattr(optimizer, name, 1)
    assert isinstance(caught.value, mxtrain.MxtrainError)
    optimizer.state = mxtrain.OptimizationState(curr_epoch=3)
    assert optimizer.state.curr_epoch == 3
    with pytest.raises(TypeError, match="must be an OptimizationState, got 3"):
        optimizer.state = 3  # type: ignore[assignment]


def test_setting_attributes_of_states_flat_parameters_and_configs() -> None:
    state = mxtrain.OptimizationState()
    with pytest.raises(mxtrain.ReadOnlyError, match="has no attribute curr_itr; did you mean curr_iter?"):
        state.curr_itr = 1  # type: ignore[attr-defined]
    state.curr_iter = 5
    state.begin_batch()
    assert (state.curr_epoch, state.curr_batch, state.curr_iter) == (1, 1, 6)
    assert copy.copy(state) == pickle.loads(pickle.dumps(state)) == state
    flat = mxtrain.FlatParameters({"W": np.ones(2)})
    for name in ("W", "buffers", "layout"):
        with pytest.raises(mxtrain.ReadOnlyError, match=rf"FlatParameters.{name} cannot be set: .*flat\[name\]"):
            setattr(flat, name, 1)
    for config, name, message in (
        (mxtrain.Adam(), "lr", "Adam.lr is read-only; make another one, as in Adam"),
        (mxtrain.Adam(), "learnin_rate", "Adam has no field learnin_rate; did you mean η?"),
        (Exp(), "γ", "Exp.γ is read-only"),
    ):
        with pytest.raises(mxtrain.ReadOnlyError, match=re.escape(message)):
            setattr(config, name, 1)
        with pytest.raises(mxtrain.ReadOnlyError):
            delattr(config, name)


MODELS: list[Any] = [
    *RULES,
    *learning_rate.RATE_SCHEDULES,
    *momentum.MOMENTUM_SCHEDULES,
]
REQUIRED: dict[str, Any] = {
    "T": 3,
    "milestones": [1, 2],
    "decay": 1,
    "times": [2],
    "values": [0.5],
    "boundaries": [2],
    "parts": [{"kind": "fixed"}, {"kind": "exp"}],
}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.__module__.rpartition('.')[2]}.{model.__name__}")
def test_every_accepted_name_reads_the_value(model: Any) -> None:
    fields = model.model_fields
    config = model(**{name: value for name, value in REQUIRED.items() if name in fields})
    for name in fields:
        value = getattr(config, name)
        for accepted in (display_name(name), *ascii_names(name)):
            if callable(getattr(model, accepted, None)):  # Muon's `coefficients` is also a method of every rule
                assert model(**{accepted: value}) == config
                continue
            assert getattr(config, accepted) == value
            if value is not None:
                others = {key: each for key, each in config.to_dict().items() if key != display_name(name)}
                assert model(**others, **{accepted: value}) == config
            with pytest.raises(mxtrain.ReadOnlyError, match=f"{model.__name__}.{accepted} is read-only"):
                setattr(config, accepted, value)
    for missing in ("learning_rat", "no_such_field", "model_field"):
        with pytest.raises(mxtrain.ReadOnlyError, match=f"{model.__name__} has no attribute {missing}; "):
            getattr(config, missing)
    assert not hasattr(config, "_no_such_field")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.__module__.rpartition('.')[2]}.{model.__name__}")
def test_errors_use_the_name_that_was_typed(model: Any) -> None:
    required = {name: value for name, value in REQUIRED.items() if name in model.model_fields}
    for name in model.model_fields.keys() - {"kind"}:
        for accepted in (display_name(name), *ascii_names(name)):
            with pytest.raises(mxtrain.ConfigError) as caught:
                model(**{key: value for key, value in required.items() if key != name}, **{accepted: "wrong"})
            assert str(caught.value).startswith(f"{accepted}: must be ")


def test_errors_in_nested_configs_use_the_names_that_were_typed() -> None:
    for schedule in ("η_sched", *ascii_names("η_sched")):
        for rate in ("γ", *ascii_names("γ")):
            with pytest.raises(mxtrain.ConfigError, match=f"^{schedule}.{rate}: must be above 0 and below 1, got 2$"):
                mxtrain.Adam(**{schedule: {"kind": "exp", rate: 2}})
    with pytest.raises(mxtrain.ConfigError, match=r"^momentum_sched\.mu: must be below 1 for nadam, got 1.5$"):
        mxtrain.Nadam(momentum_sched={"kind": "fixed", "mu": 1.5})  # type: ignore[call-arg]
    with pytest.raises(mxtrain.ConfigError, match=r"^optimizer\.groups\.b\*\.lr: must be at least 0, got -1$"):
        mxtrain.build({"kind": "sgd", "groups": {"b*": {"lr": -1}}})


def test_names_of_an_optimizers_rule() -> None:
    rule = mxtrain.build({"kind": "sgd", "lr": 0.25, "momentum": 0.5, "wd": 0.125}).rule
    assert (rule.lr, rule.learning_rate, rule.eta) == (0.25, 0.25, 0.25)
    assert (rule.momentum, rule.mu, rule.weight_decay, rule.wd, rule.lambda_) == (0.5, 0.5, 0.125, 0.125, 0.125)
    assert mxtrain.Adam().beta1 == mxtrain.Adam().beta_1 == 0.9
    with pytest.raises(mxtrain.ReadOnlyError, match="^Adam has no attribute momentum; "):
        _ = mxtrain.Adam().momentum


def test_names_that_were_methods_can_be_called() -> None:
    """Rules written for earlier versions call `self.learning_rate(time)` and `self.momentum(iteration)`."""
    rule = mxtrain.SGD(lr=0.5, momentum=0.25, lr_sched=Exp(γ=0.5))
    assert rule.learning_rate(Time(1, 1, 2)) == rule.learning_rate_at(Time(1, 1, 2)) == 0.125
    assert rule.momentum(3) == rule.momentum_at(3) == 0.25
    assert type(pickle.loads(pickle.dumps(rule.learning_rate))) is float
    assert mxtrain.Adam().momentum_at(1) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mxtrain.Adam(0.1), "Adam takes keyword arguments only, as in Adam(η=0.1)"),
        (lambda: Exp(0.1, 0.5), "Exp takes keyword arguments only, as in Exp(η=0.1)"),
        (lambda: mxtrain.SGD({"lr": 0.1}), "SGD takes keyword arguments only, as in SGD(**config)"),
        (lambda: DataConfig("digits"), "DataConfig takes keyword arguments only, as in DataConfig(source='digits')"),
        (lambda: momentum.Null(0), "Null takes no arguments, got 0"),
    ],
)
def test_positional_arguments(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        make()
    assert "args" not in inspect.signature(mxtrain.Adam).parameters


BAD: list[tuple[Any, dict[str, Any], str]] = [
    (mxtrain.Adam, {"β2": 1.2}, "β2: must be at least 0 and below 1, got 1.2"),
    (mxtrain.Adam, {"beta2": 1.2, "lrr": 1}, "beta2: must .*\nlrr: unknown field; did you mean lr?"),
    (mxtrain.Adam, {"lr": 1, "η": 2}, "η: η and lr are two names of one value; keep one"),
    (mxtrain.SGD, {"μ_sched": {"kind": "nadam", "γ": 3}}, "μ_sched.γ: must be at least 0 and at most 1, got 3"),
    (Exp, {"γ": 2}, "^γ: must be above 0 and below 1, got 2$"),
    (Nadam, {"μ": "x"}, "^μ: must be a number, got 'x'$"),
    (FitConfig, {"epochs": 0}, "^epochs: must be a whole number at least 1, got 0$"),
    (DataConfig, {}, "^source: required; digits, diabetes, in_memory, or the path of a file such as train.csv$"),
    (mxtrain.RunConfig, {"fit": {"epocs": 3}}, "fit.epocs: unknown field; did you mean epochs?"),
]


@pytest.mark.parametrize(("model", "values", "message"), BAD, ids=[message[:30] for *_, message in BAD])
def test_wrong_keyword_arguments(model: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(mxtrain.ConfigError, match=message) as caught:
        model(**values)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize("rule", RULES)
def test_copies_of_configs_are_equal(rule: Any) -> None:
    config = rule(η=0.5, η_sched=Exp(γ=0.5), groups={"b*": {"λ": 0}})
    for other in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config)), config.model_copy()):
        assert other == config
        assert hash(other) == hash(config)
        assert other.model_fields_set == config.model_fields_set == {"η", "η_sched", "groups"}
    assert rule(**config.to_dict()) == config
    assert config.model_copy(update={"η": 0.25}).η == 0.25


SQUARING = ("adam", "adamw", "adagrad", "adadelta", "rmsprop", "nadam")


def state_of(optimizer: mxtrain.Optimizer, params: Any) -> bytes:
    return pickle.dumps((optimizer.state_dict(), {name: value.tobytes() for name, value in params.items()}))


@pytest.mark.parametrize("make", [dict, mxtrain.FlatParameters], ids=["loose", "flat"])
@pytest.mark.parametrize("backend", ["numpy", "compiled"])
@pytest.mark.parametrize("kind", SQUARING)
def test_slots_that_would_become_infinite(kind: str, backend: str, make: Any) -> None:
    """A step with a gradient of 2e19 raises or is skipped entirely, and training continues without it."""

    def gradients(value: float) -> Any:
        return make({"b": np.ones(2, "float32"), "w": np.array([1, value], "float32")})

    params = make({"b": np.ones(2, "float32"), "w": np.ones(2, "float32")})
    optimizer = pickle.loads(pickle.dumps(mxtrain.build({"kind": kind}, backend=backend, on_nonfinite="raise")))
    optimizer.step(params, gradients(1))
    before = state_of(optimizer, params)
    with pytest.raises(mxtrain.NonFiniteError, match="the update of weight 'w' would make its slot . NaN or infinite"):
        optimizer.step(params, gradients(2e19))
    assert state_of(optimizer, params) == before
    skipping = mxtrain.build({"kind": kind}, backend=backend, on_nonfinite="skip")
    skipping.load_state_dict(optimizer.state_dict())
    with pytest.warns(RuntimeWarning, match="skipped: the update of weight 'w'"):
        skipping.step(params, gradients(2e19))
    assert state_of(skipping, params) == before
    skipping.step(params, gradients(1))
    assert np.isfinite(params["w"]).all()


def test_infinite_slots_are_allowed_by_default() -> None:
    optimizer, weight = mxtrain.build({"kind": "adam"}), np.ones(1, "float32")
    with pytest.warns(
        RuntimeWarning, match="^weight 'w': its slot v is NaN or infinite, so the weight no longer moves"
    ):
        optimizer.update("w", np.array([2e19], "float32"), weight)
    assert np.isinf(optimizer.state_dict()["parameters"]["w"]["slots"]["v"]).all()
    with pytest.raises(mxtrain.ConfigError, match="on_nonfinite: must be one of warn, ignore, raise, skip, got 'stop'"):
        mxtrain.build({"kind": "adam"}, on_nonfinite="stop")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["3", 1.5, None, True, -1, np.float64(2)], ids=repr)
def test_counts_are_whole_numbers(value: Any) -> None:
    """A wrong count is an error when it is set, and not in the next step."""
    optimizer = mxtrain.build({"kind": "adam"})
    message = "state.curr_iter must be a whole number at least 0, got "
    with pytest.raises(mxtrain.ArrayTypeError, match=message):
        optimizer.state.curr_iter = value
    assert optimizer.state == mxtrain.OptimizationState()
    with pytest.raises(mxtrain.ArrayTypeError, match=message):
        mxtrain.OptimizationState(curr_iter=value)


def test_counts_may_be_numpy_integers() -> None:
    int_of_numpy: Any = np.int64(4)
    optimizer = mxtrain.build({"kind": "adam"})
    optimizer.state.curr_iter = int_of_numpy
    optimizer.step({"w": np.ones(2)}, {"w": np.ones(2)})
    assert optimizer.state.curr_iter == 5
    assert type(optimizer.state.curr_iter) is int
