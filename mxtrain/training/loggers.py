"""`fit.loggers`: where the metrics of a run go besides metrics.jsonl.

What a logger holds follows from metrics.jsonl: on a resume it is brought to the epochs that are finished, without a gap
and without a point twice.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from mxtrain.config.fit_section import LoggerName
from mxtrain.errors import TrainingError
from mxtrain.training.callbacks import Callback, Row
from mxtrain.training.flattened import flattened

_PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow"}


def open_loggers(names: Sequence[LoggerName]) -> list[Callback]:
    """The loggers of a run, before anything is trained.

    Raises:
        TrainingError: a package is missing; says how to install it.
    """
    loggers = []
    for name in names:
        try:
            loggers.append(_open(name))
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != _PACKAGES[name]:
                raise
            raise TrainingError(
                f"fit.loggers: {name} needs the package {_PACKAGES[name]}; pip install 'mxtrain[{name}]'"
            ) from error
    return loggers


def _open(name: LoggerName) -> Callback:
    match name:
        case "tensorboard":
            from mxtrain.training.tensorboard_logger import TensorBoard

            return TensorBoard()
        case "mlflow":
            from mxtrain.training.mlflow_logger import MLflow

            return MLflow()


def scalars(row: Row) -> Iterator[tuple[str, float]]:
    """What there is to draw of an epoch, each number under its name, diagnostics under theirs.

    >>> list(scalars({"epoch": 1, "iteration": 45, "loss": 0.5, "diagnostics": {"update_ratio": {"W1": 0.001}}}))
    [('loss', 0.5), ('diagnostics/update_ratio/W1', 0.001)]
    """
    for name, value in flattened(row, "/").items():
        if name not in ("epoch", "iteration") and isinstance(value, int | float):
            yield name, float(value)


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """A config's values by their paths, lists as texts; what is unset is left out.

    >>> hyperparameters({"seed": 0, "model": {"kind": "mlp", "hidden": [64, 32]}, "fit": {"early_stopping": None}})
    {'seed': 0, 'model.kind': 'mlp', 'model.hidden': '[64, 32]'}
    """
    return {
        path: str(value) if isinstance(value, list | dict) else value
        for path, value in flattened(config).items()
        if value is not None
    }
