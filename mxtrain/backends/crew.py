"""A few threads that help with large arrays, at hand within a microsecond while one update follows the other."""

import atexit
import os
import sys
from contextlib import suppress
from threading import Lock, Thread
from typing import Any

import numpy as np

from mxtrain.backends.native import BOARD, OVER, lead, lead_in_turn, serve

_PATIENCE = 5000
"""How often a helper looks for new work before it goes to sleep, giving way to other threads each time: for about a
millisecond, which an iteration of `fit` has between its products. To wake it from sleep takes a tenth of that."""


class Crew:
    """Helper threads of this process, who run compiled loops without holding the interpreter.

    They are hired when they are first needed, and sleep where nothing has been to do for a while. One update at a time
    has their help; another thread that comes meanwhile does its work alone.
    """

    def __init__(self) -> None:
        self._board = np.zeros(BOARD, dtype=np.int64)
        self._bell: tuple[int, int] | None = None
        self._starting = Lock()
        self._helpers: list[Thread] = []

    def run(self, task: tuple[Any, ...], piece: int, helpers: int, turns: Any = None) -> bool:
        """Do a task with at most so many helpers; False where none is at hand, and nothing has been done.

        Args:
            task: the loop's address, its scalars, the table and the starts, as `native.alone` has them.
            piece: elements that are taken at a time.
            helpers: how many may help.
            turns: where the work is to be done in turns, as `native.lead_in_turn` has them.
        """
        if self._board[OVER]:
            return False
        self._hire(helpers)
        if not (self._bell and self._helpers):
            return False
        if turns is None:
            return bool(lead(self._board, self._bell[1], *task, piece, helpers))
        return bool(lead_in_turn(self._board, self._bell[1], *task, turns, piece, helpers))

    def _hire(self, count: int) -> None:
        """Have so many helpers, or as many as the system allows: it may have no file or no thread left to give."""
        if len(self._helpers) >= count or self._starting.locked():
            return
        with self._starting, suppress(OSError, RuntimeError):  # a with statement releases it on any interrupt
            while len(self._helpers) < count:
                self._bell = self._bell or _new_bell()
                number = len(self._helpers) + 1
                given = self._board, number, self._bell[0], _PATIENCE
                helper = Thread(target=serve, args=given, name=f"mxtrain-{number}", daemon=True)
                self._helpers.append(helper)  # first, as Ctrl-C may end `start` when the thread runs already
                try:
                    helper.start()
                except (OSError, RuntimeError):
                    self._helpers.remove(helper)
                    raise

    def dismiss(self) -> None:
        """Let all helpers go; who comes later does its work alone."""
        self._board[OVER] = 1
        if self._bell:
            for _ in self._helpers:
                os.write(self._bell[1], (1).to_bytes(8, sys.byteorder))
        for helper in self._helpers:
            if helper.ident is not None:  # its start was not interrupted
                helper.join(timeout=1)

    def close(self) -> None:
        """Close the files of a crew that has no threads."""
        with suppress(OSError):
            for file in set(self._bell or ()):
                os.close(file)


def _new_bell() -> tuple[int, int]:
    """Where helpers read to sleep, and where a number is written to wake one.

    Linux wakes the reader of a pipe on the writer's own core, where it would wait; that of an event on an idle one.
    """
    if sys.platform == "linux":
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
        return event, event
    return os.pipe()


_crew = Crew()


def crew() -> Crew:
    """The helpers of this process."""
    return _crew


def _begin_anew() -> None:
    """A forked child has none of its parent's threads, and must not wait for them, nor wake them, when it ends."""
    global _crew
    _crew.close()
    _crew = Crew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
atexit.register(lambda: crew().dismiss())  # before the interpreter ends
