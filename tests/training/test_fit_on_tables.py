"""`fit` on tables as people have them, with nothing but the source, the target and the loss."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import mxtrain
from tests.data.shapes import BASE, N_ROWS, ROWS, SHAPES, Shape, changed, with_gaps

pd: Any = pytest.importorskip("pandas")
pa: Any = pytest.importorskip("pyarrow")

DATED = ("girth", "planted", "health")


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fit(source: str, target: str, loss: str, data: Any = None, run: str = "run", **fields: Any) -> mxtrain.FitResult:
    config = {
        "data": {"source": source, "target": target, **fields},
        "model": {"kind": "linear"},
        "loss": loss,
        "optimizer": {"kind": "adam"},
        "fit": {"epochs": 1},
    }
    return mxtrain.fit(config, data=data, run_dir=Path(run))


def columns_of(names: tuple[str, ...] = BASE, rows: list[dict[str, Any]] = ROWS) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in names}


def as_bytes(result: mxtrain.FitResult) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in result.parameters.items()}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_shape_trains_and_the_resolved_config_trains_the_same_model(shape: Shape) -> None:
    Path(shape.name).write_bytes(shape.content)
    result = fit(shape.name, shape.target, shape.loss)
    found = dict(result.config.data.columns or {})
    assert {name: kind for name, kind in found.items() if name in shape.kinds} == {
        name: kind for name, kind in shape.kinds.items() if name in found
    }
    again = mxtrain.fit(result.config, run_dir=Path("again"))
    assert again.config.data == result.config.data
    assert as_bytes(again) == as_bytes(result)


FRAMES: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "records": lambda columns: pl.DataFrame(columns).to_dicts(),
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
}


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("names", [BASE, DATED, ("leafy", "tag", *BASE)])
def test_a_frame_trains_the_model_of_its_columns(library: str, names: tuple[str, ...]) -> None:
    columns = columns_of(names, with_gaps(names[1], [None]))
    expected = fit("in_memory", "health", "softmax_cross_entropy", columns)
    result = fit("in_memory", "health", "softmax_cross_entropy", FRAMES[library](columns), run="frame")
    assert as_bytes(result) == as_bytes(expected)
    assert result.predict(FRAMES[library](columns)).tolist() == expected.predict(columns).tolist()


def test_a_file_and_a_frame_give_the_same_model() -> None:
    frame = pd.DataFrame(columns_of(DATED))
    frame.to_csv("t.csv", index=False)
    of_file = fit("t.csv", "health", "softmax_cross_entropy")
    of_frame = fit("in_memory", "health", "softmax_cross_entropy", frame, run="frame")
    assert as_bytes(of_file) == as_bytes(of_frame)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([3, 4, 5], "int64"), ([0.0, 1.0, 2.0], "float64"), ([False, True, True], "bool"), (["u", "v", "w"], "str")],
)
def test_classes_are_predicted_in_their_own_dtype(values: list[Any], dtype: str) -> None:
    labels = {"poor": values[0], "fair": values[1], "good": values[2]}
    columns = {**columns_of(BASE[:2]), "health": [labels[row["health"]] for row in ROWS]}
    predicted = fit("in_memory", "health", "softmax_cross_entropy", columns).predict(columns)
    assert predicted.dtype.name.startswith(dtype)
    assert set(predicted.tolist()) <= set(values)


def test_the_value_of_a_constant_column_does_not_matter_later() -> None:
    columns = {**columns_of(), "year": [2020] * N_ROWS}
    result = fit("in_memory", "health", "softmax_cross_entropy", columns)
    later = result.predict({**columns, "year": [2021] * N_ROWS})
    assert later.tolist() == result.predict(columns).tolist()


def test_a_later_table_may_have_gaps_and_new_categories() -> None:
    columns = columns_of()
    result = fit("in_memory", "health", "softmax_cross_entropy", columns)
    later = {**columns, "girth": [None] * N_ROWS, "district": ["Insel"] * N_ROWS}
    with pytest.warns(UserWarning, match="column 'district': 60 values have categories that the training set lacks"):
        assert len(result.predict(later)) == N_ROWS


def test_a_price_is_learned_with_the_defaults() -> None:
    config = {
        "data": {"source": "in_memory", "target": "value"},
        "model": {"kind": "mlp", "hidden": [32]},
        "loss": "squared_error",
        "optimizer": {"kind": "adam", "η": 0.01},
        "fit": {"epochs": 40, "metrics": ["r2"]},
    }
    columns = columns_of((*BASE[:3], "value"), [*ROWS] * 4)
    assert mxtrain.fit(config, data=columns, run_dir=Path("run")).history[-1]["val_r2"] > 0.6


def test_dates_of_a_frame_and_of_text_train_the_same_model() -> None:
    columns = columns_of(DATED, changed("planted", lambda i, day: None if i % 7 == 3 else day))
    as_text = {**columns, "planted": [day and f"{day:%d.%m.%Y}" for day in columns["planted"]]}
    assert isinstance(columns["planted"][0], date)
    models = [
        as_bytes(fit("in_memory", "health", "softmax_cross_entropy", data, run=run))
        for run, data in (("days", columns), ("text", as_text))
    ]
    assert models[0] == models[1]


def test_a_pattern_of_files_trains_and_the_run_is_evaluated() -> None:
    half = N_ROWS // 2
    for name, rows in (("part-1.csv", ROWS[:half]), ("part-2.csv", ROWS[half:])):
        pl.DataFrame(columns_of(rows=rows)).write_csv(name)
    pl.DataFrame(columns_of()).write_csv("whole.csv")
    parts = fit("part-*.csv", "health", "softmax_cross_entropy")
    assert as_bytes(parts) == as_bytes(fit("whole.csv", "health", "softmax_cross_entropy", run="whole"))
    run = mxtrain.load_run(parts.run_dir)
    assert run.evaluate(part="validation")["loss"] == parts.history[-1]["val_loss"]
    Path("part-3.csv").write_text(Path("part-2.csv").read_text())
    with pytest.raises(mxtrain.errors.DataChangedError):
        run.evaluate(part="validation")
