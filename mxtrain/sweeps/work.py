"""A segment done: what every worker runs, whatever engine it belongs to."""

import errno
import time
import warnings
from functools import cache
from pathlib import Path

from mxtrain.config import run_from_dict
from mxtrain.data import DataMemory
from mxtrain.errors import DataChangedError, FolderBusyError, ForeignRunError, MxtrainError, RunInterrupted
from mxtrain.models import ModelFactory
from mxtrain.module_path import import_user_module
from mxtrain.sweeps.task import Outcome, Task
from mxtrain.training import StopRequest, hold_blas_threads, train_until

_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE}
"""Errors of the system that are none of a trial's fault: the next one would meet them too."""

_memory = DataMemory()


def work(task: Task, stop: StopRequest, plugin: str | None) -> Outcome:
    """Do a segment; whatever happens to it is its outcome.

    Args:
        task: the segment.
        stop: looked at after every step.
        plugin: the model's factory, as `factory_name` names it, for a custom model.
    """
    begin = time.perf_counter()
    outcome = _attempt(task, stop, plugin)
    return Outcome(task, outcome.kind, outcome.message, outcome.progress, time.perf_counter() - begin)


def _attempt(task: Task, stop: StopRequest, plugin: str | None) -> Outcome:
    try:
        config = run_from_dict(task.config)
        hold_blas_threads(config.threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a run that diverges ends in one error
            progress = train_until(
                config, Path(task.run_dir), task.epochs, stop=stop, model=load_factory(plugin), memory=_memory
            )
    except RunInterrupted:
        return Outcome(task, "stopped")
    except FolderBusyError as error:
        return Outcome(task, "undone", str(error))
    except ForeignRunError as error:
        return Outcome(task, "foreign", str(error))
    except DataChangedError as error:
        return Outcome(task, "halted", str(error).partition(";")[0])
    except MxtrainError as error:
        cause = error.__cause__
        is_machine = isinstance(cause, OSError) and cause.errno in _MACHINE
        told = str(error) or type(error).__name__
        return Outcome(task, "halted", told.partition(";")[0]) if is_machine else Outcome(task, "failed", told)
    except MemoryError as error:
        return Outcome(task, "failed", f"not enough memory: {error or 'nothing is left'}")
    except BaseException as error:  # noqa: BLE001 - a custom model can raise anything, and only its trial fails
        return Outcome(task, "failed", _told(error))
    return Outcome(task, "done", progress=progress)


def _told(error: BaseException) -> str:
    """An error of somebody else's.

    >>> _told(ValueError("too steep")), _told(SystemExit())
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
