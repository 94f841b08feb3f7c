"""preprocessing.json: what was done to the features and what the outputs mean, enough to predict without the data."""

import json
from functools import lru_cache
from pathlib import Path

from mxtrain.atomic_io import read_file
from mxtrain.data import Dataset, Preprocessing
from mxtrain.errors import DataError, TrainingError, resume_command
from mxtrain.training.json_text import parse

FILE = "preprocessing.json"


@lru_cache(maxsize=2)  # a process may train many runs on the same data
def to_text(dataset: Dataset, data_fingerprint: str) -> bytes:
    """What is written: the preprocessing, and the SHA-256 of the data that it was fitted to."""
    record = {"format": 1, "data": data_fingerprint, "preprocessing": dataset.preprocessing.to_dict()}
    return json.dumps(record, ensure_ascii=False, indent=1).encode()


def read_record(run_dir: Path) -> tuple[Preprocessing, str]:
    """The preprocessing of a run, and the SHA-256 of its data.

    Raises:
        TrainingError: the file is missing or damaged.
    """
    file = run_dir / FILE
    remedy = f"`{resume_command(run_dir)}` writes it anew"
    try:
        record = parse(read_file(file))
        return Preprocessing.from_dict(record["preprocessing"]), str(record["data"])
    except OSError as error:
        raise TrainingError(f"{file} cannot be read: {error.strerror or error}; {remedy}") from error
    except (ValueError, LookupError, TypeError, DataError) as error:
        raise TrainingError(f"{file} is damaged; {remedy}") from error
