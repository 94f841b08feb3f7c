"""How a run stands, written into its folder: so that a run that failed can be told from one that was stopped."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from mxtrain.training.durable import write_file

STATUS = "status.json"

State = Literal["finished", "unfinished", "failed"]


@dataclass(frozen=True, slots=True)
class Status:
    """How a run stands.

    Attributes:
        state: `finished`: it ended as it should, and its model is there; `failed`: it raised an error; `unfinished`:
            it goes on, or it was interrupted or killed.
        reason: of a failure, what it was.
    """

    state: State
    reason: str = ""


def write_status(run_dir: Path, status: Status) -> None:
    """Write it down, as far as the disk allows: it is a note, upon which no result depends."""
    with suppress(OSError):
        write_file(run_dir / STATUS, json.dumps(asdict(status), ensure_ascii=False).encode() + b"\n")


def read_status(run_dir: Path) -> Status:
    """How a run stands; where nothing is written, or nothing that can be read, the model tells."""
    try:
        found = json.loads((run_dir / STATUS).read_bytes())
        if found["state"] in ("finished", "unfinished", "failed"):
            return Status(found["state"], str(found["reason"]))
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return Status("finished" if (run_dir / "model.safetensors").is_file() else "unfinished")
