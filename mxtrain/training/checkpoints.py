"""The checkpoints of a run, on disk: the newest few, each whole or not there at all."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from mxtrain.atomic_io import make_folder, reason, refuse_link
from mxtrain.errors import TrainingError
from mxtrain.training.durable import BEFORE, before_of, read_folder, remove_folder, remove_leftovers, write_folder
from mxtrain.training.ledger import Ledger
from mxtrain.training.snapshot import FORMAT, Snapshot

_NAME = re.compile(r"epoch-\d{6,}-batch-\d{8,}")


@dataclass(slots=True)
class Checkpoints:
    """The checkpoints of a run: a folder each, named after the epochs that are finished and the batches of the next.

    The metrics of the finished epochs stand beside them, once for all: for `checkpoints/` in `checkpoints.jsonl`.

    Args:
        folder: the run's `checkpoints` folder.
        keep: how many of the newest are kept.
    """

    folder: Path
    keep: int
    damaged: list[str] = field(default_factory=list)
    """What is wrong with each checkpoint that was found damaged so far."""
    _ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self._ledger = Ledger(self.folder.with_name(f"{self.folder.name}.jsonl"))

    def prepare(self) -> None:
        """Make the folder, and take away what a process that was killed left in it.

        Raises:
            TrainingError: it cannot be written.
        """
        try:
            refuse_link(self.folder)
            make_folder(self.folder)
            remove_leftovers(self.folder)
        except OSError as error:
            raise TrainingError(f"the folder {self.folder} cannot be written: {reason(error)}") from error

    def save(self, snapshot: Snapshot, best: str | None = None) -> str:
        """Write a snapshot, and take away the oldest checkpoints that are too many, but for `best`.

        Returns:
            The checkpoint's name.

        Raises:
            TrainingError: it cannot be written; what was there before is untouched.
        """
        name = self.name(snapshot.position)
        try:
            rows = self._ledger.cover(snapshot.record["rows"])
            write_folder(self.folder / name, replace(snapshot, record=snapshot.record | {"rows": rows}).to_files())
            for old in self.names()[: -self.keep]:
                if old != best:
                    with suppress(OSError):  # it takes up space, and that is all: the next call tries again
                        remove_folder(self.folder / old)
        except OSError as error:
            raise TrainingError(
                f"the checkpoint {self.folder / name} cannot be written: {reason(error)}; "
                "what was saved before it is whole: make room, and resume the run"
            ) from error
        return name

    @staticmethod
    def name(position: tuple[int, int, int]) -> str:
        """The name of the checkpoint at a position, as `Snapshot.position` has it."""
        epoch, batch, finished = position
        return f"epoch-{finished:06}-batch-{0 if epoch == finished else batch:08}"

    def names(self) -> list[str]:
        """The checkpoints that are there, the newest last."""
        if not self.folder.is_dir():
            return []
        names = {path.name for path in self.folder.iterdir()}
        found = [*names, *(name[1:].removesuffix(BEFORE) for name in names if name.endswith(BEFORE))]
        whole = {name for name in found if _NAME.fullmatch(name)}
        return sorted(whole, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])

    def standing(self) -> tuple[int, int]:
        """The finished epochs and the batches after them that the newest checkpoint holds, whole or not."""
        epochs, batches = map(int, re.findall(r"\d+", (self.names() or ["epoch-0-batch-0"])[-1]))
        return epochs, batches

    def read(self, name: str) -> Snapshot:
        """A checkpoint by its name.

        Raises:
            ValueError: it is damaged; says how.
            OSError: it cannot be read.
        """
        place = self.folder / name
        if not os.path.lexists(place) and not before_of(place).is_symlink():
            place = before_of(place)  # it was being replaced when the process was killed; `prepare` moves it back
        snapshot = Snapshot.from_files(read_folder(place))
        if snapshot.record.get("format") != FORMAT:
            raise ValueError("it was written by another version of mxtrain")
        rows, file = self._ledger.read(snapshot.record["rows"])
        if file != self._ledger.path:
            self.damaged.append(f"{self._ledger.path} is damaged; the metrics were taken from {file}")
        return replace(snapshot, record=snapshot.record | {"rows": rows})

    def good(self) -> Iterator[Snapshot]:
        """The checkpoints that are whole, the newest first; what is wrong with the others is noted in `damaged`."""
        for name in reversed(self.names()):
            try:
                yield self.read(name)
            except (ValueError, OSError) as error:
                self.damaged.append(f"the checkpoint {self.folder / name} is damaged and was skipped: {error}")

    def newest(self) -> Snapshot | None:
        """The newest checkpoint that is whole; None where there is none."""
        return next(self.good(), None)
