"""`fit.loggers`: loggers by name, isolated so that their errors do not end a run.

A logger receives what metrics.jsonl holds: a resumed run brings it up to date, without gaps or duplicates.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from math import isfinite
from re import Pattern, compile
from typing import Any

from mxtrain.config.dotted_paths import flatten
from mxtrain.config.fit_section import LoggerName
from mxtrain.errors import TrainingError, escape_unprintable
from mxtrain.training.callbacks import EVENTS, Callback, Logger, Row, StopTraining

_PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow"}
_HASHED = compile(r"-[0-9a-f]{8}\Z")
"""The end of a changed name; other names with such an end are changed too, so that no two become equal."""
_LONGEST_REASON = 200


def open_loggers(names: Sequence[LoggerName]) -> list[Logger]:
    """The loggers of a run, before anything is trained.

    Raises:
        TrainingError: a package is missing, or cannot be imported; says how to install it.
    """
    loggers = []
    for name in names:
        try:
            loggers.append(_open(name))
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != _PACKAGES[name]:
                raise _not_imported(name, error) from error
            raise TrainingError(
                f"fit.loggers: {name} needs the package {_PACKAGES[name]}; pip install 'mxtrain[{name}]'"
            ) from error
        except Exception as error:  # a package that is installed badly can raise anything
            raise _not_imported(name, error) from error
    return loggers


def _not_imported(name: LoggerName, error: Exception) -> TrainingError:
    return TrainingError(
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


def report(message: str) -> None:
    """Log a warning, which goes to stderr as one line unless `logging` is configured otherwise."""
    logging.getLogger("mxtrain").warning("%s", escape_unprintable(message))


def describe_error(error: BaseException) -> str:
    """Return the first line of an error's message, with its type."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    text = (str(error).strip().splitlines() or [""])[0]
    text = text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 3]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def scalars(row: Row) -> Iterator[tuple[str, float]]:
    """The finite numbers of an epoch, each under its name, diagnostics under theirs.

    >>> list(scalars({"epoch": 1, "iteration": 45, "loss": 0.5, "r2": None,
    ...               "diagnostics": {"update_ratio": {"W1": 0.001}}}))
    [('loss', 0.5), ('diagnostics/update_ratio/W1', 0.001)]
    """
    for name, value in flatten(row, "/").items():
        if name not in ("epoch", "iteration") and isinstance(value, int | float) and _is_finite(value):
            yield name, float(value)


def _is_finite(value: float) -> bool:
    try:
        return isfinite(value)
    except OverflowError:
        return False


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """A config's values by their paths, lists as texts; what is unset is left out.

    >>> hyperparameters({"seed": 0, "model": {"kind": "mlp", "hidden": [64, 32]}, "fit": {"early_stopping": None}})
    {'seed': 0, 'model.kind': 'mlp', 'model.hidden': '[64, 32]'}
    """
    return {
        path: str(value) if isinstance(value, list | dict) else value
        for path, value in flatten(config).items()
        if value is not None
    }


def allowed_names(names: Collection[str], refused: Pattern[str], longest: int) -> dict[str, str]:
    """Map names to names that a service accepts: equal names stay equal, others stay different.

    A refused character becomes `_`, and a changed name ends with a hash of the original. A name that is also a folder
    of another one, as `a` is of `a/b`, is changed too, because services that store files cannot have both.

    Args:
        names: the names.
        refused: the characters, or parts, that the service refuses.
        longest: the most characters of a name.

    >>> allowed_names(["λ", "groups.b*.λ", "groups.b?.λ"], compile(r"[^\\w.]"), 250)
    {'λ': 'λ', 'groups.b*.λ': 'groups.b_.λ-4f8433a3', 'groups.b?.λ': 'groups.b_.λ-49bf9080'}
    """
    folders = {name[:i] for name in names for i, character in enumerate(name) if character == "/"}
    return {name: _allowed(name, refused, longest, is_folder=name in folders) for name in names}


def _allowed(name: str, refused: Pattern[str], longest: int, is_folder: bool) -> str:
    changed = refused.sub("_", name)
    if changed == name and 0 < len(name) <= longest and not is_folder and not _HASHED.search(name):
        return name
    return f"{changed[: longest - 9]}-{sha256(name.encode(errors='surrogatepass')).hexdigest()[:8]}"
