"""What a sweep's folder tells: its trials, and what was searched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mxtrain.atomic_io import read_file
from mxtrain.config import Objective, read_sweep
from mxtrain.errors import ConfigError
from mxtrain.numbers import short
from mxtrain.reports.dimensions import Dimension, guessed_dimensions, searched_dimensions
from mxtrain.sweeps import SweepFolder, SweepResult
from mxtrain.training import Row
from mxtrain.training.history import read_history

State = Literal["complete", "pruned", "failed", "running", "waiting"]
STATES: tuple[State, ...] = ("complete", "pruned", "failed", "running", "waiting")


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial.

    Attributes:
        number: which one.
        state: complete, pruned, failed, running or waiting.
        values: one for each objective, of a pruned trial those at which it was given up; empty where there are none.
        spread: their standard deviations over several seeds, or empty.
        params: what stood at each path that was searched.
        error: of one that failed, why.
        seconds: how long it took.
        epochs: how many epochs it trained.
        history: the metrics of each epoch, of its first seed.
    """

    number: int
    state: State
    values: tuple[float, ...]
    spread: tuple[float, ...]
    params: Mapping[str, Any]
    error: str
    seconds: float
    epochs: int
    history: list[Row]


@dataclass(frozen=True, slots=True)
class SweepFacts:
    """What there is to report of a sweep.

    Attributes:
        path: its folder.
        name: what it is called.
        objectives: what was to be made large or small.
        trials: in the order of their numbers.
        total: how many there will be.
        dimensions: what was searched, in the order of the file.
        front: the numbers of the complete trials than which none is better in every objective.
        file: the text of sweep.yaml.
    """

    path: Path
    name: str
    objectives: tuple[Objective, ...]
    trials: tuple[Trial, ...]
    total: int
    dimensions: tuple[Dimension, ...]
    front: tuple[int, ...]
    file: str

    def counted(self, *states: State) -> list[Trial]:
        """The trials in some states."""
        return [trial for trial in self.trials if trial.state in states]

    def ranked(self, objective: int = 0) -> list[Trial]:
        """The complete trials, the best by an objective first."""
        sign = -1 if self.objectives[objective].maximize else 1
        return sorted(self.counted("complete"), key=lambda it: (sign * it.values[objective], it.number))

    @property
    def best(self) -> list[Trial]:
        """The best trial; of several objectives, those on the front."""
        if len(self.objectives) == 1:
            return self.ranked()[:1]
        return [trial for trial in self.trials if trial.number in self.front]


def read_sweep_facts(path: Path) -> SweepFacts:
    """Read a sweep's folder.

    Raises:
        SweepError: it has no results yet, or damaged ones.
    """
    folder = SweepFolder(path)
    result = folder.read_results()
    try:
        dimensions = searched_dimensions(read_sweep(folder.file).space, result.trials)
    except (ConfigError, LookupError):  # the data may be gone, or the file be of another version
        dimensions = guessed_dimensions(result.trials)
    return SweepFacts(
        path=path,
        name=result.name,
        objectives=result.objectives,
        trials=tuple(_trial(row, result, folder.path) for row in result.trials),
        total=result.total,
        dimensions=dimensions,
        front=tuple(row["number"] for row in result.front),
        file=read_file(folder.file).decode(errors="replace"),
    )


def is_wide(values: Sequence[float], objective: Objective) -> bool:
    """Whether values ask for a logarithmic axis: those of what shall be small, near 0."""
    return not objective.maximize and len(values) > 1 and min(values) > 0 and max(values) > 20 * min(values)


def told_value(metric: str, value: float) -> str:
    """An objective's value.

    >>> told_value("val_loss", 0.5), told_value("parameters", 4810.0)
    ('0.5000', '4,810')
    """
    return f"{value:,.0f}" if metric == "parameters" else short(value)


def _trial(row: Mapping[str, Any], result: SweepResult, folder: Path) -> Trial:
    return Trial(
        number=row["number"],
        state=row["state"],
        values=_several(row.get("value")),
        spread=_several(row.get("spread")),
        params=row["params"],
        error=row.get("error") or "",
        seconds=row.get("seconds") or 0.0,
        epochs=row.get("epochs") or 0,
        history=read_history(_run_dir(Path(row["run_dir"]), result.run_dir, folder)),
    )


def _run_dir(run_dir: Path, before: Path, now: Path) -> Path:
    """The folder of a trial's run, also after the sweep's was moved."""
    return now / run_dir.relative_to(before) if run_dir.is_relative_to(before) else run_dir


def _several(value: Any) -> tuple[float, ...]:
    if value is None:
        return ()
    return tuple(map(float, value)) if isinstance(value, list) else (float(value),)
