"""Checksums of the files in a sweep's folder."""

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from mxtrain.atomic_io import read_file
from mxtrain.training.run_folder.history import METRICS
from mxtrain.training.run_folder.run_directory import CONFIG

CHECKSUM_KEY = "sha256"
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
    content = {name: value for name, value in record.items() if name != CHECKSUM_KEY}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def has_wrong_digest(record: Mapping[str, Any]) -> bool:
    """Return True if a record holds the checksum of another record; earlier versions wrote none."""
    return CHECKSUM_KEY in record and record[CHECKSUM_KEY] != digest(record)


def with_checksum_header(text: str) -> str:
    """Return a text with a comment line in front that holds its checksum."""
    return _HEADER.format(sha256(text.encode()).hexdigest()) + text


def has_wrong_checksum(content: bytes) -> bool:
    """Return True if a file has changed since `with_checksum_header`; earlier versions wrote no checksum.

    >>> text = with_checksum_header("trials: 3").encode()
    >>> has_wrong_checksum(b"trials: 3"), has_wrong_checksum(text), has_wrong_checksum(text + b"0")
    (False, False, True)
    """
    header, _, text = content.partition(b"\n")
    found = _FULL_HEADER.fullmatch(header)
    if found is None:
        return _DAMAGED_HEADER.search(header) is not None
    return sha256(text).hexdigest() != found[1].decode()


def run_checksums(run_dir: Path, epochs: int) -> dict[str, dict[str, Any]]:
    """Return the checksums of the files that a trial's values come from, by name, without missing files.

    Args:
        run_dir: the folder of the run.
        epochs: the number of epochs that count, because the run may be continued later.
    """
    found: dict[str, dict[str, Any]] = {}
    if (content := _read_or_none(run_dir / CONFIG)) is not None:
        found[CONFIG] = {CHECKSUM_KEY: sha256(content).hexdigest()}
    if (content := _read_or_none(run_dir / METRICS)) is not None:
        lines = [line for line in content.splitlines(keepends=True)[:epochs] if line.endswith(b"\n")]
        found[METRICS] = {"epochs": len(lines), CHECKSUM_KEY: sha256(b"".join(lines)).hexdigest()}
    return found


def changed_files(run_dir: Path, checksums: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    """Return the names of files that exist and differ from their checksums."""
    now = run_checksums(run_dir, checksums.get(METRICS, {}).get("epochs", 0))
    return [name for name, checksum in checksums.items() if name in now and now[name] != checksum]


def _read_or_none(file: Path) -> bytes | None:
    try:
        return read_file(file)
    except OSError:
        return None
