"""Tasks: the interface between driver and engines, and the function that a worker runs.

The choice of engine changes no result."""

import errno
import time
import warnings
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

from mxtrain.config import run_from_dict
from mxtrain.data import DatasetCache
from mxtrain.errors import DataChangedError, FolderBusyError, ForeignRunError, MxtrainError, RunInterrupted
from mxtrain.processes import import_user_module
from mxtrain.training import Progress, StopRequest, set_blas_threads, train_until
from mxtrain.training.model_factory import ModelFactory


@dataclass(frozen=True, slots=True)
class Task:
    """A segment: take one run of a trial until so many epochs are finished.

    A pure function of `config`: whoever does it, and however often, the run's folder comes to the same bytes.

    Attributes:
        trial: the number of the trial.
        member: which of the trial's runs, where it has several seeds; else 0.
        config: the resolved config, as plain values.
        run_dir: the run's folder.
        epochs: how many epochs shall be finished.
    """

    trial: int
    member: int
    config: dict[str, Any]
    run_dir: str
    epochs: int

    @property
    def key(self) -> tuple[int, int]:
        """The run that it is a segment of; no two segments of one run are ever under way."""
        return self.trial, self.member

    def to_dict(self) -> dict[str, Any]:
        """As it is sent to a worker."""
        return asdict(self)


TaskResultKind = Literal["done", "failed", "stopped", "lost", "undone", "halted", "foreign"]


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What came of a segment.

    Attributes:
        task: the segment.
        kind: `done`; `failed`: the run raised an error, and would again; `stopped`: it was asked to stop, and is saved;
            `lost`: its worker died over it, and it can be done again; `undone`: it never began; `halted`: nothing can
            be done, such as on a full disk; `foreign`: the run's folder holds another run, or damaged files.
        message: of a failure, what it was.
        progress: how far the run has come; None where it is not done.
        seconds: how long it took.
    """

    task: Task
    kind: TaskResultKind
    message: str = ""
    progress: Progress | None = None
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As it is sent to the driver; the driver knows the task."""
        return {
            "kind": self.kind,
            "message": self.message,
            "progress": self.progress and self.progress._asdict(),
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, task: Task, record: dict[str, Any]) -> "TaskResult":
        """What `to_dict` returned."""
        progress = record["progress"]
        return cls(
            task, record["kind"], record["message"], Progress(**progress) if progress else None, record["seconds"]
        )


class Engine(Protocol):
    """Does segments side by side, and survives the loss of its workers."""

    @property
    def free(self) -> int:
        """How many more segments it can take now."""

    def submit(self, task: Task) -> None:
        """Begin a segment; only where `free` says so."""

    def wait(self, seconds: float) -> list[TaskResult]:
        """What has come of segments since the last call; at the latest after so many seconds, be it nothing.

        Raises:
            SweepError: no worker can be had at all.
        """

    def stop(self, signal: int) -> None:
        """Ask every segment under way to end after its step, and to save its run."""

    def close(self) -> None:
        """End all workers."""


_MACHINE_ERRNOS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
}
"""Errors of the system that are none of a trial's fault: the next one would meet them too."""

_memory = DatasetCache()


def run_task(task: Task, stop: StopRequest, plugin: str | None) -> TaskResult:
    """Do a segment; whatever happens to it is its outcome.

    Args:
        task: the segment.
        stop: looked at after every step.
        plugin: the model's factory, as `factory_name` names it, for a custom model.
    """
    begin = time.perf_counter()
    result = _run(task, stop, plugin)
    return TaskResult(task, result.kind, result.message, result.progress, time.perf_counter() - begin)


def _run(task: Task, stop: StopRequest, plugin: str | None) -> TaskResult:
    try:
        config = run_from_dict(task.config)
        set_blas_threads(config.threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a run that diverges ends in one error
            progress = train_until(
                config, Path(task.run_dir), task.epochs, stop=stop, model=load_factory(plugin), memory=_memory
            )
    except RunInterrupted:
        return TaskResult(task, "stopped")
    except FolderBusyError as error:
        return TaskResult(task, "undone", str(error))
    except ForeignRunError as error:
        return TaskResult(task, "foreign", str(error))
    except DataChangedError as error:
        return TaskResult(task, "halted", str(error).partition(";")[0])
    except MxtrainError as error:
        cause = error.__cause__
        is_machine = isinstance(cause, OSError) and cause.errno in _MACHINE_ERRNOS
        message = str(error) or type(error).__name__
        return (
            TaskResult(task, "halted", message.partition(";")[0]) if is_machine else TaskResult(task, "failed", message)
        )
    except MemoryError as error:
        return TaskResult(task, "failed", f"not enough memory: {error or 'nothing is left'}")
    except BaseException as error:  # noqa: BLE001 - a custom model can raise anything, and only its trial fails
        return TaskResult(task, "failed", _describe_error(error))
    return TaskResult(task, "done", progress=progress)


def _describe_error(error: BaseException) -> str:
    """An error of somebody else's.

    >>> _describe_error(ValueError("too steep")), _describe_error(SystemExit())
    ('ValueError: too steep', 'SystemExit')
    """
    return f"{type(error).__name__}: {error}".removesuffix(": ")


@cache
def load_factory(name: str | None) -> ModelFactory | None:
    """The factory that `factory_name` calls so; None for None. It is looked for in the current folder too."""
    if name is None:
        return None
    module, _, rest = name.partition(":")
    found = import_user_module(module)
    for part in rest.split("."):
        found = getattr(found, part)
    factory: ModelFactory = found  # type: ignore[assignment]
    return factory
