"""Data of a sweep report: trials, search dimensions and hyperparameter importance."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from mxtrain.atomic_io import read_file
from mxtrain.config import Objective, read_sweep
from mxtrain.config.search.distributions import Distribution, Int, LogUniform
from mxtrain.config.search.space import Parameter, ParsedChoice, Space, all_parameters
from mxtrain.errors import ConfigError
from mxtrain.formatting import format_number
from mxtrain.reports.charts import Value
from mxtrain.sweeps import SweepFolder, SweepResult
from mxtrain.sweeps.run_sweep import silence_optuna
from mxtrain.training import Row
from mxtrain.training.history import read_history
from mxtrain.types import describe

Scale = Literal["linear", "log", "words"]
_WIDE = 50.0
"""By which factor values must spread to be taken for logarithmic, where nothing says what they were drawn from."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One value that was searched.

    Attributes:
        name: its path; inside of a choice, with the choice that it belongs to, as in `optimizer[adam].η`.
        scale: how it is drawn; `words` for values without an order of their own.
        words: of a choice, its values in the order of the file.
        values: its value by the numbers of the trials that have it.
    """

    name: str
    scale: Scale
    words: tuple[str, ...]
    values: Mapping[int, Value]

    @property
    def numbers(self) -> list[float]:
        """The values, where they are numbers."""
        return [value for value in self.values.values() if not isinstance(value, str)]

    @property
    def varies(self) -> bool:
        """Whether there is anything to compare."""
        return len(set(self.values.values())) > 1


def searched_dimensions(space: Space, rows: Sequence[Mapping[str, Any]]) -> tuple[Dimension, ...]:
    """The dimensions of a space, with what was drawn for each; a KeyError where the rows are of another one."""
    found = (_searched(parameter, rows) for parameter in all_parameters(space.parameters))
    return tuple(dimension for dimension in found if dimension.values)


def guessed_dimensions(rows: Sequence[Mapping[str, Any]]) -> tuple[Dimension, ...]:
    """The same from nothing but the rows."""
    paths = list(dict.fromkeys(path for row in rows for path in row["params"]))
    return tuple(_guessed(path, paths, rows) for path in paths)


def plain(value: Any) -> str:
    """A value as a reader sees it.

    >>> plain([64, 64]), plain({"kind": "sgd", "clip": 0.1}), plain(0.00123456789), plain(None)
    ('[64, 64]', '{kind: sgd, clip: 0.1}', '0.001235', 'null')
    """
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {plain(item)}' for name, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(plain, value))}]"
    if isinstance(value, float):
        return f"{value:.4g}"
    return describe(value).strip("'")


def _searched(parameter: Parameter, rows: Sequence[Mapping[str, Any]]) -> Dimension:
    drawn = {row["number"]: row["drawn"][parameter.name] for row in rows if parameter.name in row["drawn"]}
    distribution = parameter.distribution
    if isinstance(distribution, ParsedChoice):
        words = {repr(label): label if isinstance(label, str) else describe(label) for label in distribution.labels}
        return Dimension(
            parameter.name, "words", tuple(words.values()), {number: words[repr(it)] for number, it in drawn.items()}
        )
    values = {number: _number(distribution, it) for number, it in drawn.items()}
    is_log = isinstance(distribution, LogUniform) or (isinstance(distribution, Int) and distribution.log)
    return Dimension(parameter.name, "log" if is_log else "linear", (), values)


def _number(distribution: Distribution, drawn: Any) -> float:
    value = distribution.value(drawn)
    assert isinstance(value, int | float), "only choices are of anything else"
    return value


def _guessed(path: str, paths: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Dimension:
    inside = [other[len(path) + 1 :] for other in paths if other.startswith(f"{path}.")]
    found = {row["number"]: row["params"][path] for row in rows if path in row["params"]}
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in found.values()):
        low, high = min(found.values()), max(found.values())
        is_log = low > 0 and high > _WIDE * low
        return Dimension(path, "log" if is_log else "linear", (), found)
    told = {number: _told(value, inside) for number, value in found.items()}
    return Dimension(path, "words", tuple(dict.fromkeys(sorted(told.values()))), told)


def _told(value: Any, inside: Sequence[str]) -> str:
    """A value without what is searched inside of it, which has a dimension of its own."""
    if not isinstance(value, Mapping):
        return plain(value)
    kept = json.loads(json.dumps(value))
    for path in inside:
        *above, last = path.split(".")
        holder: Any = kept
        for name in above:
            holder = holder.get(name, {}) if isinstance(holder, dict) else {}
        if isinstance(holder, dict):
            holder.pop(last, None)
    return plain(kept["kind"]) if kept.keys() == {"kind"} else plain(kept)


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
class SweepData:
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


def read_sweep_data(path: Path) -> SweepData:
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
    return SweepData(
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
    return f"{value:,.0f}" if metric == "parameters" else format_number(value)


def _trial(row: Mapping[str, Any], result: SweepResult, folder: Path) -> Trial:
    return Trial(
        number=row["number"],
        state=row["state"],
        values=_as_tuple(row.get("value")),
        spread=_as_tuple(row.get("spread")),
        params=row["params"],
        error=row.get("error") or "",
        seconds=row.get("seconds") or 0.0,
        epochs=row.get("epochs") or 0,
        history=read_history(_run_dir(Path(row["run_dir"]), result.run_dir, folder)),
    )


def _run_dir(run_dir: Path, before: Path, now: Path) -> Path:
    """The folder of a trial's run, also after the sweep's was moved."""
    return now / run_dir.relative_to(before) if run_dir.is_relative_to(before) else run_dir


def _as_tuple(value: Any) -> tuple[float, ...]:
    if value is None:
        return ()
    return tuple(map(float, value)) if isinstance(value, list) else (float(value),)


MIN_TRIALS = 10
"""Trials that must have ended before anything is said."""
_MIN_COMPLETE = 5
"""Trials that must be complete, and be compared with the rest."""
_MAX_CATEGORIES = 12
"""Numbers that are taken for a choice, where they are drawn again and again."""


def importances(sweep: SweepData, objective: int = 0) -> dict[str, float]:
    """How much each value decided whether a trial came to be among the best ones; shares, the largest first.

    Trials that were pruned or failed count as worse than all that are complete: their values tell as much of what is
    bad. Empty where too few trials have ended, or nothing differs between them; and for the count of `parameters`,
    which is no matter of trial.
    """
    if sweep.objectives[objective].metric == "parameters":
        return {}
    ended = sweep.counted("complete", "pruned", "failed")
    complete = sweep.ranked(objective)
    names = {dimension.name: dimension for dimension in sweep.dimensions if dimension.varies}
    if len(ended) < MIN_TRIALS or len(complete) < _MIN_COMPLETE or not names:
        return {}
    sign = -1 if sweep.objectives[objective].maximize else 1
    order = sorted({sign * trial.values[objective] for trial in complete})
    ranks = {trial.number: float(order.index(sign * trial.values[objective])) for trial in complete}
    distributions = {name: _distribution(dimension) for name, dimension in names.items()}
    with silence_optuna():
        study = optuna.create_study()
        for trial in ended:
            params = {name: it.values[trial.number] for name, it in names.items() if trial.number in it.values}
            study.add_trial(
                optuna.create_trial(
                    value=ranks.get(trial.number, float(len(order))),
                    params=params,
                    distributions={name: distributions[name] for name in params},
                )
            )
        evaluator = PedAnovaImportanceEvaluator(target_quantile=top(sweep) / len(ended))
        found = get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()} if sum(found.values()) > 0 else {}


def top(sweep: SweepData) -> int:
    """How many trials are the best: a quarter, or the better half of those that are complete where these are few."""
    ended, complete = sweep.counted("complete", "pruned", "failed"), sweep.counted("complete")
    return max(_MIN_COMPLETE, min(len(ended) // 4, len(complete) // 2))


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.scale == "words":
        return CategoricalDistribution(dimension.words)
    numbers, few = dimension.numbers, sorted(set(dimension.numbers))
    if (
        3 * len(few) <= len(numbers) and len(few) <= _MAX_CATEGORIES
    ):  # in a density they would be peaks with nothing between
        return CategoricalDistribution(few)
    return FloatDistribution(min(numbers), max(numbers), log=dimension.scale == "log")
