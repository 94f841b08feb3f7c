"""Which reader a table's file needs, and which of its columns are read as what."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from mxtrain.config.data_section import DataConfig
from mxtrain.data.columns import Choose, Columns, Kind
from mxtrain.data.csv_file import read_csv
from mxtrain.data.json_lines import read_json_lines
from mxtrain.data.opening import opened
from mxtrain.data.polars_file import read_arrow, read_parquet
from mxtrain.data.table import check_known, choose_features

_READERS: Mapping[str, Callable[[BinaryIO, str, Choose], Columns]] = {
    ".csv": read_csv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
}


def read_columns(source: str, choose: Choose) -> Columns:
    """Columns of a file whose name says what it is.

    Raises:
        DataError: the file is missing, cannot be read, or holds what is no number and no text.
    """
    with opened(source) as file:
        return _READERS[Path(source).suffix.lower()](file, source, choose)


def columns_to_train_on(config: DataConfig, classes: bool) -> Choose:
    """What a config asks of a table: its features and, at the end, its target."""
    target, categorical = config.target or "", config.categorical or ()

    def choose(header: str, names: Sequence[str]) -> Mapping[str, Kind | None]:
        features = choose_features(header, "column", names, target, config.features)
        check_known(f"{header}: data.categorical", "feature", features, *categorical)
        kinds: dict[str, Kind | None] = {name: "text" if name in categorical else None for name in features}
        return kinds | {target: "text" if classes else "number"}

    return choose


def columns_to_predict_from(features: Mapping[str, Kind], target: str, classes: bool) -> Choose:
    """What a trained model asks of a table: its features as they were, and its target if it is there and not `""`."""

    def choose(header: str, names: Sequence[str]) -> Mapping[str, Kind | None]:
        check_known(header, "column", names, *features)
        kinds: dict[str, Kind | None] = dict(features)
        return kinds | ({target: "text" if classes else "number"} if target and target in names else {})

    return choose
