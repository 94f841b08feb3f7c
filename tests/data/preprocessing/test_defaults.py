"""Defaults that train: gaps, unseen and rare categories, dates, text, weights and groups."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mxtrain.config.run_section import RunConfig
from mxtrain.data import Dataset, InMemorySamples, Preprocessing, load_for_prediction, prepare
from mxtrain.errors import DataError

EARLIER = Path(__file__).parent / "earlier" / "preprocessing.json"


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prepared(rows: str, loss: str = "logistic", **data: Any) -> Dataset:
    Path("t.csv").write_text(rows)
    sections = {"loss": loss, "model": {"kind": "linear"}, "optimizer": {"kind": "sgd"}, "dtype": "float64"}
    return prepare(
        RunConfig.model_validate({"data": {"source": "t.csv", "target": "y", "validation": 0, **data}, **sections})
    )


def inputs_of(dataset: Dataset, rows: str) -> dict[str, list[float]]:
    Path("new.csv").write_text(rows)
    restored = Preprocessing.from_dict(json.loads(json.dumps(dataset.preprocessing.to_dict())))
    assert restored == dataset.preprocessing
    return dict(zip(restored.feature_names, load_for_prediction("new.csv", restored)[0].T.tolist(), strict=True))


def inputs_in(dataset: Dataset) -> Any:
    assert isinstance(dataset.training, InMemorySamples)
    return dataset.training.inputs


PETS = "age,size,tame,y\n1,big,True,a\n,small,False,b\n4,,true,a\n9,big,False,b\n7,mid,True,\n"


def test_gaps_are_imputed_and_samples_without_a_target_left_out() -> None:
    dataset = prepared(PETS, standardize="none")
    assert dataset.notes == ("left out 1 sample without the target 'y'",)
    assert dataset.feature_names == ("age", "age=missing", "size=", "size=big", "size=small", "tame")
    assert inputs_in(dataset).tolist() == [
        [1, 0, 0, 1, 0, 1],
        [4, 1, 0, 0, 1, 0],
        [4, 0, 1, 0, 0, 1],
        [9, 0, 0, 1, 0, 0],
    ]


def test_later_files_may_have_gaps_that_training_had_not() -> None:
    rows = "".join(f"{i % 5},{'uv'[i % 2]},{'ab'[i % 2]}\n" for i in range(20))
    dataset = prepared("age,size,y\n" + rows, standardize="none")
    assert inputs_of(dataset, "age,size\n,u\n3,\n") == {"age": [2, 3], "size=u": [1, 0], "size=v": [0, 0]}


def test_unseen_categories_are_counted_or_errors_with_all_their_rows() -> None:
    rows = "size,y\n" + "big,a\nsmall,b\n" * 5
    with pytest.warns(UserWarning, match="new.csv: column 'size': 2 values have categories .* lacks: 'huge', 'tiny'$"):
        found = inputs_of(prepared(rows), "size\nhuge\nbig\ntiny\n")
    assert found == {"size=big": [0, 1, 0], "size=small": [0, 0, 0]}
    with pytest.raises(DataError) as caught:
        inputs_of(prepared(rows, unseen="error"), "size\nhuge\nbig\ntiny\n")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["new.csv:2", "new.csv:4"]


def test_an_unseen_category_of_the_own_split_is_never_an_error() -> None:
    rows = "size,y\n" + "".join(f"{'rare' if i == 7 else 'uv'[i % 2]},{'ab'[i // 2 % 2]}\n" for i in range(40))
    notes = [prepared(rows, unseen="error", validation=0.5, columns={"size": "category"}).notes]
    for exclude in range(1, 6):
        config = {"loss": "logistic", "model": {"kind": "linear"}, "optimizer": {"kind": "sgd"}, "seed": exclude}
        data = {"source": "t.csv", "target": "y", "validation": 0.5, "unseen": "error", "columns": {"size": "category"}}
        notes.append(prepare(RunConfig.model_validate({"data": data, **config})).notes)
    assert "column 'size': 1 value has a category that the training set lacks: 'rare'" in sum(notes, ())


def test_rare_categories_share_an_input() -> None:
    sizes = ["u"] * 6 + ["v"] * 4 + ["w", "x"] * 2
    dataset = prepared(
        "size,y\n" + "".join(f"{size},{'ab'[i % 2]}\n" for i, size in enumerate(sizes)), max_categories=2
    )
    assert dataset.feature_names == ("size=u", "size=v", "size=other")
    assert inputs_in(dataset).sum(axis=0).tolist() == [6, 4, 4]


def test_dates_become_standardized_parts() -> None:
    days = [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(60)]
    dataset = prepared("day,y\n" + "".join(f"{day},{'ab'[i % 2]}\n" for i, day in enumerate(days)))
    parts = ["days", "year", "month_sin", "month_cos", "weekday_sin", "weekday_cos"]
    assert dataset.feature_names == tuple(f"day={part}" for part in parts)
    assert inputs_in(dataset).mean(axis=0) == pytest.approx(np.zeros(6), abs=1e-9)
    later = inputs_of(dataset, "day\n2025-01-15\n\n2024-12-15\n")
    assert later["day=days"][0] > max(inputs_in(dataset)[:, 0])
    assert np.isfinite(list(later.values())).all()


def test_words_are_hashed_on_request() -> None:
    words = np.random.default_rng(0).choice(["dry", "red", "sweet", "old", "young", "fresh", "heavy"], (40, 6))
    texts = [f"{' '.join(row)} number {i}" for i, row in enumerate(words.tolist())]
    rows = "note,age,y\n" + "".join(f"{text},{i},{'ab'[i % 2]}\n" for i, text in enumerate(texts))
    assert prepared(rows, columns={"note": "text", "age": "number"}).feature_names == ("age",)
    dataset = prepared(rows, text="hash", columns={"note": "text", "age": "number"})
    assert len(dataset.feature_names) == 257
    assert np.square(inputs_in(dataset)[:, :256]).sum(axis=1) == pytest.approx(np.ones(40))


def test_weights_have_mean_1_on_the_training_set_and_are_no_feature() -> None:
    rows = "a,w,g,y\n" + "".join(f"{i % 9},{i % 4},{i % 10},{'ab'[i // 3 % 2]}\n" for i in range(60))
    dataset = prepared(rows, weight="w", groups="g", validation=0.3)
    assert dataset.feature_names == ("a",)
    assert dataset.training.weights is not None
    assert dataset.training.weights.mean() == pytest.approx(1)
    assert dataset.validation.weights is not None
    assert len(set(dataset.validation.weights.tolist())) <= 4
    assert (len(dataset.training), len(dataset.validation)) == (42, 18)
    with pytest.raises(
        DataError, match="^t.csv:3: data.weight: column 'w': the weight of a sample is missing; correct"
    ):
        prepared("a,w,y\n1,1,a\n2,,b\n3,2,a\n4,3,b\n", weight="w")


@pytest.mark.parametrize(("field", "value"), [("exclude", ["z"]), ("weight", "z"), ("groups", "z")])
def test_unknown_columns(field: str, value: Any) -> None:
    with pytest.raises(DataError, match=f"^t.csv:1: data.{field}: there is no column 'z'; "):
        prepared(PETS, **{field: value})


def test_excluded_columns_are_no_features() -> None:
    assert {name.split("=")[0] for name in prepared(PETS, exclude=["age", "tame"]).feature_names} == {"size"}


@pytest.mark.parametrize(
    ("loss", "source", "expected"),
    [("squared_error", "t.csv", True), ("logistic", "t.csv", False), ("squared_error", "diabetes", False)],
)
def test_the_default_of_standardize_target_is_resolved(loss: str, source: str, expected: bool) -> None:
    data = {"source": source, **({"target": "y"} if source == "t.csv" else {})}
    config = RunConfig.model_validate(
        {"data": data, "loss": loss, "model": {"kind": "linear"}, "optimizer": {"kind": "sgd"}}
    )
    assert config.resolve().data.standardize_target is expected


def test_files_of_earlier_versions_open_and_give_the_same_inputs() -> None:
    restored = Preprocessing.from_dict(json.loads(EARLIER.read_text())["preprocessing"])
    assert restored.to_dict() == json.loads(EARLIER.read_text())["preprocessing"]
    Path("new.csv").write_text("age,size\n3,big\n,small\n9,huge\n")
    with pytest.warns(UserWarning, match="'huge'"):
        inputs, _ = load_for_prediction("new.csv", restored)
    assert inputs.tolist() == EARLIER_INPUTS


EARLIER_INPUTS = [
    [-1.3222237825393677, 1.0, 0.0, 0.0],
    [-4.516810073376253e-16, 0.0, 0.0, 1.0],
    [1.7290619611740112, 0.0, 0.0, 0.0],
]
