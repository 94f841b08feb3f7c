"""From the config's `data.source` to a table."""

from mxtrain.config.data_section import TABLES, DataConfig, has_ending
from mxtrain.data.npz_file import read_npz
from mxtrain.data.opening import opened
from mxtrain.data.packaged import load_packaged
from mxtrain.data.table import Table
from mxtrain.data.table_file import columns_to_train_on, read_columns
from mxtrain.data.tabulate import tabulate
from mxtrain.errors import DataError


def load(config: DataConfig, classes: bool) -> Table:
    """The table that a config names.

    Args:
        config: what to read; a relative path is relative to the working directory.
        classes: whether the target names classes or is a number.

    Raises:
        DataError: the file is missing, cannot be read, or holds anything that cannot be learnt from; or there is none,
            because the data are to be handed over.

    Example:
        >>> table = load(DataConfig(source="diabetes"), classes=False)
        >>> table.column_names[:4], table.targets[:3].tolist()
        (('age', 'sex', 'bmi', 'bp'), [151.0, 75.0, 141.0])
    """
    source, target = config.source, config.target
    if config.is_handed_over:
        raise DataError(f"data.source: {config.why_not(handed_over=False)}")
    if not config.is_file:
        return load_packaged(source, classes)
    assert target is not None, "DataConfig asks it of every file"
    if has_ending(source, TABLES):
        columns = read_columns(source, columns_to_train_on(config, classes))
        return tabulate(columns, target, classes, config.missing, config.categorical or ())
    with opened(source) as file:
        return read_npz(file, source, target, config.features, classes)
