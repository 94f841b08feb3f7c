"""Settings of the samplers and pruners; Optuna implements them, and the defaults are those of Optuna."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mxtrain.types import Bounds, Config, NonNegativeInt, PositiveInt, UnitInterval, field_error

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
