"""The settings of the `sweep` section: objectives, samplers, pruners, number of trials, storage.

Optuna implements the samplers and pruners; their defaults are those of Optuna.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from mxtrain.config.yaml.nodes import format_path
from mxtrain.types import (
    Bounds,
    Config,
    ListAsTuple,
    Monitor,
    NonNegativeInt,
    PositiveInt,
    Seed,
    UnitInterval,
    describe,
    field_error,
    mismatch_error,
)

Reduction = Annotated[int, Bounds(ge=2, whole=True, ceiling=2**31 - 1)]


class NoPruner(Config):
    """No pruning."""

    kind: Literal["none"] = "none"


class Median(Config):
    """Median pruning: prune a trial whose best value is worse than the median of earlier trials at the same epoch.

    Args:
        startup: number of complete trials before any trial is pruned, at least 1.
        warmup: number of epochs in which no trial is pruned, at least 0.
        interval: number of epochs between two comparisons, at least 1.
    """

    kind: Literal["median"] = "median"
    startup: PositiveInt = 5
    warmup: NonNegativeInt = 0
    interval: PositiveInt = 1


class ASHA(Config):
    """Asynchronous successive halving: of the trials that reach a rung, the best one in `reduction` continues.

    The rungs are at the epochs `min_epochs`, `min_epochs`·`reduction`, `min_epochs`·`reduction`² and so on.

    Args:
        reduction: factor between the epochs, and the numbers of trials, of two rungs, at least 2.
        min_epochs: the epoch of the first rung, at least 1.
    """

    kind: Literal["asha"] = "asha"
    reduction: Reduction = 4
    min_epochs: PositiveInt = 1


class Hyperband(Config):
    """Hyperband: several brackets of successive halving, whose first rungs are at different epochs.

    Args:
        reduction: factor between the epochs, and the numbers of trials, of two rungs, at least 2.
        min_epochs: the epoch of the first rung of all brackets, at least 1.
    """

    kind: Literal["hyperband"] = "hyperband"
    reduction: Reduction = 3
    min_epochs: PositiveInt = 1


PRUNERS = (NoPruner, Median, ASHA, Hyperband)
AnyPruner = Annotated[NoPruner | Median | ASHA | Hyperband, Field(discriminator="kind")]

Population = Annotated[int, Bounds(ge=2, whole=True, ceiling=2**31 - 1)]


class Grid(Config):
    """Grid search: every point of the grid, in the order of the file; the last value changes fastest."""

    kind: Literal["grid"] = "grid"


class Random(Config):
    """Random search: every value is drawn independently from its distribution."""

    kind: Literal["random"] = "random"


class QMC(Config):
    """Quasi-Monte Carlo: points of a low-discrepancy sequence, which cover the space more evenly than random ones.

    Choices, and values inside of one, are drawn at random.

    Args:
        sequence: `sobol` or `halton`.
        scramble: scramble the sequence, seeded by `sweep.seed`.
    """

    kind: Literal["qmc"] = "qmc"
    sequence: Literal["sobol", "halton"] = "sobol"
    scramble: bool = False


class TPE(Config):
    """Tree-structured Parzen estimator: values that resemble those of the better trials.

    Args:
        startup: number of random trials before the sampler uses results, at least 1.
        candidates: number of candidate points for each trial, at least 1.
        multivariate: draw all values jointly; by default only with one objective.
        group: draw values that occur only in some trials jointly too, those of each branch.
    """

    kind: Literal["tpe"] = "tpe"
    startup: PositiveInt = 10
    candidates: PositiveInt = 24
    multivariate: bool | None = None
    group: bool = False

    @model_validator(mode="after")
    def _check_group(self) -> Self:
        if self.group and self.multivariate is False:
            raise field_error("group", "needs multivariate sampling; remove multivariate: false")
        return self


class GP(Config):
    """Gaussian process: the point with the largest expected improvement.

    Args:
        startup: number of random trials before the sampler uses results, at least 1.
        deterministic: treat the objective as free of noise.
    """

    kind: Literal["gp"] = "gp"
    startup: PositiveInt = 10
    deterministic: bool = False


class CMAES(Config):
    """CMA-ES (covariance matrix adaptation) for at least two numbers; choices, and values in one, are drawn at random.

    Args:
        startup: number of random trials before the sampler uses results, at least 1.
        population: size of a generation, at least 2; by default it depends on how many numbers are searched.
        variant: `plain`; `margin` for numbers with a step; `separable` for many numbers; `adaptive` adapts the learning
            rate of the search, for multimodal or noisy objectives.
    """

    kind: Literal["cmaes"] = "cmaes"
    startup: PositiveInt = 1
    population: Population | None = None
    variant: Literal["plain", "margin", "separable", "adaptive"] = "plain"


class NSGA2(Config):
    """NSGA-II: a genetic algorithm for several objectives.

    Args:
        population: size of a generation, at least 2.
        crossover: probability that a child has two parents, from 0 to 1.
        swap: probability that a value of such a child comes from the second parent, from 0 to 1.
        mutation: probability that a value is drawn again, from 0 to 1; by default 1 / (number of values).
    """

    kind: Literal["nsga2"] = "nsga2"
    population: Population = 50
    crossover: UnitInterval = 0.9
    swap: UnitInterval = 0.5
    mutation: UnitInterval | None = None


SAMPLERS = (Grid, Random, QMC, TPE, GP, CMAES, NSGA2)
AnySampler = Annotated[Grid | Random | QMC | TPE | GP | CMAES | NSGA2, Field(discriminator="kind")]

ObjectiveMetric = Literal[Monitor, "parameters"]
"""The possible objectives: a metric, or the number of trained parameters."""

_EXAMPLE = "{maximize: val_accuracy}"
_DATABASES = ("postgresql", "mysql", "sqlite")
_NO_PASSWORD = re.compile(r"(\w+://)?[\w./-]+")
_STORAGE_URL = re.compile(rf"({'|'.join(_DATABASES)})(\+\w+)?://\S+")


@dataclass(frozen=True, slots=True)
class Objective:
    """An objective: a metric, and its direction."""

    metric: str
    maximize: bool


class Goal(Config):
    """An objective in a file: `{maximize: val_accuracy}` or `{minimize: val_loss}`.

    Args:
        maximize: the metric to maximize, such as `val_accuracy`; or `parameters`.
        minimize: the metric to minimize, such as `val_loss`; or `parameters`, the number of trained parameters.
    """

    maximize: ObjectiveMetric | None = None
    minimize: ObjectiveMetric | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_mapping(cls, data: Any) -> Any:
        if isinstance(data, Mapping | Goal):
            return data
        context = {"example": _EXAMPLE, "got": describe(data)}
        raise PydanticCustomError("message", "must be a mapping such as {example}, got {got}", context)

    @model_validator(mode="after")
    def _check_one_direction(self) -> Self:
        if self.maximize is None and self.minimize is None:
            raise PydanticCustomError("message", "must name a metric, as in {example}", {"example": _EXAMPLE})
        if self.maximize is not None and self.minimize is not None:
            raise field_error("minimize", "an objective has one direction; for two objectives write a list of two")
        return self

    @model_serializer
    def _serialize_direction(self) -> dict[str, str | None]:
        return {"minimize": self.minimize} if self.maximize is None else {"maximize": self.maximize}


def _objective_tag(value: Any) -> str:
    return "several" if isinstance(value, list | tuple) else "one"


Goals = Annotated[
    Annotated[Goal, Tag("one")] | Annotated[tuple[Goal, ...], ListAsTuple, Field(min_length=1), Tag("several")],
    Discriminator(_objective_tag),
]


@dataclass(frozen=True, slots=True)
class _Workers:
    """A number of workers, or `auto`."""

    bounds = Bounds(ge=1, whole=True, ceiling=10_000)

    def check(self, value: object) -> int | str:
        if value == "auto":
            return "auto"
        if isinstance(value, str):
            raise mismatch_error("a whole number at least 1, or auto", value)
        return int(self.bounds.check(value))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1}]}


def _check_path(path: object) -> str:
    """Check a path, and return it with the names in the documentation."""
    if not isinstance(path, str):
        raise mismatch_error("the path of a choice in sweep.search, such as optimizer", path)
    return format_path(path.split("."))


def _check_storage_url(url: object) -> str:
    """Check a database URL."""
    if not isinstance(url, str) or not _STORAGE_URL.fullmatch(url) or not _has_valid_host(url):
        known = "postgresql://, mysql:// or sqlite:///"
        message = "must be a database URL that begins with {known}, got {got}"
        raise PydanticCustomError("message", message, {"known": known, "got": _displayed_url(url)})
    if not url.startswith("sqlite") and _is_ambiguous(url):
        raise PydanticCustomError("message", "must have each of : / ? # @ in a user name or password percent-encoded")
    return url


def _displayed_url(url: object) -> str:
    """Return an invalid URL for error messages, without the parts in which a password may stand.

    >>> _displayed_url("foo://x/name"), _displayed_url("foo://me:s3cret@x"), _displayed_url("me:s3cret")
    ("'foo://x/name'", 'foo://…', 'a text that may contain a password')
    """
    if not isinstance(url, str) or _NO_PASSWORD.fullmatch(url):
        return describe(url)
    scheme, separator, _ = url.partition("://")
    return f"{scheme}://…" if separator and scheme.isalnum() else "a text that may contain a password"


def _has_valid_host(url: str) -> bool:
    """Return True if the port of a URL is a number or missing, and a user name is followed by a host."""
    try:
        parts = urlsplit(url)
        return parts.port != 0 and not parts.netloc.endswith("@")
    except ValueError:
        return "@" in url and _is_ambiguous(url)


def _is_ambiguous(url: str) -> bool:
    """Return True if programs may disagree on the end of the password in a URL."""
    location, _, query = url.partition("://")[2].partition("?")
    authority, _, path = location.partition("/")
    is_cut_off = "@" not in authority and "@" in query.partition("/")[0] and ":" in authority
    return authority.count("@") > 1 or "@" in path or "#" in url or is_cut_off


class SweepConfig(Config):
    """A search over values of a run file.

    Args:
        objective: `{maximize: val_accuracy}`, `{minimize: val_loss}`, or a list of such objectives, which gives a
            Pareto front. Besides metrics, `parameters` is possible: the number of trained parameters.
        sampler: the method that chooses points: `grid`, `random`, `qmc`, `tpe`, `gp`, `cmaes` or `nsga2`.
        stratify: the path of a choice whose options take turns, so that each has equally many trials; the sampler draws
            everything else.
        pruner: the method that stops poor trials early: `none`, `median`, `asha` or `hyperband`.
        trials: the number of trials, at least 1; by default a grid tries all its points.
        workers: the number of trials that are trained at the same time: a number, or `auto`, one for each core or GPU;
            results do not depend on it.
        seeds: the number of runs of each trial, at least 1, with the run's seed, that + 1, that + 2 and so on; their
            mean counts.
        seed: the seed of the sampler.
        parallel: the largest number of running trials, at least 1, if the sampler or the pruner uses results: trial k
            uses those of trials 0 to k - parallel, with any number of workers.
        storage: the database of the study, such as `postgresql://user@host/name`; by default a SQLite file in the
            sweep's folder.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    objective: Goals
    sampler: AnySampler = TPE()
    stratify: Annotated[str, BeforeValidator(_check_path)] | None = None
    pruner: AnyPruner = NoPruner()
    trials: PositiveInt | None = None
    workers: Annotated[int | str, _Workers()] = "auto"
    seeds: PositiveInt = 1
    seed: Seed = 0
    parallel: PositiveInt = 8
    storage: Annotated[str, BeforeValidator(_check_storage_url)] | None = Field(default=None, repr=False)

    @property
    def goals(self) -> tuple[Goal, ...]:
        """The objectives in the form of the file."""
        return self.objective if isinstance(self.objective, tuple) else (self.objective,)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives, at least one.

        >>> SweepConfig(objective={"minimize": "val_loss"}).objectives
        (Objective(metric='val_loss', maximize=False),)
        """
        return tuple(Objective(str(goal.maximize or goal.minimize), goal.maximize is not None) for goal in self.goals)
