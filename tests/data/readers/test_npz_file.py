"""NPZ archives: arrays, classes, and error messages with their locations."""

from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

from mxtrain.config.data_section import DataConfig
from mxtrain.data import Table, load
from mxtrain.errors import DataError

NAN = float("nan")


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(features: tuple[str, ...] | None = None, classes: bool = False, **arrays: Any) -> Table:
    np.savez("train.npz", **arrays)
    return load(DataConfig(source="train.npz", target="y", features=features), classes)


def test_images_are_flattened_and_keep_their_dtype() -> None:
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    table = read(images=images, y=np.array([1, 2, 3]))
    assert table.inputs.dtype == np.uint8
    assert table.inputs.tolist() == images.reshape(3, 4).tolist()
    assert table.column_names == ("images[0]", "images[1]", "images[2]", "images[3]")
    assert table.targets.dtype == np.float64
    assert table.targets.tolist() == [1, 2, 3]


def test_one_feature_and_a_target_in_a_column_may_have_either_shape() -> None:
    table = read(x=[1.0, 2.0], y=[[3.0], [4.0]])
    assert table.inputs.tolist() == [[1], [2]]
    assert table.targets.tolist() == [3, 4]


def test_one_of_several_arrays_is_selected() -> None:
    assert read(("b",), a=[1.0, 2.0], b=[3.0, 4.0], y=[5.0, 6.0]).inputs.tolist() == [[3], [4]]


@pytest.mark.parametrize(
    ("y", "names", "targets"),
    [
        ([10, 9, 10], ("9", "10"), [1, 0, 1]),
        ([1.0, -2.0, 1.0], ("-2", "1"), [1, 0, 1]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
        (["cat", "ant", "cat"], ("ant", "cat"), [1, 0, 1]),
        (np.array([[3], [5]], dtype=np.uint8), ("3", "5"), [0, 1]),
    ],
)
def test_numbers_and_text_become_classes(y: Any, names: tuple[str, ...], targets: list[int]) -> None:
    table = read(classes=True, x=np.zeros(len(y)), y=y)
    assert table.class_names == names
    assert table.targets.dtype == np.int64
    assert table.targets.tolist() == targets


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": [1.0]}, "train.npz: data.target: there is no array 'y'; there are: 'x'"),
        ({"x": [1.0], "Y": [1.0]}, "train.npz: data.target: there is no array 'y'; did you mean 'Y'?"),
        ({}, "train.npz: data.target: there is no array 'y'; there are none"),
        ({"y": [1.0]}, "train.npz: there is no array besides the target 'y' to predict it from"),
        ({"a": [1.0], "b": [1.0], "y": [1.0]}, "train.npz: data.features: must be one array, out of 'a', 'b'"),
        (
            {"x": 1.0, "y": [1.0]},
            "train.npz: array 'x': must hold at least one sample and one feature, got the shape ()",
        ),
        (
            {"x": np.zeros((0, 3)), "y": []},
            "train.npz: array 'x': must hold at least one sample and one feature, got the shape (0, 3)",
        ),
        (
            {"x": np.zeros((3, 0)), "y": [1.0, 2.0, 3.0]},
            "train.npz: array 'x': must hold at least one sample and one feature, got the shape (3, 0)",
        ),
        ({"x": [1j], "y": [1.0]}, "train.npz: array 'x': must hold numbers, got the dtype complex128"),
        ({"x": ["a"], "y": [1.0]}, "train.npz: array 'x': must hold numbers, got the dtype <U1"),
        ({"x": [1.0], "y": ["a"]}, "train.npz: array 'y': must hold numbers, got the dtype <U1"),
        (
            {"x": np.array([{}], dtype=object), "y": [1.0]},
            "train.npz: array 'x': cannot be read: Object arrays cannot be loaded when allow_pickle=False",
        ),
        (
            {"x": [[1.0, 2.0], [3.0, NAN]], "y": [1.0, 2.0]},
            "train.npz: array 'x': [1, 1]: must be a finite number, got nan",
        ),
        ({"x": [1.0, 2.0], "y": [np.inf, 1.0]}, "train.npz: array 'y': [0]: must be a finite number, got inf"),
        ({"x": [1.0, 2.0], "y": [1.0]}, "train.npz: array 'y': must hold 2 values, one for each sample, got 1"),
        (
            {"x": [1.0, 2.0], "y": np.zeros((2, 3, 1))},
            "train.npz: array 'y': must hold one value for each sample, got the shape (2, 3, 1)",
        ),
        ({"x": [1.0], "y": 1.0}, "train.npz: array 'y': must hold one value for each sample, got the shape ()"),
    ],
)
def test_errors_name_their_location(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(**arrays)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1.0, 1.5], "a class must be a whole number or text, got 1.5; to predict numbers, set loss: squared_error"),
        ([1.0, NAN], "[1]: must be a finite number, got nan"),
        ([3, 3], "every sample is of the class '3'; there must be at least two classes"),
        ([1j, 2j], "must hold numbers, got the dtype complex128"),
    ],
)
def test_values_that_are_not_classes(y: list[Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(classes=True, x=[1.0, 2.0], y=y)
    assert str(caught.value) == f"train.npz: array 'y': {message}"


def refusal(content: bytes) -> str | None:
    """Return the error message for a file; None if it can be read."""
    Path("train.npz").write_bytes(content)
    try:
        load(DataConfig(source="train.npz", target="y"), classes=False)
    except DataError as error:
        return str(error)
    return None


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"PK\x03\x04 and then nothing", b"\x80\x04K\x01."])
def test_files_that_are_not_archives(content: bytes) -> None:
    assert refusal(content) == "train.npz: is not an .npz archive, or a damaged one; np.savez writes them"


def test_an_npy_file_is_not_an_archive() -> None:
    np.save("plain.npy", np.zeros(3))
    assert "is not an .npz archive" in str(refusal(Path("plain.npy").read_bytes()))


def test_a_member_that_is_not_an_array() -> None:
    np.savez("train.npz", x=[1.0])
    with ZipFile("train.npz", "a") as archive:
        archive.writestr("y", "1.0")
    assert refusal(Path("train.npz").read_bytes()) == "train.npz: 'y' is not an array"


def test_a_damaged_archive_is_read_or_refused_in_one_line() -> None:
    """A truncated file, or one with a changed byte, is read or refused with a DataError of one line."""
    np.savez_compressed("good.npz", x=np.arange(1000.0), y=np.arange(1000.0))
    good = Path("good.npz").read_bytes()
    assert refusal(good) is None
    cut = [refusal(good[:length]) for length in range(0, len(good), 37)]
    assert all(cut)
    changed = [refusal(good[:i] + bytes([good[i] ^ 0xFF]) + good[i + 1 :]) for i in range(0, len(good), 5)]
    assert all(message.startswith("train.npz: ") and "\n" not in message for message in cut + changed if message)
