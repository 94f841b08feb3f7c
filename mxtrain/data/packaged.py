"""The data sets that come with the package; `tables/NOTICE.md` says where they are from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import BinaryIO, cast

from mxtrain.data.npz_file import read_npz
from mxtrain.data.table import Table


@dataclass(frozen=True, slots=True)
class Packaged:
    """A file in `tables/`: the array to predict, and the names of the features."""

    target: str
    feature_names: tuple[str, ...]


PACKAGED: Mapping[str, Packaged] = {
    "digits": Packaged("digit", tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))),
    "diabetes": Packaged("progression", ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")),
}
"""`digits`: 1,797 images of 8 x 8 pixels in ten classes. `diabetes`: 442 patients, a number to predict."""


def load_packaged(name: str, classes: bool) -> Table:
    """A data set in the package.

    Example:
        >>> load_packaged("digits", classes=True).inputs.shape
        (1797, 64)
    """
    entry = PACKAGED[name]
    with files("mxtrain.data").joinpath("tables", f"{name}.npz").open("rb") as file:
        table = read_npz(cast("BinaryIO", file), name, entry.target, None, classes)
    return replace(table, column_names=entry.feature_names, class_dtype="int64" if classes else "str")
