"""CSV files: values, classes, and error messages with their locations."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from mxtrain.config import run_from_dict
from mxtrain.config.data_section import DataConfig
from mxtrain.data import Table, load, prepare
from mxtrain.errors import DataError


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(
    content: str | bytes, target: str = "y", features: tuple[str, ...] | None = None, classes: bool = False
) -> Table:
    Path("train.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return load(DataConfig(source="train.csv", target=target, features=features), classes)


def test_numbers_are_read_in_the_order_of_the_file() -> None:
    table = read("age,y,height\n1,2.5,-3\n4e2,5,.5\n")
    assert table.column_names == ("age", "height")
    assert table.target_name == "y"
    assert table.class_names is None
    assert table.inputs.dtype == table.targets.dtype == np.float64
    assert table.inputs.tolist() == [[1, -3], [400, 0.5]]
    assert table.targets.tolist() == [2.5, 5]


def test_selected_features_keep_the_order_of_the_config_and_other_columns_may_hold_anything() -> None:
    table = read("name,a,b,y\nBob,1,2,3\n,4,5,6\n", features=("b", "a"))
    assert table.column_names == ("b", "a")
    assert table.inputs.tolist() == [[2, 1], [5, 4]]


@pytest.mark.parametrize(
    ("labels", "names", "targets"),
    [
        pytest.param(["cat", "ant", "cat"], ("ant", "cat"), [1, 0, 1], id="text"),
        pytest.param(["10", "9", "10"], ("9", "10"), [1, 0, 1], id="whole numbers are ordered as numbers"),
        pytest.param(["1.0", "01", "-2"], ("-2", "1"), [1, 1, 0], id="one number, one class"),
        pytest.param(["10", "9", "x"], ("10", "9", "x"), [0, 1, 2], id="one text makes all of them text"),
        pytest.param([" b", "a ", "b"], ("a", "b"), [1, 0, 1], id="blanks around do not count"),
        pytest.param(['"a,b"', "c", '"a,b"'], ("a,b", "c"), [0, 1, 0], id="quoted"),
    ],
)
def test_labels_become_classes(labels: list[str], names: tuple[str, ...], targets: list[int]) -> None:
    table = read("x,y\n" + "".join(f"{row},{label}\n" for row, label in enumerate(labels)), classes=True)
    assert table.class_names == names
    assert table.targets.dtype == np.int64
    assert table.targets.tolist() == targets


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("x,y\n1,2\n", id="plain"),
        pytest.param("x,y\r\n1,2\r\n", id="written on Windows"),
        pytest.param(b"\xef\xbb\xbfx,y\n1,2\n", id="with a byte order mark"),
        pytest.param("x,y\n1,2", id="no newline at the end"),
        pytest.param("\nx,y\n\n1,2\n\n", id="blank lines"),
        pytest.param("x,y\n1,2\n  \n\t\n", id="lines of blanks"),
        pytest.param("x,y\r1,2\r", id="written on an old Mac"),
        pytest.param(" x , y\n 1 , 2\n", id="blanks around"),
        pytest.param('"x","y"\n"1","2"\n', id="quoted"),
    ],
)
def test_common_notations_of_one_table(content: str | bytes) -> None:
    table = read(content)
    assert (table.column_names, table.inputs.tolist(), table.targets.tolist()) == (("x",), [[1]], [2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "train.csv:1: is empty; the first line must name the columns"),
        ("\n\n", "train.csv:1: is empty; the first line must name the columns"),
        ("x,y\n", "train.csv: has a header but no samples"),
        ("x,y,x\n1,2,3\n", "train.csv:1: 2 columns are named 'x'; rename them"),
        ("x,Y\n1,2\n", "train.csv:1: data.target: there is no column 'y'; did you mean 'Y'?"),
        ("a;b\n1;2\n", "train.csv:1: data.target: there is no column 'y'; there are: 'a', 'b'"),
        ("y\n1\n", "train.csv:1: there is no column besides the target 'y' to predict it from"),
        ("x,y\n1,2\n3\n", "train.csv:3: must have 2 values, as the header has, got 1"),
        ("x,y\n1,2\n1,2,3\n", "train.csv:3: must have 2 values, as the header has, got 3"),
        (
            "x,y\n" + "".join(f"{i},2\n" for i in range(20)) + "abc,3\n",
            "train.csv:22: column 'x': must be a number, as most values of the column, got 'abc'; correct it, or, if it marks a missing value, set data.missing_values: [abc], or, if the column holds categories, data.columns: {x: category}",
        ),
        (
            "x,y\n1,2\n3,abc\n4,nothing\n",
            (
                "train.csv:3: column 'y': must be a number, got 'abc'; correct it, or, if it marks a missing value, set data.missing_values: [abc, nothing]\n"
                "train.csv:4: column 'y': must be a number, got 'nothing'; correct it, or, if it marks a missing value, set data.missing_values: [abc, nothing]"
            ),
        ),
        (
            "x,y\n1,2\n3,1_0\n",
            "train.csv:3: column 'y': must be a number, got '1_0'; correct it, or, if it marks a missing value, set data.missing_values: ['1_0']",
        ),
        (
            "x,y\n1,-inf\n",
            "train.csv:2: column 'y': must be a number, got '-inf'; correct it, or, if it marks a missing value, set data.missing_values: ['-inf']",
        ),
        (
            'x,y\n"1\n\n",2\n3,inf\n',
            "train.csv:5: column 'y': must be a number, got 'inf'; correct it, or, if it marks a missing value, set data.missing_values: [inf]",
        ),
        ('x,y\n1,2\n"3,4\n5,6\n', "train.csv:3: has a quote that is not closed"),
        ("x,y\n1,2\n3,4\0\n", "train.csv:3: has a NUL byte; it is not a text file"),
    ],
)
def test_errors_name_their_location(content: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(content)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("1,234", 1234), ("1,234,567.5", 1234567.5), ("0,5", 0.5), ("-3,25", -3.25), ("1.234,5", 1234.5)),
        *(("1 234", 1234), ("1'234", 1234), ("5%", 5), ("$3", 3), ("7.5 €", 7.5), ("\u22125", -5), ("(3)", -3)),
    ],
)
def test_a_formatted_number_is_a_number(text: str, number: float) -> None:
    table = read(f'x,y\n8,1\n"{text}",2\n')
    assert table.inputs.tolist() == [[8], [number]]


@pytest.mark.parametrize("text", ["1.2.3", "4-5", "10k", "1,2,3", "A5", "1:2", "3rd", "50-60%"])
def test_text_with_digits_is_a_category(text: str) -> None:
    assert read(f'x,y\n"{text}",1\n2,2\n').labels["x"] in [("2", text), (text, "2")]


def test_columns_that_are_not_selected_may_hold_anything() -> None:
    """pandas writes an index without a name, and a trailing comma in each line adds a column without a name."""
    table = read(f",x,a,b,t,y,\n0,1,,2024-01-01,{'q' * 200_000},2,\n", features=("x",))
    assert (table.inputs.tolist(), table.targets.tolist()) == ([[1]], [2])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (("agee",), "train.csv:1: data.features: there is no column 'agee'; did you mean 'age'?"),
        (("age", "y"), "train.csv:1: data.features: 'y' is the target; leave it out"),
        (("age", "age"), "train.csv:1: data.features: 'age' is named twice"),
    ],
)
def test_invalid_feature_selections(features: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read("age,y\n1,2\n", features=features)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "a"], "train.csv: column 'y': every sample is of the class 'a'; there must be at least two classes"),
        (
            ["1", "1.5"],
            (
                "train.csv: column 'y': a class must be a whole number or text, got 1.5; "
                "to predict numbers, set loss: squared_error"
            ),
        ),
    ],
)
def test_labels_that_are_not_classes(labels: list[str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(numbered(labels), classes=True)
    assert str(caught.value) == message


def numbered(labels: Iterable[object]) -> str:
    return "x,y\n" + "".join(f"{row % 7},{label}\n" for row, label in enumerate(labels))


@pytest.mark.parametrize("gap", ["", " ", "NaN", "?"])
@pytest.mark.parametrize("classes", [True, False])
def test_a_sample_without_a_target_is_left_out(gap: str, classes: bool) -> None:
    table = read(f"x,y\n1,3\n2,{gap}\n4,5\n", classes=classes)
    assert table.inputs.tolist() == [[1], [4]]
    assert table.targets.tolist() == ([0, 1] if classes else [3, 5])
    assert list(table.notes) == ["left out 1 sample without the target 'y'"]


def test_many_different_numbers_are_not_classes() -> None:
    with pytest.raises(DataError) as caught:
        read(numbered([*range(21), *range(20)]), classes=True)
    assert str(caught.value) == (
        "train.csv: column 'y': 21 different numbers among 41 samples are not classes; "
        "to predict numbers, set loss: squared_error, or choose another target"
    )


@pytest.mark.parametrize(
    "labels",
    [[*range(21), *range(21)], range(20), [f"c{i}" for i in range(30)], [*range(30), "other"]],
    ids=["each twice", "a few", "names", "numbers and names"],
)
def test_many_classes_are_accepted_if_they_are_text_or_frequent(labels: Sequence[object]) -> None:
    assert len(read(numbered(labels), classes=True).class_names or ()) == len(set(labels))


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "logistic"])
def test_a_wrong_loss_is_reported_before_the_split_that_it_makes_impossible(loss: str) -> None:
    Path("prices.csv").write_text(numbered(range(100, 400, 3)))
    run = {
        "data": {"source": "prices.csv", "target": "y", "validation": 0.2},
        "model": {"kind": "linear"},
        "loss": loss,
        "optimizer": {"kind": "adam"},
    }
    with pytest.raises(DataError, match=r"prices\.csv: column 'y': 100 different numbers .* set loss: squared_error"):
        prepare(run_from_dict(run))
    prepare(run_from_dict({**run, "loss": "squared_error"}))


@pytest.mark.parametrize("extension", ["csv", "npz"])
def test_a_source_that_cannot_be_opened(extension: str) -> None:
    Path(f"folder.{extension}").mkdir()
    for name, reason in ((f"gone.{extension}", "No such file or directory"), (f"folder.{extension}", "Is a directory")):
        with pytest.raises(DataError) as caught:
            load(DataConfig(source=name, target="y"), classes=False)
        assert str(caught.value) == f"{name}: cannot be read: {reason}"


def test_the_time_is_linear_in_the_number_of_columns() -> None:
    """A linear search for each name would take minutes."""
    width = 50_000
    names = [f"x{i}" for i in range(width)]
    table = read(",".join([*names, "y"]) + "\n" + ",".join("1" * (width + 1)) + "\n", features=tuple(names[::-1]))
    assert table.inputs.shape == (1, width)


def test_a_long_name_is_shortened_in_messages() -> None:
    with pytest.raises(DataError) as caught:
        read("x" * 10_000 + ",z\n1,2\n")
    assert len(str(caught.value)) < 200
