"""A disk that fails on purpose: at any call that opens a file for writing, writes, flushes, renames or removes."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

IN_A_FOLDER = ("rename", "replace", "mkdir", "unlink", "rmdir")
OF_A_FILE = ("write", "ftruncate", "fsync", "close")


class Killed(BaseException):
    """A simulated SIGKILL: the code may catch it, but every further call fails too."""


def is_below(folder: Path, path: Any, dir_fd: int | None = None) -> bool:
    """Return whether a call concerns the content of a folder; calls by a descriptor are those of `shutil.rmtree`."""
    return dir_fd is not None or folder in Path(os.fsdecode(path)).parents


@contextmanager
def failing(
    at: int, error: Callable[[], BaseException], below: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """Let the `at`-th call that changes the content of a folder fail; yield the names of the calls."""
    calls: list[str] = []
    descriptors: set[int] = set()
    failures: list[BaseException] = []

    def announce(name: str) -> None:
        if failures:
            raise failures[0]
        calls.append(name)
        if len(calls) == at:
            failure = error()
            if isinstance(failure, Killed):
                failures.append(failure)
            raise failure

    def watch_path(name: str) -> None:
        original = getattr(os, name)

        def call(path: Any, *arguments: Any, **keywords: Any) -> Any:
            if is_below(below, path, keywords.get("dir_fd")):
                announce(name)
            return original(path, *arguments, **keywords)

        monkeypatch.setattr(os, name, call)

    def watch_descriptor(name: str) -> None:
        original = getattr(os, name)

        def call(descriptor: int, *arguments: Any) -> Any:
            if name == "close":
                is_ours = descriptor in descriptors
                descriptors.discard(descriptor)
                result = original(descriptor)
                if is_ours:
                    announce(name)
                return result
            if descriptor in descriptors or name == "fsync":
                announce(name)
            return original(descriptor, *arguments)

        monkeypatch.setattr(os, name, call)

    open_ = os.open

    def watched_open(path: Any, flags: int, *arguments: Any, **keywords: Any) -> int:
        is_ours = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and is_below(below, path)
        if is_ours:
            announce("open")
        descriptor = open_(path, flags, *arguments, **keywords)
        if is_ours:
            descriptors.add(descriptor)
        return descriptor

    with monkeypatch.context() as monkeypatch:
        monkeypatch.setattr(os, "open", watched_open)
        for name in IN_A_FOLDER:
            watch_path(name)
        for name in OF_A_FILE:
            watch_descriptor(name)
        yield calls
