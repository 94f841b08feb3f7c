"""Tables for a trained model: another format than that of the training data, and what the model knows of its columns."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from mxtrain.config import run_from_dict
from mxtrain.data.dataset import prepare
from mxtrain.data.evaluation_data import samples_from_memory
from mxtrain.data.inference_data import inputs_from_memory, load_for_prediction
from mxtrain.data.prediction_chunks import prediction_chunks
from mxtrain.data.preprocessing.preprocessing import Preprocessing
from mxtrain.errors import DataError
from mxtrain.training.resume_checks import resolve_with_data

MODEL = {"model": {"kind": "linear"}, "optimizer": {"kind": "sgd", "η": 0.1}}
SIZES = ["small", "big"]


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fit(content, target="y", loss="squared_error", **data):
    """Return the config and the preprocessing of a run on a training file, as a saved run has them."""
    Path("train.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    section = {"source": "train.csv", "target": target, "validation": 0.0, **data}
    config = run_from_dict({"data": section, "loss": loss, **MODEL}).resolve()
    dataset = prepare(config)
    resolved = resolve_with_data(config, (dataset, ""))
    return resolved.data, Preprocessing.from_dict(dataset.preprocessing.to_dict())


def predict(content, config, fitted, name="new.csv", **options):
    """Return the inputs of a model for a new file; one chunk."""
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    [chunk] = prediction_chunks(name, fitted, config, **options)
    return chunk


def table(separator=";", decimal=",", header=True):
    rows = [f"{i},{i % 4}5;{SIZES[i % 2]};{i % 7},5" for i in range(20)]
    lines = (["age;size;y"] if header else []) + rows
    return "\n".join(lines).replace(",", decimal).replace(";", separator) + "\n"


EUROPEAN = table()
NEW = "age;size;y\n3,25;big;1\n4,5;small;2\n"


@pytest.mark.parametrize(
    ("new", "name"),
    [
        (NEW, "new.csv"),
        ("age,size\n3.25,big\n4.5,small\n", "new.csv"),
        ("size\tid\tage\nbig\tx\t3.25\nsmall\ty\t4.5\n", "new.tsv"),
        ('age,size\n"3,25",big\n"4,5",small\n', "new.csv"),
        ("# 2020\nage|size\n3.25|big\n4.5|small\n", "new.txt"),
        (NEW.encode("utf-16"), "new.csv"),
        (gzip.compress(NEW.encode(), mtime=0), "new.csv.gz"),
        (NEW.replace("\n", "\r\n"), "NEW.CSV"),
        ("AGE;Size\n3,25;big\n4,5;small\n", "new.csv"),
        ('{"age": 3.25, "size": "big"}\n{"age": 4.5, "size": "small"}\n', "new.jsonl"),
        ('{"age": "3,25", "size": "big"}\n{"age": "4,5", "size": "small"}\n', "new.jsonl"),
    ],
)
def test_a_new_file_may_have_another_format(new, name):
    config, fitted = fit(EUROPEAN)
    expected = inputs_from_memory({"age": [3.25, 4.5], "size": ["big", "small"]}, fitted)
    assert predict(new, config, fitted, name).inputs.tolist() == expected.tolist()
    assert load_for_prediction(name, fitted, settings=config)[0].tolist() == expected.tolist()


def test_the_decimal_mark_of_training_decides_where_a_new_file_does_not_show_its_own():
    config, fitted = fit(EUROPEAN)
    chunk = predict("age;size\n1.234;big\n2;big\n", config, fitted)
    expected = inputs_from_memory({"age": [1234, 2], "size": ["big", "big"]}, fitted)
    assert chunk.inputs.tolist() == expected.tolist()
    text = inputs_from_memory({"age": ["1.234", "2"], "size": ["big", "big"]}, fitted, config)
    assert text.tolist() == expected.tolist()


def test_encodings_of_new_files():
    cells = "".join(f"{i},{['Łódź', 'Kraków'][i % 2]},{i}\n" for i in range(20))
    config, fitted = fit(("age,city,y\n" + cells).encode("cp1250"), encoding="cp1250")
    for encoding in ("cp1250", "utf-8", "utf-16"):
        chunk = predict("age,city\n3,Łódź\n".encode(encoding), config, fitted)
        assert chunk.notes == ()
        assert chunk.inputs[0, 1:].tolist() == [0, 1]


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_held_out_file_may_have_another_format(part):
    Path("held.csv").write_text("y,age,size\n1.5,3.25,big\nNA,4.5,x\n")
    Path("train.csv").write_text(EUROPEAN)
    data = {"source": "train.csv", "target": "y", "validation": 0.0, part: "held.csv"}
    dataset = prepare(run_from_dict({"data": data, "loss": "squared_error", **MODEL}).resolve())
    samples = getattr(dataset, part)
    assert len(samples) == 1
    np.testing.assert_array_equal(
        samples.inputs, inputs_from_memory({"age": [3.25], "size": ["big"]}, dataset.preprocessing)
    )


def test_marks_of_missing_values_hold_for_held_out_files_and_frames():
    Path("held.csv").write_text("age,y\n-99,1\n3,2\n")
    Path("train.csv").write_text("age,y\n" + "".join(f"{i},{i % 5}\n" for i in range(20)) + "-99,2\n")
    data = {"source": "train.csv", "target": "y", "validation": "held.csv", "missing_values": ["-99"]}
    config = run_from_dict({"data": data, "loss": "squared_error", **MODEL}).resolve()
    dataset = prepare(config)
    assert dataset.validation.inputs[:, 1].tolist() == [1, 0]
    frame = {"age": ["-99", "3"], "y": ["1", "2"]}
    inputs, _ = samples_from_memory(frame, dataset.preprocessing, settings=config.data)
    assert inputs.tolist() == dataset.validation.inputs.tolist()


@pytest.mark.parametrize(
    ("target", "new", "expected"),
    [
        ("0", "1,7,a\n3,8,b\n", [[7, "a"], [8, "b"]]),
        ("0", "7,a\n8,b\n", [[7, "a"], [8, "b"]]),
        ("0", "7;a\n", [[7, "a"]]),
        ("2", "7,1\n8,3\n", [["7", "1"], ["8", "3"]]),
    ],
)
def test_columns_without_names_are_identified_by_their_positions(target, new, expected):
    rows = "".join(f"{i % 3},{i * 7 % 11}.5,{'ab'[i % 2]}\n" for i in range(30))
    loss = "softmax_cross_entropy" if target == "2" else "squared_error"
    config, fitted = fit(rows, target=target, loss=loss)
    assert config.header is False
    names = [name for name in "012" if name != target]
    columns = {name: [row[i] for row in expected] for i, name in enumerate(names)}
    assert predict(new, config, fitted).inputs.tolist() == inputs_from_memory(columns, fitted).tolist()


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (
            "1,2\n",
            "new.csv: must have 4 columns, or 3 without the target, in the order of the training data, which did ",
        ),
        ("1,2,3,4,5\n", "which did not name them, got 5"),
        ("u,v,w\n1.5,2,3\n4.5,5,6\n", "new.csv:1: must be a row of values, as the training data, which did not name"),
    ],
)
def test_positions_that_cannot_be_known_are_refused(new, message):
    rows = "".join(f"{i % 3},{i * 7 % 11}.5,{i * 5 % 13},{i * 3 % 17}\n" for i in range(30))
    config, fitted = fit(rows, target="0")
    with pytest.raises(DataError) as caught:
        predict(new, config, fitted)
    assert message in str(caught.value)


def test_names_in_the_config_suit_new_files_with_and_without_a_header():
    rows = "".join(f"{i % 3},{i * 7 % 11}.5\n" for i in range(30))
    config, fitted = fit(rows, header=["y", "age"])
    expected = inputs_from_memory({"age": [3.5]}, fitted).tolist()
    for new in ("1,3.5\n", "3.5\n", "age\n3.5\n", "age,y,z\n3.5,1,2\n"):
        assert predict(new, config, fitted).inputs.tolist() == expected


def test_a_new_file_without_a_header_is_refused():
    config, fitted = fit(EUROPEAN)
    with pytest.raises(DataError) as caught:
        predict("3,25;big;1\n4,5;small;2\n5,5;small;2\n", config, fitted)
    assert str(caught.value) == (
        "new.csv:1: must name the columns, got a row of values; add a line before it with their names: 'age', 'size'"
    )


DAYS = [f"{1 + i:02}/{1 + 5 * i % 12:02}/2020" for i in range(28)]


def dated(days):
    return "day,y\n" + "".join(f"{day},{i % 5}\n" for i, day in enumerate(days))


@pytest.mark.parametrize(
    ("days", "data", "format_", "new", "day"),
    [
        (DAYS, {}, "%d/%m/%Y", "03/04/2020", "2020-04-03"),
        ([f"{day[3:5]}/{day[:2]}/2020" for day in DAYS], {}, "%m/%d/%Y", "03/04/2020", "2020-03-04"),
        (DAYS[:11], {}, "%m/%d/%Y", "13/04/2020", None),
        (DAYS[:11], {"date_format": {"day": "%d/%m/%Y"}}, "%d/%m/%Y", "13/04/2020", "2020-04-13"),
        (DAYS, {}, "%d/%m/%Y", "2020-04-03", "2020-04-03"),
        (DAYS, {}, "%d/%m/%Y", "3 April 2020", "2020-04-03"),
        (DAYS, {}, "%d/%m/%Y", "03/04/2020 00:00", "2020-04-03"),
        (DAYS, {}, "%d/%m/%Y", "12/31/2020", None),
        (DAYS, {}, "%d/%m/%Y", "04-03-2020", None),
        ([day + " 10:30" for day in DAYS], {}, "%d/%m/%Y", "03/04/2020 00:00", "2020-04-03"),
        (
            [day.replace("/", "-") + " 10h30" for day in DAYS],
            {"date_format": {"day": "%d-%m-%Y %Hh%M"}},
            "%d-%m-%Y %Hh%M",
            "03-04-2020 00h00",
            "2020-04-03",
        ),
        ([f"2020Q{1 + i % 4}" for i in range(20)], {}, "%YQ%q", "2020Q2", "2020-04-01"),
        ([f"2020-{1 + i % 12:02}" for i in range(20)], {}, "%Y-%m", "2020-04", "2020-04-01"),
    ],
)
def test_dates_of_new_files_have_the_format_of_training(days, data, format_, new, day):
    config, fitted = fit(dated(days), **data)
    assert config.date_format == {"day": format_}
    chunk = predict(f"day\n{new}\n", config, fitted)
    assert chunk.valid.tolist() == [day is not None]
    if day is not None:
        expected = inputs_from_memory({"day": np.array([day], dtype="datetime64[D]")}, fitted)
        assert chunk.inputs.tolist() == expected.tolist()
        assert inputs_from_memory({"day": [new]}, fitted).tolist() == expected.tolist()


def test_an_order_that_no_value_shows_is_reported_unless_it_is_set():
    content = dated(DAYS[:11])
    expected = (
        "column 'day': the month is taken to be first, as no value shows the order; otherwise set data.date_format: "
        "{day: '%d/%m/%Y'}"
    )
    for data, count in (({}, 1), ({"date_format": {"day": "%d/%m/%Y"}}, 0)):
        Path("train.csv").write_text(content)
        section = {"source": "train.csv", "target": "y", **data}
        notes = prepare(run_from_dict({"data": section, "loss": "squared_error", **MODEL}).resolve()).notes
        assert [note for note in notes if "is taken to be first" in note] == count * [expected]


@pytest.mark.parametrize("sure", [DAYS[13:24], ["1,5"] * 11])
def test_other_columns_show_the_order(sure):
    rows = "".join(f"{day};{other};{i}\n" for i, (day, other) in enumerate(zip(DAYS[:11], sure, strict=True)))
    config, _ = fit("day;other;y\n" + rows)
    assert config.date_format["day"] == "%d/%m/%Y"


def test_a_model_that_was_trained_on_typed_dates_does_not_guess_the_order():
    days = np.arange("2020-01-01", "2020-01-21", dtype="datetime64[D]")
    Path("train.jsonl").write_text("".join(f'{{"day": "{day}", "y": {i}}}\n' for i, day in enumerate(days)))
    config, fitted = fit(dated([str(day) for day in days]))
    old = Preprocessing.from_dict(
        {
            **fitted.to_dict(),
            "columns": [{k: v for k, v in c.items() if k != "date_format"} for c in fitted.to_dict()["columns"]],
        }
    )
    config = config.model_copy(update={"date_format": None})
    assert predict("day\n2020-01-05\n", config, old).valid.tolist() == [True]
    assert predict("day\n25/01/2020\n", config, old).valid.tolist() == [True]
    with pytest.raises(DataError, match=r"may have the day or the month first, as '05/01/2020'"):
        predict("day\n05/01/2020\n", config, old)


def test_categories_of_a_model_are_no_marks_of_missing_values():
    config, fitted = fit(EUROPEAN.replace("small", "none"))
    known = fitted.to_dict()
    known["columns"][1]["values"] = ["NA", "none"]
    known |= {"class_names": ["?", "NA"], "target_dtype": "int64", "target_scale": None}
    old = Preprocessing.from_dict(known)
    chunk = predict("age;size\n1;NA\n2;none\n3;na\n", config, old)
    assert chunk.inputs[:, 1:].tolist() == [[1, 0], [0, 1], [0, 0]]
    Path("new.csv").write_text("age;size;y\n1;NA;?\n2;none;NA\n")
    assert load_for_prediction("new.csv", old, True, settings=config)[1].tolist() == [0, 1]
    assert inputs_from_memory({"age": [1], "size": ["NA"]}, old)[:, 1:].tolist() == [[1, 0]]
