"""Tasks: the interface between driver and engines, and the function that a worker runs.

The choice of engine changes no result.
"""

import errno
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

from mxtrain.config import run_from_dict
from mxtrain.data import DatasetCache
from mxtrain.errors import DataChangedError, FolderBusyError, MxtrainError, RunInterrupted, RunMismatchError
from mxtrain.processes import import_user_module
from mxtrain.training import Progress, StopRequest, set_blas_threads, train_until
from mxtrain.training.model_factory import ModelFactory


@dataclass(frozen=True, slots=True)
class Task:
    """Training of one run of a trial up to a given epoch.

    The files of the run are a pure function of `config`: the same bytes on any worker, after any number of attempts.

    Attributes:
        trial: the number of the trial.
        seed_index: the index of the run among the trial's seeds, from 0.
        config: the resolved config as plain values.
        run_dir: the run's folder.
        epochs: the number of finished epochs at which the task ends.
    """

    trial: int
    seed_index: int
    config: dict[str, Any]
    run_dir: str
    epochs: int

    @property
    def key(self) -> tuple[int, int]:
        """The trial and the seed index; at most one task with a key is running at any time."""
        return self.trial, self.seed_index

    def to_dict(self) -> dict[str, Any]:
        """Return the message that is sent to a worker."""
        return asdict(self)


TaskResultKind = Literal["done", "failed", "stopped", "lost", "not_started", "machine_error", "foreign_run"]


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The result of a task.

    Attributes:
        task: the task.
        kind: `done`; `failed`: the run raised an error, and would again; `stopped`: it was asked to stop, and is saved;
            `lost`: the worker died, and the task can run again; `not_started`: the folder or the worker was not
            available; `machine_error`: no task can run, as on a full disk; `foreign_run`: the run's folder holds
            another run or damaged files.
        message: the reason, unless the task is done.
        progress: the progress of the run; None unless the task is done.
        seconds: how long it took.
    """

    task: Task
    kind: TaskResultKind
    message: str = ""
    progress: Progress | None = None
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the message that is sent to the driver, which knows the task."""
        return {
            "kind": self.kind,
            "message": self.message,
            "progress": self.progress and self.progress._asdict(),
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, task: Task, record: dict[str, Any]) -> "TaskResult":
        """Restore a result from what `to_dict` returned."""
        progress = record["progress"]
        return cls(
            task, record["kind"], record["message"], Progress(**progress) if progress else None, record["seconds"]
        )


class Engine(Protocol):
    """Runs tasks in parallel, and replaces workers that die."""

    @property
    def free(self) -> int:
        """Number of tasks that can be submitted now."""

    def submit(self, task: Task) -> None:
        """Start a task; only while `free` is positive."""

    def wait(self, seconds: float) -> list[TaskResult]:
        """Return the results since the last call, after `seconds` seconds at the latest; the list may be empty.

        Raises:
            SweepError: no worker can be started.
        """

    def stop(self, signal: int) -> None:
        """Ask every running task to end after its step, and to save its run."""

    def close(self) -> None:
        """Stop all workers."""


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
"""System errors that are not caused by a trial; every other task would raise them too."""

_datasets = DatasetCache()


def run_task(task: Task, stop: StopRequest, plugin: str | None, plugins: Sequence[str] = ()) -> TaskResult:
    """Run a task, and return any error as its result.

    Args:
        task: the task.
        stop: checked after every step.
        plugin: the factory of a custom model as `module:function`.
        plugins: the modules, or paths of files, that define rules and schedules of the run.
    """
    begin = time.perf_counter()
    result = _run(task, stop, plugin, plugins)
    return TaskResult(task, result.kind, result.message, result.progress, time.perf_counter() - begin)


def _run(task: Task, stop: StopRequest, plugin: str | None, plugins: Sequence[str]) -> TaskResult:
    try:
        for name in plugins:
            import_user_module(name)
        config = run_from_dict(task.config)
        set_blas_threads(config.threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a run that diverges ends in one error
            progress = train_until(
                config, Path(task.run_dir), task.epochs, stop=stop, model=load_factory(plugin), cache=_datasets
            )
    except RunInterrupted:
        return TaskResult(task, "stopped")
    except FolderBusyError as error:
        return TaskResult(task, "not_started", str(error))
    except RunMismatchError as error:
        return TaskResult(task, "foreign_run", str(error))
    except DataChangedError as error:
        return TaskResult(task, "machine_error", str(error).partition(";")[0])
    except MxtrainError as error:
        cause, message = error.__cause__, str(error) or type(error).__name__
        if isinstance(cause, OSError) and cause.errno in _MACHINE_ERRNOS:
            return TaskResult(task, "machine_error", message.partition(";")[0])
        return TaskResult(task, "failed", message)
    except MemoryError as error:
        return TaskResult(task, "failed", f"not enough memory: {error or 'nothing is left'}")
    except BaseException as error:  # noqa: BLE001 - a custom model can raise anything, and only its trial fails
        return TaskResult(task, "failed", _describe_error(error))
    return TaskResult(task, "done", progress=progress)


def _describe_error(error: BaseException) -> str:
    """Describe an error that is not from mxtrain.

    >>> _describe_error(ValueError("too steep")), _describe_error(SystemExit())
    ('ValueError: too steep', 'SystemExit')
    """
    return f"{type(error).__name__}: {error}".removesuffix(": ")


@cache
def load_factory(name: str | None) -> ModelFactory | None:
    """Import the factory `module:function`, also from the current folder; None for None."""
    if name is None:
        return None
    module, _, rest = name.rpartition(":")
    found = import_user_module(module)
    for part in rest.split("."):
        found = getattr(found, part)
    factory: ModelFactory = found  # type: ignore[assignment]
    return factory
