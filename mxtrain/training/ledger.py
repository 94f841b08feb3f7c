"""The metrics of all finished epochs, for all checkpoints at once: a file that grows, and how much of it each needs."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from mxtrain.atomic_io import extend_file, open_file, write_file
from mxtrain.training.callbacks import Row
from mxtrain.training.json_text import parse

METRICS = "metrics.jsonl"
"""The same lines for everybody to read; where the ledger is damaged, they stand in for it."""


def to_line(row: Mapping[str, Any]) -> bytes:
    """A row as one line of JSON.

    >>> to_line({"epoch": 1, "η": 0.5})
    b'{"epoch": 1, "\\xce\\xb7": 0.5}\\n'
    """
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"


@dataclass(slots=True)
class Ledger:
    """A file with a line for each finished epoch, of which a checkpoint names the length and the SHA-256 that it needs.

    If a checkpoint held its rows itself, a run would write as many rows as the square of its epochs.

    Args:
        path: the file.
    """

    path: Path
    _epochs: int = 0
    _bytes: int = -1
    """How much of the file is known to be written; -1 before this process has written any."""
    _sum: Any = field(default_factory=sha256)

    def cover(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Flush to the disk what the file lacks of these rows.

        Returns:
            What a checkpoint says of its rows: their number, their bytes and the SHA-256 of these.

        Raises:
            OSError: the file cannot be written; what earlier checkpoints need of it is untouched.
        """
        if not self._can_grow_to(rows):
            self._epochs, self._bytes, self._sum = 0, -1, sha256()
        text = b"".join(map(to_line, rows[self._epochs :]))
        if self._bytes < 0:
            write_file(self.path, text)
        elif text:
            extend_file(self.path, self._bytes, text)
        self._sum.update(text)
        self._epochs, self._bytes = len(rows), max(self._bytes, 0) + len(text)
        return {"epochs": self._epochs, "bytes": self._bytes, "sha256": self._sum.hexdigest()}

    def read(self, extent: Mapping[str, Any]) -> tuple[list[Row], Path]:
        """The rows that `cover` spoke of, and the file that they are from: the ledger, or else metrics.jsonl.

        Raises:
            ValueError: neither file begins with them any more.
        """
        for path in (self.path, self.path.with_name(METRICS)):
            try:
                with open_file(path) as file:
                    is_long_enough = os.fstat(file.fileno()).st_size >= extent["bytes"]
                    text = file.read(extent["bytes"]) if is_long_enough else b""
            except OSError:
                continue
            if sha256(text).hexdigest() == extent["sha256"]:
                return [parse(line) for line in text.splitlines()], path
        raise ValueError(
            f"neither {self.path.name} nor {METRICS} holds the metrics of its {extent['epochs']} epochs any more: "
            "their SHA-256 differs"
        )

    def _can_grow_to(self, rows: Sequence[Row]) -> bool:
        """Whether the file is as this process left it, and what it lacks of the rows only has to be added."""
        try:
            return 0 <= self._bytes <= self.path.lstat().st_size and self._epochs <= len(rows)
        except OSError:
            return False
