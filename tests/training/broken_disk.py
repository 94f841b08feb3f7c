"""A disk that fails when it is told to: at any call that opens a file for writing, writes, flushes, renames or removes."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

IN_A_FOLDER = ("rename", "replace", "mkdir", "unlink", "rmdir")
OF_A_FILE = ("write", "truncate", "flush")


class Killed(BaseException):
    """Stands for SIGKILL: nothing that the code does can catch it."""


class _File:
    """A file that is open for writing, each of whose calls is announced."""

    def __init__(self, file: Any, announce: Callable[[str], None]) -> None:
        self._file, self._announce = file, announce

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._file, name)
        if name not in OF_A_FILE:
            return attribute

        def call(*arguments: Any) -> Any:
            self._announce(name)
            return attribute(*arguments)

        return call

    def close(self) -> None:
        try:
            self._announce("close")
        finally:
            self._file.close()

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *reason: Any) -> None:
        self.close()


@contextmanager
def failing(
    at: int, error: Callable[[], BaseException], below: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """Let call number `at` of those that change what is below a folder fail; yields the names of the calls."""
    calls: list[str] = []

    def announce(name: str) -> None:
        calls.append(name)
        if len(calls) == at:
            raise error()

    def watch(module: Any, name: str) -> None:
        original = getattr(module, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            announce(name)
            return original(*arguments, **keywords)

        monkeypatch.setattr(module, name, call)

    open_ = io.open

    def watched_open(file: Any, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
        is_ours = not isinstance(file, int) and below in Path(file).parents and set(mode) & set("wax+")
        if not is_ours:
            return open_(file, mode, *arguments, **keywords)
        announce("open")
        return _File(open_(file, mode, *arguments, **keywords), announce)

    with monkeypatch.context() as monkeypatch:
        monkeypatch.setattr(io, "open", watched_open)
        watch(os, "fsync")
        for name in IN_A_FOLDER:
            watch(Path, name)
        yield calls
