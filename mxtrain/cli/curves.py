"""The course of η and μ over a run, as numbers."""

from dataclasses import dataclass

from mxtrain.config import RunConfig
from mxtrain.data import Batches, prepare
from mxtrain.numbers import count
from mxtrain.optimizers import Rule, Time

POINTS = 2000
"""Points of a curve; more would not be seen."""
LARGEST, SMALLEST = 1e300, 1e-300
"""What is larger is drawn as this, what is smaller as 0: an axis needs room for its margin and its steps."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One value over the run.

    Attributes:
        letter, meaning: what it is called, `η` and `learning rate`.
        values: one for each time of the course.
    """

    letter: str
    meaning: str
    values: list[float]


@dataclass(frozen=True, slots=True)
class Course:
    """What the schedules of a run come to.

    Attributes:
        title: of which run this is.
        batches: iterations in an epoch.
        times: in epochs, from 0 to the end of the last.
        curves: η, and μ where the rule has it.
    """

    title: str
    batches: int
    times: list[float]
    curves: list[Curve]


def bounds(values: list[float]) -> tuple[float, float]:
    """Between which values to draw: from 0, unless all lie in the upper half of what that would show.

    >>> bounds([0.5, 1.0]), bounds([0.0, 0.0])
    ((0.0, 1.05), (0.0, 1.0))
    """
    low, high = min(values), max(values)
    if high == 0:
        return 0.0, 1.0
    margin = 0.05 * (high - low or high)
    return (0.0, high * 1.05) if low <= 0.5 * high or low == high else (low - margin, high + margin)


def course(run: RunConfig) -> Course:
    """The course of a run's η and μ. The data are read, because their number says how long an epoch is.

    Raises:
        DataError: the data cannot be read.
    """
    batches = len(Batches(prepare(run).training, run.data, run.seed))
    epochs = run.fit.epochs
    rule = run.optimizer.for_run(epochs, batches)
    iterations = _spread(epochs * batches)
    curves = [Curve("η", "learning rate", [_learning_rate(rule, each, batches) for each in iterations])]
    momenta = [μ for each in iterations if (μ := rule.momentum(each)) is not None]
    if momenta:
        curves.append(Curve("μ", "momentum", momenta))
    for curve in curves:
        curve.values.append(curve.values[-1])  # what holds in the last iteration holds to its end
    times = [(each - 1) / batches for each in iterations]
    title = f"{run.name}: {count(epochs, 'epoch')} of {count(batches, 'iteration')}"
    return Course(title, batches, [*times, float(epochs)], curves)


def _spread(iterations: int) -> list[int]:
    """All iterations, or of many an even choice with the first and the last."""
    if iterations <= POINTS:
        return list(range(1, iterations + 1))
    return [1 + point * (iterations - 1) // (POINTS - 1) for point in range(POINTS)]


def _learning_rate(rule: Rule, iteration: int, batches: int) -> float:
    η = rule.learning_rate(Time(iteration, iteration, (iteration - 1) // batches))
    return min(η, LARGEST) if η >= SMALLEST else 0.0
