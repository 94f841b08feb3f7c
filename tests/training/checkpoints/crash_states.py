"""States of a disk after a power cut: the calls of a save are recorded, and those not flushed yet are lost at random.

POSIX guarantees only this: `fsync` of a file keeps its content, `fsync` of a folder keeps its entries. Anything else
may be lost, whatever was called before or after it, and a write may be torn or leave zeros.
"""

import os
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.training.checkpoints.broken_disk import is_below


@dataclass(frozen=True)
class Change:
    """One call that changes a disk.

    Attributes:
        kind: `create`, `write`, `truncate`, `fsync`, `rename` or `remove`.
        inode: what it concerns; of a rename what is renamed, of a removal what is removed.
        folder: the inode of the folder whose entries it changes; 0 for none.
        names: the entries.
        offset: where a write begins, or how much a truncation leaves.
        data: what is written.
        is_folder: whether a folder is created.
    """

    kind: str
    inode: int
    folder: int = 0
    names: tuple[str, ...] = ()
    offset: int = 0
    data: bytes = b""
    is_folder: bool = False


@dataclass
class Recording:
    """The calls that changed what is below a folder, in order, and the acknowledged saves with the number of calls before each."""

    root: int
    changes: list[Change] = field(default_factory=list)
    acknowledgements: list[tuple[int, Any]] = field(default_factory=list)

    def acknowledge(self, what: Any) -> None:
        """Record that a save has returned, so its state must survive a power cut."""
        self.acknowledgements.append((len(self.changes), what))

    def acknowledged(self, at: int) -> Any:
        """Return the last acknowledged save before a power cut after `at` calls; None if there is none."""
        return next((what for count, what in reversed(self.acknowledgements) if count <= at), None)

    def without(self, is_skipped: Callable[[Change], bool]) -> "Recording":
        """Return a copy of the recording without some of the calls."""
        kept = [change for change in self.changes if not is_skipped(change)]
        before = [0]
        for change in self.changes:
            before.append(before[-1] + (not is_skipped(change)))
        return Recording(self.root, kept, [(before[count], what) for count, what in self.acknowledgements])

    def folders(self) -> set[int]:
        """Return the inodes of folders."""
        return {self.root} | {change.inode for change in self.changes if change.is_folder}


@contextmanager
def recording(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recording]:
    """Record the calls that change what is below an empty folder."""
    found = Recording(root.stat().st_ino)
    positions: dict[int, int] = {}
    original = {name: getattr(os, name) for name in ("open", "write", "ftruncate", "lseek", "fsync", "close")}
    in_folders = {name: getattr(os, name) for name in ("rename", "replace", "unlink", "rmdir", "mkdir")}

    def folder_of(path: Any, dir_fd: int | None = None) -> tuple[int, str]:
        whole = Path(os.fsdecode(path))
        status = whole.parent.stat() if dir_fd is None else os.fstat(dir_fd)
        return status.st_ino, whole.name

    def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        is_new = bool(flags & os.O_CREAT) and is_below(root, path, dir_fd) and not os.path.lexists(path)
        descriptor = original["open"](path, flags, mode, dir_fd=dir_fd)
        if flags & (os.O_WRONLY | os.O_RDWR) and is_below(root, path, dir_fd):
            status = os.fstat(descriptor)
            positions[descriptor] = status.st_size if flags & os.O_APPEND else 0
            if is_new:
                folder, name = folder_of(path)
                found.changes.append(Change("create", status.st_ino, folder, (name,)))
        return descriptor

    def write(descriptor: int, data: Any) -> int:
        count = original["write"](descriptor, data)
        if descriptor in positions:
            inode, place = os.fstat(descriptor).st_ino, positions[descriptor]
            found.changes.append(Change("write", inode, offset=place, data=bytes(data)[:count]))
            positions[descriptor] += count
        return count

    def ftruncate(descriptor: int, length: int) -> None:
        original["ftruncate"](descriptor, length)
        if descriptor in positions:
            found.changes.append(Change("truncate", os.fstat(descriptor).st_ino, offset=length))

    def lseek(descriptor: int, place: int, how: int) -> int:
        result = original["lseek"](descriptor, place, how)
        if descriptor in positions:
            positions[descriptor] = result
        return result

    def fsync(descriptor: int) -> None:
        original["fsync"](descriptor)
        found.changes.append(Change("fsync", os.fstat(descriptor).st_ino))

    def close(descriptor: int) -> None:
        positions.pop(descriptor, None)
        original["close"](descriptor)

    def renaming(name: str) -> Any:
        def call(source: Any, target: Any, **keywords: Any) -> None:
            is_ours = is_below(root, source)
            inode = os.lstat(source).st_ino if is_ours and os.path.lexists(source) else 0
            in_folders[name](source, target, **keywords)
            if is_ours:
                (folder, old), (other, new) = folder_of(source), folder_of(target)
                assert folder == other, "entries move in one folder only, so that one flush keeps the move"
                found.changes.append(Change("rename", inode, folder, (old, new)))

        return call

    def removing(name: str) -> Any:
        def call(path: Any, *, dir_fd: int | None = None) -> None:
            is_ours = is_below(root, path, dir_fd)
            inode = os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_ino if is_ours else 0
            place = folder_of(path, dir_fd) if is_ours else (0, "")
            in_folders[name](path, dir_fd=dir_fd)
            if is_ours:
                found.changes.append(Change("remove", inode, place[0], (place[1],)))

        return call

    def mkdir(path: Any, mode: int = 0o777, **keywords: Any) -> None:
        in_folders["mkdir"](path, mode, **keywords)
        if is_below(root, path):
            folder, name = folder_of(path)
            found.changes.append(Change("create", Path(path).stat().st_ino, folder, (name,), is_folder=True))

    with monkeypatch.context() as patch:
        replacements = {"open": open_, "write": write, "ftruncate": ftruncate, "lseek": lseek, "fsync": fsync}
        replacements |= {"close": close, "mkdir": mkdir}
        replacements |= {name: renaming(name) for name in ("rename", "replace")}
        replacements |= {name: removing(name) for name in ("unlink", "rmdir")}
        for name, function in replacements.items():
            patch.setattr(os, name, function)
        # another file must not get this inode number during the recording
        with _held(root, found):
            yield found


@contextmanager
def _held(root: Path, found: Recording) -> Iterator[None]:
    """Assign a new inode number to each created file, because file systems reuse the numbers of removed files."""
    yield
    current: dict[int, int] = {found.root: found.root}
    following = 1 << 48
    numbered = []
    for change in found.changes:
        if change.kind == "create":
            current[change.inode] = following
            following += 1
        inode = current.get(change.inode, change.inode)
        folder = current.get(change.folder, change.folder)
        numbered.append(Change(change.kind, inode, folder, change.names, change.offset, change.data, change.is_folder))
    found.changes[:] = numbered


def put_state(recorded: Recording, at: int, choose: random.Random | None, target: Path) -> None:
    """Put the state of a disk after its first `at` calls into a new folder.

    Args:
        recorded: the calls.
        at: the number of calls before the power cut.
        choose: which of the changes that are not flushed are lost, and how writes are torn; None keeps all.
        target: the folder.
    """
    changes = recorded.changes[:at]
    flushed: dict[int, int] = {}
    for place, change in enumerate(changes):
        if change.kind == "fsync":
            flushed[change.inode] = place
    loss = choose.choice((0.1, 0.5, 0.9, 1.0)) if choose else 0.0
    contents: dict[int, bytearray] = {}
    entries: dict[int, dict[str, int]] = {inode: {} for inode in recorded.folders()}
    for place, change in enumerate(changes):
        if change.kind == "fsync":
            continue
        keeper = change.folder or change.inode
        is_lost = choose is not None and place > flushed.get(keeper, -1) and choose.random() < loss
        if change.kind in ("write", "truncate"):
            _write(contents.setdefault(change.inode, bytearray()), change, is_lost, choose)
        elif not is_lost:
            _enter(entries[change.folder], change)
    _put(recorded.root, entries, contents, target)


def _write(content: bytearray, change: Change, is_lost: bool, choose: random.Random | None) -> None:
    if change.kind == "truncate":
        if not is_lost:
            del content[change.offset :]
        return
    data = change.data
    if is_lost:
        assert choose is not None
        kept = choose.choice((0, 0, choose.randrange(len(data) + 1)))
        data = data[:kept] + bytes(choose.choice((0, len(data) - kept)))  # torn, or zeros after the written bytes
        if not data:
            return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(data)] = data


def _enter(folder: dict[str, int], change: Change) -> None:
    if change.kind == "create":
        folder[change.names[0]] = change.inode
    elif change.kind == "remove":
        if folder.get(change.names[0]) == change.inode:
            del folder[change.names[0]]
    else:
        old, new = change.names
        if folder.get(old) == change.inode:
            del folder[old]
        folder[new] = change.inode


def _put(inode: int, entries: dict[int, dict[str, int]], contents: dict[int, bytearray], target: Path) -> None:
    target.mkdir()
    for name, inside in entries[inode].items():
        if inside in entries:
            _put(inside, entries, contents, target / name)
        else:
            (target / name).write_bytes(contents.get(inside, b""))


def tree(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, by path."""
    files = (path for path in folder.rglob("*") if stat.S_ISREG(path.lstat().st_mode))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
