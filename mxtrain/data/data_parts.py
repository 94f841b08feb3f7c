"""Data of a run that Python passes: training, validation and test data, and weights of samples."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any, Protocol, TypeAlias

from numpy.typing import ArrayLike

from mxtrain.config.data_sources import IN_MEMORY
from mxtrain.config.error_messages import absolute_path
from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.paths import normalize_path


class Frame(Protocol):
    """A data frame of pandas, Polars or Arrow, which returns columns by name."""

    def __getitem__(self, name: str, /) -> Any: ...


Data: TypeAlias = tuple[ArrayLike, Any] | Mapping[str, Iterable[object]] | Frame
"""`(X, y)`, with X of (n, ...) and y of (n,) or (n, k); or columns by name, or a data frame, that include the
target."""

HeldOut: TypeAlias = Data | tuple[ArrayLike, Any, Any] | str | PathLike[str] | float
"""A fraction of the samples, the path of a file, or data in memory: `(X, y)`, `(X, y, weights)`, columns by name, or a
data frame."""


@dataclass(frozen=True, slots=True, eq=False)
class DataParts:
    """The data of a run that Python passes, for functions with one argument `data`, such as `LoadedRun.evaluate`.

    The attributes are the arguments of `fit`.

    Attributes:
        data: the training data, or all data.
        validation, test: a fraction, the path of a file, or data in memory; they replace the fields of the config. A
            relative path is relative to the current folder.
        sample_weight: the weights of the samples in `data`, (n,).

    Example:
        >>> import mxtrain, tempfile
        >>> config = {"data": {"source": "in_memory"}, "model": {"kind": "linear"}, "loss": "squared_error",
        ...     "optimizer": {"kind": "adam"}, "fit": {"epochs": 1}}
        >>> data, validation = ([[1.0], [2.0], [4.0]], [1, 2, 5]), ([[3.0], [5.0]], [3, 5])
        >>> result = mxtrain.fit(config, data=data, validation=validation, run_dir=tempfile.mkdtemp())
        >>> result.config.data.validation
        'in_memory'
        >>> run = mxtrain.load_run(result.run_dir)
        >>> found = run.evaluate(part="validation", data=mxtrain.DataParts(data, validation))
        >>> found["loss"] == result.history[-1]["val_loss"]
        True
    """

    data: Data | None = None
    validation: HeldOut | None = None
    test: HeldOut | None = None
    sample_weight: Any = None

    def __post_init__(self) -> None:
        """Make paths absolute, so that they stay valid in another folder.

        Raises:
            ConfigError: there are weights without data.
        """
        if self.sample_weight is not None and self.data is None:
            message = "belongs to the samples in data=; for a file, name a column of weights in data.weight"
            raise ConfigError([ConfigProblem("sample_weight", message)])
        for name in ("validation", "test"):
            value = getattr(self, name)
            if isinstance(value, str | PathLike):
                object.__setattr__(self, name, normalize_path(absolute_path(fspath(value), None)))

    def config_values(self) -> dict[str, Any]:
        """Return the fields of `data` in the config that these data set."""
        found: dict[str, Any] = {}
        for name in ("validation", "test"):
            value = getattr(self, name)
            if value is not None:
                found[name] = value if isinstance(value, str | int | float) else IN_MEMORY
        return found if self.sample_weight is None else found | {"weight": IN_MEMORY}

    @property
    def arguments(self) -> set[str]:
        """The names of the arguments of `fit` with data in memory."""
        held_out = {name for name in ("validation", "test") if self.config_values().get(name) == IN_MEMORY}
        others = {"data": self.data, "sample_weight": self.sample_weight}
        return held_out | {name for name, value in others.items() if value is not None}


GivenData: TypeAlias = Data | DataParts | None
"""The argument `data` of functions that continue or use a run."""


def as_parts(data: GivenData) -> DataParts:
    """Return data that are passed as one argument as `DataParts`."""
    return data if isinstance(data, DataParts) else DataParts(data)


def as_argument(parts: DataParts) -> GivenData:
    """Return the training data alone, if there is nothing else."""
    is_alone = not parts.config_values()
    return parts.data if is_alone else parts
