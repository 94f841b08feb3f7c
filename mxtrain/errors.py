"""Exceptions of mxtrain.

    MxtrainError
    ├── UsageError        the request is wrong: its arguments, config, named files or packages; exit status 2
    │   ├── ConfigError       values in a config are wrong (ValueError); lists every problem
    │   ├── DataError         a data source is missing or malformed (ValueError)
    │   ├── ModelError        a custom model lacks a method, or does not match the data (TypeError)
    │   ├── TraceError        a rule that you wrote has a mistake (TypeError)
    │   └── BackendError      a backend cannot run here (RuntimeError)
    ├── ArrayError        invalid shape, memory or writability of an array (ValueError)
    │   └── ArrayTypeError    not an array, or the wrong dtype (TypeError)
    ├── NonFiniteError    an update would make a slot NaN or infinite (ArithmeticError)
    ├── ReadOnlyError     an attribute does not exist, or cannot be set (AttributeError)
    ├── ScheduleError     a scheduled value is out of bounds (ValueError)
    ├── StateError        a saved state belongs to something else (ValueError)
    ├── TrainingError     a run failed: it diverged, or its folder is in use (RuntimeError)
    │   ├── RunRequestError   a run cannot start as requested (also a UsageError)
    │   │   └── DataChangedError  the data differ from the data of training
    │   ├── FolderBusyError   another process uses the folder
    │   └── RunMismatchError  the folder contains another run, or its files have changed
    ├── SweepError        a sweep cannot continue (RuntimeError)
    │   └── SweepRequestError a sweep cannot start as requested (also a UsageError)
    ├── RunPaused         a run reached the requested point and is saved (RuntimeError)
    └── RunInterrupted    a signal stopped a run; it is saved and can be resumed (RuntimeError)

Each message states the place, the expected value, the value found, and the remedy if it is not obvious.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from mxtrain.formatting import may_contain_password, redact

_MAX_LINE_WIDTH = 100
"""Largest number of characters of a line in an error message."""


def escape_unprintable(text: str) -> str:
    """Escape control characters and invisible characters, so that a text is on one line.

    >>> escape_unprintable("1e-3 \\x1b[31m")
    '1e-3 \\\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class MxtrainError(Exception):
    """Base class of all exceptions of mxtrain."""


class UsageError(MxtrainError):
    """The request is wrong: its arguments, its config, a file that it names, or a package that it needs is missing.

    Commands exit with status 2; with 1 if the run or the sweep itself failed.
    """


_WRONG_PATH = frozenset(
    {
        *(errno.EACCES, errno.EEXIST, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
        *(errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EPERM, errno.EROFS),
    }
)
"""Errors of operations on a path that is wrong, unlike those of a full disk or a failing device."""


def is_wrong_path(error: OSError) -> bool:
    """Return True if the path that an operation was asked to use is wrong; False if the machine failed.

    >>> is_wrong_path(FileNotFoundError(errno.ENOENT, "")), is_wrong_path(OSError(errno.ENOSPC, ""))
    (True, False)
    """
    return error.errno in _WRONG_PATH


class CacheWarning(UserWarning):
    """Compiled code is not cached, because other users could change the files."""


@dataclass(frozen=True, slots=True)
class Location:
    """Location in a file, or in a `--set` option of the command line.

    `line` and `column` count from 1; a line of 0 means that only the source is named.
    """

    source: str
    line: int = 0
    column: int = 0
    text: str = ""
    width: int = 1

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One problem of a config: the dotted path of the value, a message, and the location in the source."""

    path: str
    message: str
    location: Location | None = None

    def __str__(self) -> str:
        """Return the problem on one line: `configs/adam.yaml:7:9: optimizer.β2: must be …, got 1.2`."""
        return escape_unprintable(
            redact(": ".join(str(part) for part in (self.location, self.path, self.message) if part))
        )

    def explain(self) -> str:
        """Return the problem, and below it the source text with a caret under the value.

        Source text that may contain a password is omitted.
        """
        location = self.location
        if (
            location is None
            or not location.text
            or may_contain_password(location.text)
            or self.path.endswith("storage")
        ):
            return str(self)
        column = location.column - 1
        start = max(0, column - _MAX_LINE_WIDTH // 2) if len(location.text) > _MAX_LINE_WIDTH else 0
        shown = location.text[start : start + _MAX_LINE_WIDTH]
        indent = " " * len(escape_unprintable(shown[: column - start]))
        caret = "^" * max(1, len(escape_unprintable(shown[column - start :][: location.width])))
        return f"{self}\n    {escape_unprintable(shown)}\n    {indent}{caret}"


class ConfigError(UsageError, ValueError):
    """One or more values in a config are wrong; `problems` lists all of them, in the order of the source."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.explain() for problem in self.problems))


class ArrayError(MxtrainError, ValueError):
    """An array is invalid: its shape, its memory or its writability."""


class ArrayTypeError(ArrayError, TypeError):
    """Not an array, or an array of the wrong dtype."""


class NonFiniteError(MxtrainError, ArithmeticError):
    """An update would make a slot NaN or infinite; nothing has changed."""


class ReadOnlyError(MxtrainError, AttributeError):
    """An attribute does not exist, or cannot be set."""


class ScheduleError(MxtrainError, ValueError):
    """A scheduled value is out of the bounds of its field, or is not a finite number; nothing has changed."""


class StateError(MxtrainError, ValueError):
    """A saved state belongs to another rule, or to arrays of another shape or dtype."""


class DataError(UsageError, ValueError):
    """A data source is missing, malformed, or does not suit the loss."""


class TraceError(UsageError, TypeError):
    """A rule has a mistake: its `update` cannot be traced, or its definition is incomplete."""


class ModelError(UsageError, TypeError):
    """A custom model lacks a method, or returns something invalid."""


class BackendError(UsageError, RuntimeError):
    """A backend cannot run here: its package, its device or its toolkit is missing."""


class TrainingError(MxtrainError, RuntimeError):
    """A run failed: its loss is not finite, or its folder is in use."""


class FolderBusyError(TrainingError):
    """Another process uses the folder of a run or a sweep."""


class RunRequestError(TrainingError, UsageError):
    """A run cannot start as requested: its folder holds no run or is not empty, or a package is missing."""


class DataChangedError(RunRequestError):
    """The data differ from those that the run was trained on."""


class RunMismatchError(TrainingError):
    """The folder contains another run, or a file in it has changed."""


class SweepError(MxtrainError, RuntimeError):
    """A sweep cannot continue; its finished trials are saved."""


class SweepRequestError(SweepError, UsageError):
    """A sweep cannot start as requested: an argument or its folder is wrong, or a package is missing."""


def resume_command(folder: Path) -> str:
    """Return the shell command that continues a run or a sweep.

    >>> resume_command(Path("runs/adam-1")), resume_command(Path("my runs/adam-1"))
    ('mxtrain resume runs/adam-1', "mxtrain resume 'my runs/adam-1'")
    """
    return f"mxtrain resume {quote(str(folder))}"


class RunPaused(MxtrainError, RuntimeError):
    """A run reached the requested point: it is saved and can be resumed.

    Attributes:
        run_dir: the folder of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        super().__init__(f"paused; the run is saved: continue it with `{resume_command(run_dir)}`")


class RunInterrupted(MxtrainError, RuntimeError):
    """A signal stopped a run or a sweep, which is saved and can be resumed.

    Attributes:
        run_dir: the folder of the run or sweep.
        signal: the number of the signal.
    """

    def __init__(self, run_dir: Path, signal: int, what: str = "the run", *, typed_path: Path | None = None) -> None:
        self.run_dir, self.signal = run_dir, signal
        command = resume_command(typed_path or run_dir)
        super().__init__(f"interrupted; {what} is saved: continue it with `{command}`")
