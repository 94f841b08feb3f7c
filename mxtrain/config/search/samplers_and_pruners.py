"""Settings of the samplers and pruners. Optuna implements them, and the defaults are Optuna's."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mxtrain.types import Bounds, Config, NonNegativeInt, PositiveInt, UnitInterval, field_error

Reduction = Annotated[int, Bounds(ge=2, whole=True, ceiling=2**31 - 1)]


class NoPruner(Config):
    """Every trial is trained to its end."""

    kind: Literal["none"] = "none"


class Median(Config):
    """A trial ends where its best value so far is worse than the median of earlier trials at the same epoch.

    Args:
        startup: trials that are trained to their end before any is ended early, at least 1.
        warmup: epochs of each trial in which it is left alone, at least 0.
        interval: epochs from one look at a trial to the next, at least 1.
    """

    kind: Literal["median"] = "median"
    startup: PositiveInt = 5
    warmup: NonNegativeInt = 0
    interval: PositiveInt = 1


class ASHA(Config):
    """Successive halving, asynchronous: of the trials that reach a rung, one in `reduction` goes on to the next.

    The rungs stand at `min_epochs`, `min_epochs`·`reduction`, `min_epochs`·`reduction`² and so on.

    Args:
        reduction: how many times fewer trials, and more epochs, from rung to rung, at least 2.
        min_epochs: the epoch of the first rung, at least 1.
    """

    kind: Literal["asha"] = "asha"
    reduction: Reduction = 4
    min_epochs: PositiveInt = 1


class Hyperband(Config):
    """Several successive halvings side by side, whose first rungs stand at different epochs.

    Args:
        reduction: how many times fewer trials, and more epochs, from rung to rung, at least 2.
        min_epochs: the epoch of the first rung of all, at least 1.
    """

    kind: Literal["hyperband"] = "hyperband"
    reduction: Reduction = 3
    min_epochs: PositiveInt = 1


PRUNERS = (NoPruner, Median, ASHA, Hyperband)
AnyPruner = Annotated[NoPruner | Median | ASHA | Hyperband, Field(discriminator="kind")]

Population = Annotated[int, Bounds(ge=2, whole=True, ceiling=2**31 - 1)]


class Grid(Config):
    """Every point of the grid, in the order of the file, the last value fastest."""

    kind: Literal["grid"] = "grid"


class Random(Config):
    """Each value on its own, as its distribution says."""

    kind: Literal["random"] = "random"


class QMC(Config):
    """Points of a sequence that fills the space more evenly than chance.

    What hangs on a choice is drawn at random.

    Args:
        sequence: `sobol` or `halton`.
        scramble: whether the sequence is scrambled, by `sweep.seed`.
    """

    kind: Literal["qmc"] = "qmc"
    sequence: Literal["sobol", "halton"] = "sobol"
    scramble: bool = False


class TPE(Config):
    """The tree-structured Parzen estimator: values that resemble those of the better trials.

    Args:
        startup: trials that are drawn at random before it begins to learn, at least 1.
        candidates: points that are weighed against each other for each trial, at least 1.
        multivariate: whether values are drawn together rather than each on its own; left out, with one objective.
        group: whether values that occur only in some trials are drawn together too, those of each branch.
    """

    kind: Literal["tpe"] = "tpe"
    startup: PositiveInt = 10
    candidates: PositiveInt = 24
    multivariate: bool | None = None
    group: bool = False

    @model_validator(mode="after")
    def _check_group(self) -> Self:
        if self.group and self.multivariate is False:
            raise field_error("group", "values of a group are drawn together; leave multivariate out")
        return self


class GP(Config):
    """A Gaussian process: where the expected improvement is largest.

    Args:
        startup: trials that are drawn at random before it begins to learn, at least 1.
        deterministic: whether the same point would always give the same value, without noise.
    """

    kind: Literal["gp"] = "gp"
    startup: PositiveInt = 10
    deterministic: bool = False


class CMAES(Config):
    """Covariance matrix adaptation: for several numbers; choices, and what hangs on one, are drawn at random.

    Args:
        startup: trials that are drawn at random before it begins to learn, at least 1.
        population: points in a generation, at least 2; left out, it follows from how many numbers are searched.
        variant: `plain`; `margin` for numbers with a step; `separable` for many numbers; `adaptive` adapts the rate of
            learning, for a bumpy or noisy objective.
    """

    kind: Literal["cmaes"] = "cmaes"
    startup: PositiveInt = 1
    population: Population | None = None
    variant: Literal["plain", "margin", "separable", "adaptive"] = "plain"


class NSGA2(Config):
    """A genetic algorithm for several objectives.

    Args:
        population: points in a generation, at least 2.
        crossover: how likely a child has two parents, from 0 to 1.
        swap: how likely each value then comes from the second parent, from 0 to 1.
        mutation: how likely each value is drawn anew, from 0 to 1; left out, 1 by the number of values.
    """

    kind: Literal["nsga2"] = "nsga2"
    population: Population = 50
    crossover: UnitInterval = 0.9
    swap: UnitInterval = 0.5
    mutation: UnitInterval | None = None


SAMPLERS = (Grid, Random, QMC, TPE, GP, CMAES, NSGA2)
AnySampler = Annotated[Grid | Random | QMC | TPE | GP | CMAES | NSGA2, Field(discriminator="kind")]
