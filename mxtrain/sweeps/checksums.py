"""Checksums of what a sweep records, so that a damaged file is an error and never changes a result."""

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from mxtrain.atomic_io import read_file
from mxtrain.training.ledger import METRICS
from mxtrain.training.run_directory import CONFIG

KEY = "sha256"
"""The name under which a record holds its own checksum."""

_HEADER = "# sha256 of the lines below: {}\n"
_FULL_HEADER = re.compile(rb"# sha256 of the lines below: ([0-9a-f]{64})")
_DAMAGED_HEADER = re.compile(rb"sha256 of the lines below|[0-9a-f]{31}")
"""At least one of these matches in a header with one damaged byte."""


def digest(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record, without the checksum in it.

    >>> digest({"b": 1, "a": [2.0]}) == digest({"a": (2.0,), "b": 1, "sha256": "..."})
    True
    """
    content = {name: value for name, value in record.items() if name != KEY}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def has_changed(record: Mapping[str, Any]) -> bool:
    """Return whether a record holds a checksum that is not its own; earlier versions wrote none."""
    return KEY in record and record[KEY] != digest(record)


def seal(text: str) -> str:
    """Return a text with a comment line in front that holds its checksum."""
    return _HEADER.format(sha256(text.encode()).hexdigest()) + text


def is_broken(content: bytes) -> bool:
    """Return whether the content of a file is not what `seal` returned; earlier versions wrote no checksum.

    >>> is_broken(b"trials: 3"), is_broken(seal("trials: 3").encode()), is_broken(seal("trials: 3").encode() + b"0")
    (False, False, True)
    """
    header, _, text = content.partition(b"\n")
    found = _FULL_HEADER.fullmatch(header)
    if found is None:
        return _DAMAGED_HEADER.search(header) is not None
    return sha256(text).hexdigest() != found[1].decode()


def of_run(run_dir: Path, epochs: int) -> dict[str, dict[str, Any]]:
    """Return the checksums of the files that a trial's values come from, by name, without missing files.

    Args:
        run_dir: the folder of the run.
        epochs: how many epochs count, because the run may be continued later.
    """
    found: dict[str, dict[str, Any]] = {}
    if (content := _read(run_dir / CONFIG)) is not None:
        found[CONFIG] = {KEY: sha256(content).hexdigest()}
    if (content := _read(run_dir / METRICS)) is not None:
        lines = [line for line in content.splitlines(keepends=True)[:epochs] if line.endswith(b"\n")]
        found[METRICS] = {"epochs": len(lines), KEY: sha256(b"".join(lines)).hexdigest()}
    return found


def changed_files(run_dir: Path, checksums: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    """Return the names of files that exist and differ from their checksums."""
    now = of_run(run_dir, checksums.get(METRICS, {}).get("epochs", 0))
    return [name for name, checksum in checksums.items() if name in now and now[name] != checksum]


def _read(file: Path) -> bytes | None:
    try:
        return read_file(file)
    except OSError:
        return None
