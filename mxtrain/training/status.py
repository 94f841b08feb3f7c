"""How a run stands, written into its folder: so that a run that failed can be told from one that was stopped."""

import errno
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Literal, get_args

from mxtrain.atomic_io import MAX_TEXT, check_safetensors, is_regular, open_file, read_file, write_file
from mxtrain.training.json_text import parse
from mxtrain.training.ledger import METRICS

STATUS = "status.json"
MODEL = "model.safetensors"
REASON = "reason"
SEALED = (MODEL, "preprocessing.json", METRICS)
"""The files of a finished run of which status.json holds the SHA-256."""

State = Literal["finished", "unfinished", "pruned", "failed"]
_STATES: tuple[State, ...] = get_args(State)

_PAUSED = "paused; the run is saved"
"""The start of the reason with which earlier versions recorded a paused run as failed."""


@dataclass(frozen=True, slots=True)
class Status:
    """How a run stands.

    Attributes:
        state: `finished`: it ended as it should, and its model is there; `failed`: it raised an error; `unfinished`:
            it is running, or it was interrupted or killed; `pruned`: unfinished, and its sweep trains it no further.
        reason: of a failure, what it was.
        sha256: of a finished run, the SHA-256 of each file that its predictions and its metrics come from; of one that
            failed, that of its metrics and of `reason`.
    """

    state: State
    reason: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether the model is there."""
        return self.state == "finished"

    @property
    def has_changed_reason(self) -> bool:
        """True if the reason is not what was written."""
        return REASON in self.sha256 and self.sha256[REASON] != sha256(self.reason.encode()).hexdigest()

    def is_damaged(self, file: Path) -> bool:
        """Whether a file is not what it was when the run was finished.

        Raises:
            OSError: it cannot be read.
        """
        return file.name in self.sha256 and sha256_of(file) != self.sha256[file.name]


def write_status(run_dir: Path, status: Status) -> None:
    """Write it down, as far as the disk allows: it is a note, upon which no result depends."""
    with suppress(OSError):
        write_file(run_dir / STATUS, json.dumps(asdict(status), ensure_ascii=False).encode() + b"\n")


def write_finished(run_dir: Path) -> None:
    """Write down that a run is finished, and what its files are then."""
    with suppress(OSError):
        write_status(run_dir, Status("finished", sha256={name: sha256_of(run_dir / name) for name in SEALED}))


def write_failed(run_dir: Path, reason: str) -> None:
    """Record that a run failed and why, with the SHA-256 of the reason and of the metrics up to the failure."""
    with suppress(OSError):
        sums = {REASON: sha256(reason.encode()).hexdigest()}
        if (metrics := run_dir / METRICS).exists():
            sums[METRICS] = sha256_of(metrics)
        write_status(run_dir, Status("failed", reason, sums))


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file of a run, in hexadecimal.

    Raises:
        OSError: it cannot be read, or is larger than such a file can be.
    """
    with open_file(file) as content:
        if file.suffix == ".safetensors":
            try:
                check_safetensors(content)
            except ValueError as error:
                raise OSError(errno.EINVAL, str(error), str(file)) from error
            content.seek(0)
        elif os.fstat(content.fileno()).st_size > MAX_TEXT:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(file))
        return file_digest(content, "sha256").hexdigest()


def read_status(run_dir: Path) -> Status:
    """How a run stands; where nothing is written, or nothing that can be read, the model tells."""
    return _written_status(run_dir) or Status("finished" if is_regular(run_dir / MODEL) else "unfinished")


def status_is_damaged(run_dir: Path) -> bool:
    """Return whether status.json exists and cannot be read."""
    return (run_dir / STATUS).exists() and _written_status(run_dir) is None


def _written_status(run_dir: Path) -> Status | None:
    try:
        found = parse(read_file(run_dir / STATUS))
        state, reason, sums = found["state"], found["reason"], found.get("sha256", {})
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    is_whole = (
        isinstance(state, str)
        and state in _STATES
        and isinstance(reason, str)
        and isinstance(sums, dict)
        and all(isinstance(each, str) for each in sums.values())
    )
    if not is_whole:
        return None
    if state == "failed" and reason.startswith(_PAUSED):
        return Status("unfinished")
    return Status(state, reason, sums)
