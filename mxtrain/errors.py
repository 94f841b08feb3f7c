"""Every error that mxtrain raises on purpose.

    MxtrainError
    ├── ConfigError       a value in a config is wrong (ValueError); holds one Problem for each
    ├── ArrayError        an array does not fit: shape, memory, writability (ValueError)
    │   └── ArrayTypeError    not an array, or of a dtype that has no update (TypeError)
    ├── NonFiniteError    an update would make a slot NaN or infinite (ArithmeticError)
    ├── ReadOnlyError     an attribute does not exist, or cannot be set (AttributeError)
    ├── StateError        a saved state belongs to something else (ValueError)
    ├── DataError         a data source is missing or malformed (ValueError)
    ├── TraceError        a rule does what cannot be traced (TypeError)
    ├── ModelError        a model that was handed over is none, or does not fit the data (TypeError)
    ├── BackendError      a backend cannot run here (RuntimeError)
    ├── TrainingError     a run failed: it diverged, or its folder is taken (RuntimeError)
    │   ├── FolderBusyError   another process works in the folder
    │   ├── DataChangedError  the data are not those that the run was trained on
    │   └── ForeignRunError   the folder holds another run, or its files have changed
    ├── SweepError        a sweep cannot go on (RuntimeError)
    ├── RunPaused         a run has come as far as it was asked to for now; it is saved (RuntimeError)
    └── RunInterrupted    a signal asked a run to stop; it is saved and can be resumed (RuntimeError)

Each message says where, what was expected, what was got, and the remedy where it is not obvious.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from mxtrain.redaction import may_contain_password, redact

_MAX_LINE_WIDTH = 100
"""Characters of a long line that are shown."""


def escape_unprintable(text: str) -> str:
    """The text on one line, with whatever a terminal would obey, or hide, as an escape.

    >>> escape_unprintable("1e-3 \\x1b[31m")
    '1e-3 \\\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class MxtrainError(Exception):
    """The root: `except MxtrainError` catches whatever mxtrain raises on purpose."""


class CacheWarning(UserWarning):
    """Compiled code is not cached, because others could change the files."""


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a text that a person wrote: a file, or one `--set` on the command line.

    `line` and `column` count from 1; a line of 0 means the text has no lines worth naming.
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
    """One thing that is wrong: the dotted path of the value, what is wrong, and where it was written."""

    path: str
    message: str
    location: Location | None = None

    def __str__(self) -> str:
        """The problem on one line: `configs/adam.yaml:7:9: optimizer.β2: must be …, got 1.2`."""
        return escape_unprintable(
            redact(": ".join(str(part) for part in (self.location, self.path, self.message) if part))
        )

    def explain(self) -> str:
        """The line, and below it the source text with a caret under the value.

        Source text that may hold a password is left out.
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


class ConfigError(MxtrainError, ValueError):
    """One or more values in a config are wrong; `problems` lists every one of them, in reading order."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.explain() for problem in self.problems))


class ArrayError(MxtrainError, ValueError):
    """An array does not fit: its shape, its memory or its writability."""


class ArrayTypeError(ArrayError, TypeError):
    """Not an array at all, or an array of a dtype that has no update."""


class NonFiniteError(MxtrainError, ArithmeticError):
    """An update would make a slot NaN or infinite; nothing has changed."""


class ReadOnlyError(MxtrainError, AttributeError):
    """An attribute does not exist, or cannot be set."""


class StateError(MxtrainError, ValueError):
    """A saved state belongs to another rule, or to arrays of another shape or dtype."""


class DataError(MxtrainError, ValueError):
    """A data source is missing, malformed, or does not suit the loss."""


class TraceError(MxtrainError, TypeError):
    """A rule's `update` does something with a symbol that cannot be traced, such as branching on it."""


class ModelError(MxtrainError, TypeError):
    """A model that was handed over lacks a method, or what it returns does not fit."""


class BackendError(MxtrainError, RuntimeError):
    """A backend cannot run here: its package, its device or its toolkit is missing."""


class TrainingError(MxtrainError, RuntimeError):
    """A run failed: the loss is no longer a number, or the run's folder is taken."""


class FolderBusyError(TrainingError):
    """Another process works in the folder of a run or a sweep."""


class DataChangedError(TrainingError):
    """The data are not those that the run was trained on."""


class ForeignRunError(TrainingError):
    """The folder of a run holds another run, or a file in it is not what was recorded."""


class SweepError(MxtrainError, RuntimeError):
    """A sweep cannot go on; what it has done is kept."""


def resume_command(folder: Path) -> str:
    """What continues a run or a sweep, as a shell takes it.

    >>> resume_command(Path("runs/adam-1")), resume_command(Path("my runs/adam-1"))
    ('mxtrain resume runs/adam-1', "mxtrain resume 'my runs/adam-1'")
    """
    return f"mxtrain resume {quote(str(folder))}"


class RunPaused(MxtrainError, RuntimeError):
    """A run has come as far as it was asked to for now: it is saved and goes on when it is asked again.

    Attributes:
        run_dir: the run's folder.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        super().__init__(f"paused; the run is saved: continue it with `{resume_command(run_dir)}`")


class RunInterrupted(MxtrainError, RuntimeError):
    """A signal asked a run, or a sweep, to stop: it is saved and can be resumed.

    Attributes:
        run_dir: its folder.
        signal: the number of the signal.
    """

    def __init__(self, run_dir: Path, signal: int, what: str = "the run") -> None:
        self.run_dir, self.signal = run_dir, signal
        super().__init__(f"interrupted; {what} is saved: continue it with `{resume_command(run_dir)}`")
