"""Checkpoints on disk: folders that are written atomically, with the SHA-256 of their files."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from mxtrain.atomic_io import (
    TEMPORARY,
    create_file,
    describe_os_error,
    flush_folder,
    make_folder,
    open_file,
    read_file,
    read_safetensors,
    refuse_link,
    temporary_path,
    write_file,
)
from mxtrain.errors import TrainingError
from mxtrain.training.checkpoints.snapshot import FORMAT, Snapshot
from mxtrain.training.run_folder.history import CheckpointMetricsLog

CHECKSUMS = "SHA256SUMS"
"""The list of a folder's files and their SHA-256, in the format of the program sha256sum."""
BACKUP_SUFFIX = ".before"
"""Suffix of the old content of a folder while it is being replaced."""
REMOVED_SUFFIX = ".old"
"""Suffix of a folder that is being removed."""
_MAX_CHECKSUMS = 64 * 1024


def write_if_changed(path: Path, content: bytes) -> None:
    """Write a file atomically, unless it has this content already."""
    # a symbolic or hard link is replaced, because appending to it would change another file
    is_unshared = not path.is_symlink() and path.is_file() and path.lstat().st_nlink == 1
    if not is_unshared or not begins_with(path, content, is_whole=True):
        write_file(path, content)


def begins_with(path: Path, content: bytes, is_whole: bool = False) -> bool:
    """Return whether a path is a regular file that begins with some content, or with `is_whole` equals it."""
    try:
        with open_file(path) as file:
            return file.read(len(content) + is_whole) == content
    except OSError:
        return False


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Create or replace a folder atomically, with the SHA-256 of each of its files.

    Names of temporary folders that an interrupted call leaves behind begin with a dot; `remove_leftovers` removes or
    restores them.
    """
    temporary = temporary_path(path)
    try:
        temporary.mkdir()
        for name, content in {**files, CHECKSUMS: _checksum_list(files)}.items():
            create_file(temporary / name, content)
        flush_folder(temporary)
        before = backup_path(path)
        if os.path.lexists(path):
            _remove(before)
            path.rename(before)
        temporary.rename(path)
    except OSError:
        with suppress(OSError):
            _remove(temporary)
        raise
    flush_folder(path.parent)
    _remove(before)


def backup_path(path: Path) -> Path:
    """Return the path of a folder's old content while `write_folder` replaces it."""
    return path.with_name(f".{path.name}{BACKUP_SUFFIX}")


def remove_folder(path: Path) -> None:
    """Remove a folder atomically: it is renamed first. Of a symbolic link only the link is removed."""
    removed = path.with_name(f".{path.name}{REMOVED_SUFFIX}")
    _remove(removed)
    path.rename(removed)
    _remove(removed)


def remove_leftovers(folder: Path) -> None:
    """Remove what interrupted calls left in a folder; restore a folder whose replacement was not finished."""
    for before in folder.glob(f".*{BACKUP_SUFFIX}"):
        place = before.with_name(before.name[1:].removesuffix(BACKUP_SUFFIX))
        if os.path.lexists(place) or before.is_symlink():
            _remove(before)
        else:
            before.rename(place)
    for path in folder.glob(".*"):
        if path.suffix == TEMPORARY or (path.suffix == REMOVED_SUFFIX and (path.is_dir() or path.is_symlink())):
            _remove(path)


def read_folder(path: Path) -> dict[str, bytes]:
    """Read the files of a folder that `write_folder` wrote.

    Raises:
        ValueError: a file is missing, was added, or has changed; the message names it.
        OSError: the folder, or a file in it, cannot be read.
    """
    names = {file.name for file in path.iterdir()}
    sums = read_file(path / CHECKSUMS, _MAX_CHECKSUMS) if CHECKSUMS in names else b""
    listed = {line[66:]: line[:64] for line in sums.decode(errors="replace").splitlines()}
    if names != listed.keys() | {CHECKSUMS}:
        raise ValueError(f"{path.name}/{CHECKSUMS} does not list the files in the folder")
    found: dict[str, bytes] = {}
    for name in sorted(listed):
        try:
            found[name] = _read_member(path / name)
        except ValueError:  # not the size that its header says
            found[name] = b""
        if sha256(found[name]).hexdigest() != listed[name]:
            raise ValueError(f"{path.name}/{name} has changed: its SHA-256 differs")
    if sums != _checksum_list(found):
        raise ValueError(f"{path.name}/{CHECKSUMS} does not list the files in the folder")
    return found


def _read_member(file: Path) -> bytes:
    return read_safetensors(file) if file.suffix == ".safetensors" else read_file(file)


def _checksum_list(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)).encode()


def _remove(path: Path) -> None:
    """Remove a file, a link, or a folder with its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


_NAME = re.compile(r"epoch-\d{6,}-batch-\d{8,}")


@dataclass(slots=True)
class Checkpoints:
    """The checkpoints of a run: one folder each, named after the finished epochs and the batches of the next epoch.

    The metrics of the finished epochs are stored once for all checkpoints, those of `checkpoints/` in
    `checkpoints.jsonl`.

    Args:
        folder: the run's `checkpoints` folder.
        keep: the number of newest checkpoints to keep.
    """

    folder: Path
    keep: int
    damaged: list[str] = field(default_factory=list)
    """A message for each damaged checkpoint that was found."""
    _metrics_log: CheckpointMetricsLog = field(init=False)

    def __post_init__(self) -> None:
        self._metrics_log = CheckpointMetricsLog(self.folder.with_name(f"{self.folder.name}.jsonl"))

    def prepare(self) -> None:
        """Create the folder, and remove what a killed process left in it.

        Raises:
            TrainingError: the folder cannot be written.
        """
        try:
            refuse_link(self.folder)
            make_folder(self.folder)
            remove_leftovers(self.folder)
        except OSError as error:
            raise TrainingError(f"the folder {self.folder} cannot be written: {describe_os_error(error)}") from error

    def save(self, snapshot: Snapshot, best: str | None = None) -> str:
        """Write a snapshot, and remove all but the newest `keep` checkpoints.

        Args:
            snapshot: the state of the run.
            best: the name of a checkpoint that is kept in addition.

        Returns:
            The name of the checkpoint.

        Raises:
            TrainingError: the checkpoint cannot be written; earlier checkpoints are unchanged.
        """
        name = self.name(snapshot.position)
        try:
            rows = self._metrics_log.write_rows(snapshot.record["rows"])
            write_folder(self.folder / name, replace(snapshot, record=snapshot.record | {"rows": rows}).to_files())
            for old in self.names()[: -self.keep]:
                if old != best:
                    with suppress(OSError):  # it only takes up space, and the next call tries again
                        remove_folder(self.folder / old)
        except OSError as error:
            raise TrainingError(
                f"the checkpoint {self.folder / name} cannot be written: {describe_os_error(error)}; "
                "earlier checkpoints are intact: free disk space, and resume the run"
            ) from error
        return name

    @staticmethod
    def name(position: tuple[int, int, int]) -> str:
        """Return the name of the checkpoint at a position, as `Snapshot.position` returns it."""
        epoch, batch, finished = position
        return f"epoch-{finished:06}-batch-{0 if epoch == finished else batch:08}"

    def names(self) -> list[str]:
        """Return the names of the checkpoints, the newest last."""
        if not self.folder.is_dir():
            return []
        names = {path.name for path in self.folder.iterdir()}
        found = [*names, *(name[1:].removesuffix(BACKUP_SUFFIX) for name in names if name.endswith(BACKUP_SUFFIX))]
        whole = {name for name in found if _NAME.fullmatch(name)}
        return sorted(whole, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])

    def newest_position(self) -> tuple[int, int]:
        """Return the finished epochs, and the batches after them, of the newest checkpoint, intact or not."""
        epochs, batches = map(int, re.findall(r"\d+", (self.names() or ["epoch-0-batch-0"])[-1]))
        return epochs, batches

    def read(self, name: str) -> Snapshot:
        """Read a checkpoint by its name.

        Raises:
            ValueError: it is damaged; the message says how.
            OSError: it cannot be read.
        """
        path = self.folder / name
        if not os.path.lexists(path) and not backup_path(path).is_symlink():
            path = backup_path(path)  # it was being replaced when the process was killed; `prepare` moves it back
        snapshot = Snapshot.from_files(read_folder(path))
        if snapshot.record.get("format") != FORMAT:
            raise ValueError("it was written by another version of mxtrain")
        rows, file = self._metrics_log.read(snapshot.record["rows"])
        if file != self._metrics_log.path:
            self.damaged.append(f"{self._metrics_log.path} is damaged; the metrics were taken from {file}")
        return replace(snapshot, record=snapshot.record | {"rows": rows})

    def intact(self) -> Iterator[Snapshot]:
        """Yield the intact checkpoints, the newest first, and add a message to `damaged` for each of the others."""
        for name in reversed(self.names()):
            try:
                yield self.read(name)
            except (ValueError, OSError) as error:
                self.damaged.append(f"the checkpoint {self.folder / name} is damaged and was skipped: {error}")

    def newest(self) -> Snapshot | None:
        """Return the newest intact checkpoint; None if there is none."""
        return next(self.intact(), None)
