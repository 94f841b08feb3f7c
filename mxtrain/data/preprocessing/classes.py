"""Class labels: their names in a fixed order, the index of each sample's class, and the dtype of predictions."""

import re
from collections import Counter
from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.readers.numpy_files import encode_labels
from mxtrain.data.readers.values import label_indices, merge_spellings
from mxtrain.errors import DataError
from mxtrain.types import describe

CLASS_DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "str"),
)
"""The dtypes that predicted classes may have."""
_MANY_CLASSES = 20
"""The number of numeric classes above which each needs two samples on average."""


def number_classes(
    labels: Sequence[str], codes: NDArray[np.int64], where: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the classes in an order that does not depend on the order of samples, and the class of each sample.

    If all labels are whole numbers, they are ordered as numbers, and `1`, `01` and `1.0` are one class. Otherwise they
    are ordered as text, by code point. A class with one spelling, without a decimal point, keeps it.

    Args:
        labels: the different labels.
        codes: (n,); the label of sample i is `labels[codes[i]]`.
        where: the location for error messages.

    Returns:
        The names of the classes, and the index of each sample's class, (n,).

    Raises:
        DataError: a label is `nan`, infinite, or a number that is not whole; there are too many different numbers for
            the number of samples; or there is only one class.

    Example:
        >>> number_classes(["10", "9", "9.0"], np.array([0, 1, 1, 2]), "a.csv")
        (('9', '10'), array([1, 0, 0, 0]))
    """
    for label in labels:
        if not is_label(label):
            raise DataError(f"{where}: must be the name or number of a class, got {describe(label)}")
    numbers = [_parse_number(label) for label in labels]
    if None in numbers:
        labels, codes = merge_spellings(labels, codes)
    keys: Sequence[Any] = labels
    if None not in numbers:
        keys = [_whole_number(number, where) for number in numbers]
    order = sorted(set(keys))
    if len(order) < 2:
        raise DataError(f"{where}: every sample is of the class {str(order[0])!r}; there must be at least two classes")
    if None not in numbers and len(order) > _MANY_CLASSES and 2 * len(order) > len(codes):
        raise DataError(
            f"{where}: {len(order):,} different numbers among {len(codes):,} samples are not classes; "
            "to predict numbers, set loss: squared_error, or choose another target"
        )
    rank = {key: i for i, key in enumerate(order)}
    names = [str(key) for key in order]
    times = Counter(keys)
    for key, label in zip(keys, labels, strict=True):
        if times[key] == 1 and re.fullmatch("-?[0-9]+", label):
            names[rank[key]] = label
    return tuple(names), np.array([rank[key] for key in keys], dtype=np.int64)[codes]


def classes_of_array(targets: NDArray[Any], where: str) -> tuple[tuple[str, ...], NDArray[np.int64], str]:
    """Return the classes of an array of labels, (n,), the class of each sample, and the dtype of predictions.

    Raises:
        DataError: as for `number_classes`.
    """
    names, indices = number_classes(*encode_labels(targets, where), where)
    return names, indices, class_dtype(names, "str" if targets.dtype.kind == "U" else targets.dtype.name)


def class_indices(labels: Sequence[str], class_names: Sequence[str]) -> list[int]:
    """Return the index of the class that each label denotes, by the rules of `number_classes`; -1 for an unknown label.

    >>> class_indices(["9.0", "10", "11"], ["9", "10"]), class_indices(["cat", "dog"], ["ant", "cat"])
    ([0, 1, -1], [1, -1])
    """
    rank: dict[Any, int] = {name: i for i, name in enumerate(class_names)}
    if all(isinstance(_parse_number(name), int) for name in class_names):
        rank |= {int(name): i for i, name in enumerate(class_names)}
    texts = [label.strip() for label in labels]
    alike = label_indices(texts, class_names)
    return [
        rank.get(text, rank.get(_parse_number(text), position)) for text, position in zip(texts, alike, strict=True)
    ]


def class_dtype(class_names: Sequence[str], labels_dtype: str | None) -> str:
    """Return the dtype of predicted classes: NumPy's name of the dtype of the labels, `str` for text.

    Args:
        class_names: the classes.
        labels_dtype: the dtype of the labels; None for data without types, such as CSV, where classes that are all
            integers are `int64`, and `true` and `false` are `bool`.

    Example:
        >>> class_dtype(["0", "1"], None), class_dtype(["0", "1"], "str"), class_dtype(["False", "True"], None)
        ('int64', 'str', 'bool')
    """
    dtype = labels_dtype
    if dtype is None:
        if all(name.lower() in ("true", "false") for name in class_names):
            return "bool"
        numbers = [_parse_number(name) for name in class_names]
        is_integer = all(
            number is not None and str(number) == name for number, name in zip(numbers, class_names, strict=True)
        )
        dtype = "int64" if is_integer else "str"
    if dtype == "int64":  # Python's integers have no bounds
        array = np.array([int(name) for name in class_names])
        dtype = array.dtype.name if array.dtype.kind in "iu" else "str"
    return dtype if dtype in CLASS_DTYPES else "float64" if dtype.startswith("float") else "str"


def class_array(dtype: str, class_names: Sequence[str]) -> NDArray[Any]:
    """Return the classes as an array of a dtype that `class_dtype` returned; a ValueError if one does not fit.

    >>> class_array("int64", ["0", "1"]), class_array("bool", ["False", "True"])
    (array([0, 1]), array([False,  True]))
    """
    if dtype == "str":
        return np.array(class_names)
    if dtype == "bool":
        return np.array([name.lower() == "true" for name in class_names])
    return np.array([int(name) for name in class_names], dtype=dtype)


def is_label(text: str) -> bool:
    """Return True if a text can name a class; blank text, NaN and infinities cannot.

    >>> is_label("setosa"), is_label("3"), is_label(" "), is_label("nan")
    (True, True, False, False)
    """
    number = _parse_number(text)
    return bool(text.strip()) if number is None else isinstance(number, int) or isfinite(number)


def _parse_number(text: str) -> int | float | None:
    for convert in (int, float):
        try:
            return convert(text) if "_" not in text else None
        except ValueError:
            continue
    return None


def _whole_number(number: Any, where: str) -> int:
    if number != int(number):
        raise DataError(
            f"{where}: a class must be a whole number or text, got {number}; "
            "to predict numbers, set loss: squared_error"
        )
    return int(number)
