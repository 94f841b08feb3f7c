"""Remedies in error messages: each is applied, and the data are read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.config.run_section import RunConfig
from mxtrain.data import load_for_prediction, prepare, read_in_memory_data
from mxtrain.data.splits import split
from mxtrain.errors import DataError


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(data: Mapping[str, Any], **sections: Any) -> RunConfig:
    source = {} if data.get("source") == "in_memory" else {"source": "t.csv", "target": "y"}
    defaults = {"loss": "squared_error", "model": {"kind": "linear"}, "optimizer": {"kind": "sgd"}}
    return RunConfig.model_validate(
        {
            "data": {**source, "validation": 0, "missing": "error", "standardize_target": False, **data},
            **defaults,
            **sections,
        }
    )


@pytest.mark.parametrize(
    ("content", "sections", "message", "remedies"),
    [
        ("a,b,y\n1,2,3\n,2,4\n", {}, "set data.missing: impute or drop", [{"missing": "impute"}, {"missing": "drop"}]),
        ("a,b,y\nu,2,3\n,2,4\n", {}, "set data.missing: impute or drop", [{"missing": "impute"}, {"missing": "drop"}]),
        (
            "a,b,y\n1,2,3\nx,4,4\n",
            {"columns": {"a": "number"}},
            "column 'a': must be a number, got 'x'; correct it, or, if it marks a missing value, set data.missing_values: [x]",
            [{"columns": {"a": "number"}, "missing_values": ["x"], "missing": "impute"}],
        ),
        (
            "a,b,y\n2024-01-05,2,3\nNA,4,4\n",
            {},
            "set data.missing: impute or drop",
            [{"missing": "impute"}, {"missing": "drop"}],
        ),
        (
            "a,b,y\n1,2,3\n1,2,4\n",
            {},
            (
                "no column is left to predict 'y' from ('a': constant: every row has the same value; 'b': constant: every row "
                "has the same value); say with data.columns what a column holds"
            ),
            [{"columns": {"a": "number"}}, {"columns": {"b": "category"}}],
        ),
    ],
)
def test_the_settings_that_messages_suggest_work(
    content: str, sections: dict[str, Any], message: str, remedies: list[dict[str, Any]]
) -> None:
    Path("t.csv").write_text(content)
    with pytest.raises(DataError) as caught:
        prepare(run(sections))
    assert message in str(caught.value)
    for remedy in remedies:
        prepare(run(sections | remedy))


def test_the_remedy_for_one_wrong_cell_among_many_numbers() -> None:
    """Read as text, the column would be an identifier and left out without a word."""
    Path("t.csv").write_text("a,y\n" + "".join(f"{i},1\n" for i in range(2000)) + "oops,2\n")
    with pytest.raises(
        DataError, match="got 'oops'; correct it, or, .* set data.missing_values: \\[oops\\], or, if"
    ) as found:
        prepare(run({}))
    assert str(found.value).endswith("data.columns: {a: category}")
    prepare(run({"missing_values": ["oops"], "missing": "impute"}))
    prepare(run({"columns": {"a": "category"}}))


X = np.random.default_rng(0).normal(size=(40, 2))
Y = X[:, 0] - X[:, 1]
NONE: dict[str, Any] = {"data": {"standardize": "none"}}
FLOAT64: dict[str, Any] = {"dtype": "float64"}


@pytest.mark.parametrize(
    ("features", "targets", "sections", "remedy"),
    [
        (1e39, 1, NONE, "dtype: float64"),
        (1e200, 1, NONE, "data.standardize: features"),
        (1e200, 1, NONE | FLOAT64, "data.standardize: features"),
        (1e20, 1, {"data": {"standardize": "none", "standardize_target": True}}, "data.standardize: features"),
        (1, 1e39, {}, "dtype: float64"),
        (1, 1e200, {}, "data.standardize_target: true"),
        (1, 1e200, FLOAT64, "data.standardize_target: true"),
        (1, 1e25, {}, "data.standardize_target: true"),
        (1e200, 1e200, FLOAT64, "data.standardize_target: true"),
        (1e20, 1e25, NONE, "data.standardize: features and data.standardize_target: true"),
    ],
)
def test_the_remedies_for_numbers_that_are_too_large_work(
    features: float, targets: float, sections: dict[str, Any], remedy: str, tmp_path: Path
) -> None:
    def config(**more: Any) -> dict[str, Any]:
        data = {"source": "in_memory", "standardize_target": False, **sections.get("data", {})}
        common = {"model": {"kind": "linear"}, "loss": "squared_error", "fit": {"epochs": 20, "metrics": ["r2"]}}
        whole = {**common, "optimizer": {"kind": "adam", "η": 0.1}, **sections, "data": data}
        for name, value in more.items():
            (data if name != "dtype" else whole)[name] = value
        return whole

    data = (X * features, Y * targets)
    with pytest.raises(mxtrain.MxtrainError) as caught:
        mxtrain.fit(config(), data=data, run_dir=tmp_path / "before")
    assert f"set {remedy}" in str(caught.value)
    settings = (setting.removeprefix("data.").split(": ") for setting in remedy.split(" and "))
    helped = config(**{name: {"true": True}.get(value, value) for name, value in settings})
    history = mxtrain.fit(helped, data=data, run_dir=tmp_path / "after").history
    if "float64" not in remedy:
        assert history[-1]["val_r2"] > 0.5


def test_the_remedy_for_a_later_number_that_is_too_large() -> None:
    Path("t.csv").write_text("a,y\n1,2\n3,4\n")
    preprocessing = prepare(run({})).preprocessing
    Path("new.csv").write_text("a\n1e200\n")
    with pytest.raises(DataError, match="in float32; correct it, or leave its sample out$"):
        load_for_prediction("new.csv", preprocessing)


def test_one_sample_cannot_be_split() -> None:
    with pytest.raises(DataError, match="^data.validation: 0.2 of 1 sample leaves none to validate on; set it to 0$"):
        split(np.zeros(1), 0.2, 0.0, seed=0, stratified=False)


@pytest.mark.parametrize("missing", ["mean", "drop"])
def test_means_of_large_numbers_do_not_overflow(missing: Any) -> None:
    values = np.array([1.7e308, 1.6e308, np.nan, 1.5e308])
    config = run({"source": "in_memory", "target": "y", "missing": missing})
    dataset = prepare(config, read_in_memory_data(config, {"a": values, "y": np.arange(4.0)}))
    (column,) = dataset.preprocessing.columns
    assert getattr(column, "fill", None) == (pytest.approx(1.6e308) if missing == "mean" else None)
    assert np.isfinite(dataset.training.targets).all()
