"""Configs as dicts: the same rules and error messages as for files."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from mxtrain.config import DataConfig, optimizer_from_dict, run_from_dict, sweep_from_dict
from mxtrain.errors import ConfigError
from mxtrain.optim.rules import SGD, Adam
from mxtrain.optim.schedules.learning_rate import Exp
from mxtrain.optim.schedules.momentum import Null
from tests.tables import OPTIMIZERS

ErrorLines = Callable[..., list[str]]

_RUN: dict[str, Any] = {
    "data": {"source": "digits"},
    "model": {"kind": "mlp", "hidden": [3]},
    "loss": "softmax_cross_entropy",
    "optimizer": {"kind": "adam", "learning_rate": 0.5, "η_sched": {"kind": "exp"}},
}


def test_a_dict_becomes_a_run() -> None:
    run = run_from_dict(_RUN)
    assert run.name == "run"
    assert run.optimizer == Adam(η=0.5, η_sched=Exp())
    assert run_from_dict(run.to_dict()) == run


def test_the_dict_is_not_changed(error_lines: ErrorLines) -> None:
    for data in (_RUN, {**_RUN, "seed": -1, "optimizer": {"kind": "adam", "lr": 1, "η": 2}}):
        before = deepcopy(data)
        error_lines(run_from_dict, data)
        assert data == before


def test_mappings_numbers_and_config_objects_are_accepted() -> None:
    assert optimizer_from_dict(MappingProxyType({"kind": "adam", "β1": np.float32(0.5)})) == Adam(β1=0.5)
    assert optimizer_from_dict({"kind": "sgd", "lr": np.int64(2), "μ": Fraction(1, 2)}) == SGD(η=2, μ=0.5)
    assert optimizer_from_dict({"kind": "sgd", "η_sched": Exp(γ=0.5), "μ_sched": {"kind": None}}) == SGD(
        η_sched=Exp(γ=0.5), μ_sched=Null()
    )
    run = run_from_dict({**_RUN, "seed": np.uint64(7), "optimizer": SGD(), "data": DataConfig(source="digits")})
    assert (run.seed, run.optimizer) == (7, SGD())
    assert run_from_dict({**_RUN, "model": {"kind": "mlp", "hidden": (3, np.int32(4))}}).model.hidden == (3, 4)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        ({}, [f"optimizer.kind: required; one of {OPTIMIZERS}"]),
        ({"kind": "adam", "β2": 1.2}, ["optimizer.β2: must be at least 0 and below 1, got 1.2"]),
        ({"kind": "adam", "lr": 0, "eps": -1}, ["optimizer.lr: must be above 0, got 0", "optimizer.eps: must be above 0, got -1"]),
        ({"kind": "adam", "lr": 1, "η": 2}, ["optimizer.η: η and lr are two names of one value; keep one"]),
        ({"kind": "adam", "beta4": 1}, ["optimizer.beta4: unknown field; did you mean beta1?"]),
        ({"kind": "adam", "η": True}, ["optimizer.η: must be a number, got true"]),
        ({"kind": "adam", "η": np.True_}, ["optimizer.η: must be a number, got true"]),
        ({"kind": "adam", "η": "0.1"}, ["optimizer.η: must be a number, got '0.1'; remove the quotes"]),
        ({"kind": "adam", "η": None}, ["optimizer.η: must be a number, got null"]),
        ({"kind": "adam", "η": 1 + 2j}, ["optimizer.η: must be a number, got (1+2j)"]),
        ({"kind": "adam", "η": Decimal("0.1")}, ["optimizer.η: must be a number, got Decimal('0.1')"]),
        ({"kind": "adam", "η": b"1"}, ["optimizer.η: must be a number, got b'1'"]),
        ({"kind": "adam", "η": [1]}, ["optimizer.η: must be a number, got a list"]),
        ({"kind": "adam", "η": np.ones(2)}, ["optimizer.η: must be a number, got array([1., 1.])"]),
        ({"kind": "adam", "η": np.ones((2, 1))}, ["optimizer.η: must be a number, got array([[1.], [1.]])"]),
        ({"kind": "adam", "η": float("inf")}, ["optimizer.η: must be a finite number, got inf"]),
        ({"kind": "adam", "η": float("nan"), "β1": -1}, ["optimizer.η: must be a finite number, got nan", "optimizer.β1: must be at least 0 and below 1, got -1"]),
        ({"kind": "adam", "η": np.float32("-inf")}, ["optimizer.η: must be a finite number, got -inf"]),
        ({"kind": "adam", "η": 10**400}, ["optimizer.η: must be a number that fits in float64, got an integer of more than 40 digits"]),
        ({"kind": "adam", "η": Fraction(10**400)}, ["optimizer.η: must be a number that fits in float64"]),
        ({"kind": "adam", 1: 2}, ["optimizer: a key must be a string, got 1"]),
        ({"kind": "adam", None: 2, (1, 2): 3}, ["optimizer: a key must be a string, got null", "optimizer: a key must be a string, got a list"]),
        ({"kind": "adam", "\ud800": 1}, ["optimizer: a key must be a string, got '\\ud800'"]),
        ({"kind": "\ud800"}, ["optimizer.kind: must be a Unicode string, got half of a surrogate pair"]),
        ({"kind": ["adam"]}, [f"optimizer.kind: must be one of {OPTIMIZERS}, got a list"]),
        ({"kind": {}}, [f"optimizer.kind: must be one of {OPTIMIZERS}, got a mapping"]),
        ({"kind": "adam", "η_sched": "exp"}, ["optimizer.η_sched: must be a mapping such as {kind: exp}, got 'exp'"]),
        ({"kind": "adam", "η_sched": {"kind": "exp", "γ": 7}}, ["optimizer.η_sched.γ: must be above 0 and below 1, got 7"]),
        ({"kind": "sgd", "μ_sched": SGD()}, ["optimizer.μ_sched.kind: must be one of null, fixed, nadam, got 'sgd'"]),
        ({"kind": "adam", "bounds": [0, 1, 2]}, ["optimizer.bounds: must be two numbers, [low, high], either of which may be null, got 3"]),
        ({"kind": "adam", "x\n\x1b[31m": 1}, ["optimizer.x\\n\\x1b[31m: unknown field; the fields here are kind, η, λ, clip, scale, η_sched, groups, β1, β2, ϵ, amsgrad, and wrappers such as bounds; see mxtrain list adam"]),
        ("adam", ["a config must be a mapping, got 'adam'"]),
        (None, ["a config must be a mapping, got null"]),
        ([{"kind": "adam"}], ["a config must be a mapping, got a list"]),
    ],
)  # fmt: skip
def test_every_problem_of_an_optimizer_is_reported(data: Any, messages: list[str], error_lines: ErrorLines) -> None:
    assert error_lines(optimizer_from_dict, data) == messages


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        ({"seed": -1, "loss": "mse"}, ["seed: must be a whole number at least 0 and below 18446744073709551616, got -1", "loss: must be one of softmax_cross_entropy, focal, logistic, squared_error, absolute, huber, quantile, poisson, gamma, tweedie, custom, got 'mse'; did you mean squared_error?"]),
        ({"model": {"kind": "mlp", "hidden": {1, 2}}}, ["model.hidden: must be a list, as in [a, b], got {1, 2}"]),
        ({"model": {"kind": "mlp", "hidden": [1, [2]]}}, ["model.hidden.1: must be a whole number, got a list"]),
        ({"data": {"source": b"a.csv"}}, ["data.source: must be a string, got b'a.csv'"]),
        ({"data": [("source", "digits")]}, ["data: must be a mapping, got a list"]),
        ({"fit": None}, ["fit: must be a mapping, got null"]),
        ({"extends": "base.yaml"}, ["extends: unknown field; extends belongs at the top level of a file"]),
        ({"name": "a b"}, ["name: must consist of letters, digits, '.', '_' and '-', the first a letter, a digit or '_', got 'a b'"]),
    ],
)  # fmt: skip
def test_every_problem_of_a_run_is_reported(change: Any, messages: list[str], error_lines: ErrorLines) -> None:
    assert error_lines(run_from_dict, {**_RUN, **change}) == messages


def test_a_data_file_is_relative_to_the_current_folder(here: Path, error_lines: ErrorLines) -> None:
    data = {"source": "table.csv", "target": "y"}
    assert error_lines(run_from_dict, {**_RUN, "data": data}) == [f"data.source: no such file: {here / 'table.csv'}"]
    Path("table.csv").touch()
    assert run_from_dict({**_RUN, "data": data}).data.source == str(here / "table.csv")


class Colour(Enum):
    RED = "red"


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Settings:
    hidden: int = 1


_CYCLE: dict[str, Any] = {}
_CYCLE["a"] = _CYCLE
_FOREIGN = [np.ones(3), np.ones(()), np.array([None]), np.void(b"ab"), np.rec.array([(1,)], dtype=[("a", int)])]
_FOREIGN += [b"x", bytearray(b"x"), {1}, len, int, Settings(), Colour.RED, Unprintable(), object(), ..., 10**5000, 1j]
_FOREIGN += [(i for i in range(3)), range(3), np.datetime64("2020"), [Unprintable()], {"a": Unprintable()}, _CYCLE]
_PLACES = ["name", "seed", "data", "model", "loss", "optimizer", "optimizer.η_sched", "optimizer.groups", "fit.metrics"]
_PLACES += ["model.hidden", "model.settings", "model.settings.x", "data.source", "fit.checkpoint", "fit.early_stopping"]


def _put(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    name, _, below = path.partition(".")
    old = config.get(name)
    return {**config, name: _put(old if isinstance(old, dict) else {}, below, value) if below else value}


@pytest.mark.parametrize("place", _PLACES)
def test_unsupported_objects_are_reported_on_one_line_each(place: str) -> None:
    run = _put(_RUN, "model", {"kind": "custom"}) if "settings" in place else _RUN
    for value in _FOREIGN:
        with pytest.raises(ConfigError) as caught:
            run_from_dict(_put(run, place, value))
        assert all(str(problem).isprintable() for problem in caught.value.problems)


@pytest.mark.parametrize("place", ["search", "workers", "trials", "sampler", "pruner", "objective", "storage"])
def test_unsupported_objects_in_a_sweep_are_reported(place: str) -> None:
    search = {"optimizer.η": {"log": [1e-4, 1e-1]}}
    for value in _FOREIGN:
        sweep = {"search": search, "objective": {"minimize": "val_loss"}, "trials": 3, place: value}
        with pytest.raises(ConfigError):
            sweep_from_dict({**_RUN, "sweep": sweep})
        for distribution in ({"choice": [0.1, value]}, {"uniform": [0, value]}, {"int": [1, 9], "step": value}, value):
            with pytest.raises(ConfigError):
                sweep_from_dict(
                    {**_RUN, "sweep": {**sweep, place: sweep[place], "search": {"fit.epochs": distribution}}}
                )


def test_numpy_values_and_paths_are_accepted(here: Path) -> None:
    Path("t.csv").touch()
    run = run_from_dict(
        {
            **_RUN,
            np.str_("loss"): np.str_("squared_error"),
            "data": {"source": Path("t.csv"), "target": np.str_("y"), "shuffle": np.False_, "batch_size": np.int8(3)},
        }
    )
    assert (run.loss, run.data.source, run.data.shuffle, run.data.batch_size) == (
        "squared_error",
        str(here / "t.csv"),
        False,
        3,
    )
    assert type(run.loss) is type(run.data.target) is str
