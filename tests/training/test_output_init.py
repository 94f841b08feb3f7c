"""The initial weights of the last layer: zero for tables whose target is standardized, so that training starts there."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import mxtrain
from mxtrain.config import run_from_dict
from mxtrain.nn import MLP
from mxtrain.training import Checkpoints, advance
from mxtrain.training.model_factory import build_model

TABLE = {"source": "in_memory", "target": "y"}


def config(data: dict[str, Any], loss: Any = "squared_error", **model: Any) -> dict[str, Any]:
    return {
        "data": data,
        "model": {"kind": "mlp", "hidden": [64], **model},
        "loss": loss,
        "optimizer": {"kind": "adam", "η": 0.003},
        "fit": {"epochs": 40, "metrics": [] if loss == "softmax_cross_entropy" else ["r2"], "diagnostics": False},
    }


@pytest.mark.parametrize(
    ("data", "loss", "model", "expected"),
    [
        (TABLE, "squared_error", {}, "zero"),
        (TABLE, "squared_error", {"kind": "linear", "hidden": None}, "zero"),
        (TABLE, {"kind": "quantile", "q": [0.1, 0.9]}, {}, "zero"),
        ({"source": "a.csv", "target": "y"}, "huber", {}, "zero"),
        (TABLE, "squared_error", {"output_init": "glorot"}, "glorot"),
        ({**TABLE, "standardize_target": False}, "squared_error", {}, None),
        (TABLE, "poisson", {}, None),
        (TABLE, "softmax_cross_entropy", {}, None),
        (TABLE, "softmax_cross_entropy", {"output_init": "zero"}, "zero"),
        ({"source": "in_memory"}, "squared_error", {}, None),
        ({"source": "a.npz", "target": "y"}, "squared_error", {}, None),
        ({"source": "diabetes", "standardize_target": True}, "squared_error", {}, None),
        ({"source": "digits"}, "softmax_cross_entropy", {}, None),
    ],
)
def test_default_of_output_init(data: Any, loss: Any, model: Any, expected: str | None) -> None:
    settings = config(data, loss, **model)
    settings["model"] = {name: value for name, value in settings["model"].items() if value is not None}
    run = mxtrain.RunConfig.model_validate(settings).resolve()
    assert run.model.output_init == expected  # type: ignore[union-attr]
    assert run.resolve() == run
    assert run.to_dict()["model"].get("output_init") == expected
    built = build_model(run.model, run.loss_spec, 3, 2)
    params = built.init(0, "float32")
    last = max(name for name in params if name.startswith("W"))
    assert bool(params[last].any()) is (expected != "zero")


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ({"kind": "sgd"}, "zero"),
        ({"kind": "lbfgs"}, "zero"),
        ({"kind": "adam", "groups": {"b*": {"kind": "lion"}}}, "zero"),
        ({"kind": "lamb"}, None),
        ({"kind": "lars"}, None),
        ({"kind": "adafactor"}, None),
        ({"kind": "ftrl"}, None),
        ({"kind": "adam", "agc": {}}, None),
        ({"kind": "adam", "groups": {"W*": {"kind": "lamb"}}}, None),
        ({"kind": "adam", "groups": {"W*": {"agc": {}}}}, None),
    ],
)
def test_optimizers_that_hold_weights_of_zero_start_from_random_ones(optimizer: Any, expected: str | None) -> None:
    settings = config(TABLE) | {"optimizer": optimizer}
    run = mxtrain.RunConfig.model_validate(settings).resolve()
    assert run.model.output_init == expected  # type: ignore[union-attr]


def test_only_the_last_layer_differs() -> None:
    zero, glorot = (
        MLP((3, 4, 2), "relu", "squared_error", zero_outputs=each).init(1, "float32") for each in (True, False)
    )
    assert [name for name in glorot if (zero[name] != glorot[name]).any()] == ["W2"]
    assert not zero["W2"].any()


def test_unknown_value_of_output_init() -> None:
    with pytest.raises(mxtrain.ConfigError, match=r"model\.output_init: must be one of zero, glorot, got 'he'"):
        run_from_dict(config(TABLE, output_init="he"))


def few_rows(seed: int, rows: int = 36, columns: int = 40) -> dict[str, Any]:
    """Return a table of one factor that all columns share, with noise: many columns, few rows, and a linear target."""
    random = np.random.default_rng(seed)
    factor = random.standard_normal((rows, 1))
    values = factor + random.standard_normal((rows, columns))
    target = 1e5 + 2e4 * (values.mean(axis=1) + 0.2 * random.standard_normal(rows))
    return {**{f"x{number}": column for number, column in enumerate(values.T)}, "y": target}


def test_few_rows_with_many_columns_predict_better_than_the_mean() -> None:
    def score(seed: int, **model: Any) -> float:
        run = run_from_dict(config(TABLE, **model)).resolve()
        rows = advance(run, None, run.fit.epochs, data=few_rows(seed)).record["rows"]
        return float(rows[-1]["val_r2"])

    zero, glorot = ([score(seed, **model) for seed in range(3)] for model in ({}, {"output_init": "glorot"}))
    assert min(zero) > 0.3
    assert np.median(zero) > np.median(glorot) + 0.1


def test_a_run_of_an_earlier_version_continues_from_the_weights_of_then(tmp_path: Path) -> None:
    """Earlier runs recorded neither `output_init` nor `max_categories`; they started from random weights."""
    old = {"missing": "error", "unseen": "error", "standardize_target": True, "max_categories": 1000}
    settings = config({**TABLE, **old}, output_init="glorot")
    settings["fit"] |= {"epochs": 2, "checkpoint": {"every": "1 epoch"}}
    data = few_rows(0)
    whole = mxtrain.fit(settings, run_dir=tmp_path / "whole", data=data)
    mxtrain.resume(whole.run_dir, overrides=["fit.epochs=3"], data=data)
    run = mxtrain.fit(settings, run_dir=tmp_path / "run", data=data).run_dir
    _remove_new_fields(run)
    assert mxtrain.verify(run, data=data) == []
    resumed = mxtrain.resume(run, overrides=["fit.epochs=3"], data=data)
    assert (resumed.run_dir / "model.safetensors").read_bytes() == (whole.run_dir / "model.safetensors").read_bytes()
    assert mxtrain.verify(run, data=data) == []
    with pytest.raises(mxtrain.ConfigError, match=r"model\.output_init: was 'glorot' .* and cannot become 'zero'"):
        mxtrain.resume(run, overrides=["model.output_init=zero"], data=data)


def _remove_new_fields(run_dir: Path) -> None:
    def without(plain: dict[str, Any]) -> dict[str, Any]:
        model = {name: value for name, value in plain["model"].items() if name != "output_init"}
        data = {name: value for name, value in plain["data"].items() if name not in ("max_categories", "columns")}
        return {**plain, "model": model, "data": data}

    file = run_dir / "config.yaml"
    file.write_text(yaml.safe_dump(without(yaml.safe_load(file.read_text(encoding="utf-8"))), allow_unicode=True))
    checkpoints = Checkpoints(run_dir / "checkpoints", keep=3)
    for snapshot in reversed(list(checkpoints.intact())):
        record = json.loads(json.dumps(snapshot.record))
        checkpoints.save(replace(snapshot, record={**record, "config": without(record["config"])}))
