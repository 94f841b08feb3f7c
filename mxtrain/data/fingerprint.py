"""A fingerprint of the data that a run trains on, so that it is not resumed on others."""

from hashlib import file_digest
from pathlib import Path

from mxtrain.config.data_section import DataConfig


def fingerprint(config: DataConfig) -> str:
    """The SHA-256 of the file that holds the data, in hexadecimal; of a data set in the package, its name."""
    if not config.is_file:
        return config.source
    with Path(config.source).open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
