"""`fit.loggers`: loggers by name, isolated so that their errors do not end a run.

A logger receives the rows of metrics.jsonl; a resumed run sends what is missing, without gaps or duplicates.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from mxtrain.config.fit_section import LoggerName
from mxtrain.errors import RunRequestError
from mxtrain.training.callbacks import EVENTS, Callback, Logger, StopTraining
from mxtrain.training.loggers.delivery import describe_error, report

_PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow"}


def open_loggers(names: Sequence[LoggerName]) -> list[Logger]:
    """Create the loggers of a run, before training.

    Raises:
        RunRequestError: a package is missing, or cannot be imported; says how to install it.
    """
    loggers = []
    for name in names:
        try:
            loggers.append(_open(name))
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != _PACKAGES[name]:
                raise _not_imported(name, error) from error
            raise RunRequestError(
                f"fit.loggers: {name} needs the package {_PACKAGES[name]}; pip install 'mxtrain[{name}]'"
            ) from error
        except Exception as error:  # a package that is installed badly can raise anything
            raise _not_imported(name, error) from error
    return loggers


def _not_imported(name: LoggerName, error: Exception) -> RunRequestError:
    return RunRequestError(
        f"fit.loggers: {name}: the package {_PACKAGES[name]} cannot be imported: {describe_error(error)}; "
        f"pip install --force-reinstall 'mxtrain[{name}]', or leave the logger out"
    )


def _open(name: LoggerName) -> Logger:
    match name:
        case "tensorboard":
            from mxtrain.training.loggers.tensorboard_logger import TensorBoard

            return TensorBoard()
        case "mlflow":
            from mxtrain.training.loggers.mlflow_logger import MLflow

            return MLflow()


def isolate_loggers(callbacks: Iterable[object]) -> list[object]:
    """Wrap each Logger among callbacks, so that its errors are reported and not raised."""
    return [_IsolatedLogger(callback) if isinstance(callback, Logger) else callback for callback in callbacks]


class _IsolatedLogger:
    """Calls the methods of a logger, reports the first error, and raises none."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self._has_reported = False
        for event in EVENTS:
            if getattr(type(logger), event, None) is not getattr(Callback, event):
                setattr(self, event, partial(self._call, event))

    def _call(self, event: str, *details: Any) -> None:
        try:
            getattr(self._logger, event)(*details)
        except StopTraining:
            raise
        except Exception as error:  # noqa: BLE001 - a logger may raise anything, and no run depends on it
            if not self._has_reported:
                self._has_reported = True
                report(f"{type(self._logger).__name__}.{event} failed: {describe_error(error)}; training continues")
