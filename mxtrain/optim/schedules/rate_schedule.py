"""Base class of schedules of the learning rate and of other numbers of a rule."""

from abc import abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, ClassVar, Self, final

from pydantic import PrivateAttr, model_validator

from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.optim.schedules.base import Schedule, base_value
from mxtrain.optim.schedules.lengths import Per, RunLength, Warmup, resolve_length
from mxtrain.types import Finite, Positive, UnitInterval, field_error


class RateSchedule(Schedule):
    """Base class of learning-rate schedules, with a linear warm-up.

    `value(t) = η·(t + 1) / (warmup + 1)` while `t < warmup`; in the formulas of the schedules, `t` counts from the end
    of the warm-up. The warm-up starts above 0, and reaches η at its end.

    In the field `schedules` of a rule, the same kinds schedule other numbers: η then stands for the number's own value.

    Args:
        η: learning rate at the end of the warm-up, above 0; the default is that of the optimizer. Not for other
            numbers.
        per: unit of `t`, `warmup` and all other times: finished epochs, finished iterations, or the finished fraction
            of the run, from 0 to 1.
        warmup: number of epochs or iterations of the warm-up, or its fraction of the run, in which η rises in equal
            steps; at least 0, which means no warm-up.

    Example:
        >>> from mxtrain.learning_rate import Cosine
        >>> [round(Cosine(η=0.1, T=2, warmup=3).value(t), 3) for t in range(7)]
        [0.025, 0.05, 0.075, 0.1, 0.05, 0.0, 0.0]

    Source: the "gradual warmup" of Goyal et al., "Accurate, Large Minibatch SGD" (2017), arXiv:1706.02677, section 2.2.
    """

    lengths: ClassVar[tuple[str, ...]] = ("T",)
    """Names of the fields that may be `run` or `run/N`."""
    has_known_values: ClassVar[bool] = False
    """True if all values are between those of `extreme_values`, so that they are checked with the config."""

    kind: str
    η: Positive | None = None
    per: Per = "epoch"
    warmup: Warmup = 0
    _iterations: int | None = PrivateAttr(None)

    @property
    def run_length(self) -> str | None:
        """The length that depends on that of the run, `run` or `run/N`, or `fraction`; None if there is none."""
        words = (getattr(self, name, None) for name in self.lengths)
        word = next((word for word in words if isinstance(word, str)), None)
        return word or ("fraction" if self.per == "fraction" and self._iterations is None else None)

    @property
    def needs_run(self) -> bool:
        """True if the schedule has no values before `for_run`."""
        return self.run_length is not None

    def run_problem(self) -> ConfigProblem | None:
        """Return the problem of a schedule that needs a run, where there is none."""
        if not self.needs_run:
            return None
        known = "only a run of mxtrain.fit has a known length"
        remedy = "in a loop of your own, pass it: mxtrain.build(config, run=(epochs, batches))"
        for name in self.lengths:
            word = getattr(self, name, None)
            if isinstance(word, str):
                return ConfigProblem(name, f"must be a number, got {word}: {known}; {remedy}")
        return ConfigProblem("per", f"must be epoch or iteration, got fraction: {known}; {remedy}")

    def for_run(self, epochs: int, batches: int | Fraction, path: str = "optimizer.η_sched") -> Self:
        """Return the schedule with its lengths as numbers, for a run.

        Args:
            epochs: the number of epochs.
            batches: the number of batches in an epoch; with `accumulate`, that of its updates.
            path: the path of the schedule, for error messages.

        Raises:
            ConfigError: the warm-up takes the whole run, or a part of the schedule is longer than what is left.
        """
        iterations = max(1, int(epochs * batches))
        length = {"epoch": epochs, "iteration": iterations, "fraction": 1.0}[self.per]
        return self.for_length(length, iterations, path, f"the {self.per}s of the run, {length}")

    def for_length(self, length: float, iterations: int, path: str, meaning: str) -> Self:
        """Return the schedule with its lengths as numbers, for a run, or for a part of it.

        Args:
            length: the length in the unit of the schedule.
            iterations: the number of iterations of the whole run.
            path: the path of the schedule, for error messages.
            meaning: words for the length, for error messages.
        """
        if self.run_length is None:
            return self
        if self.warmup >= length:
            message = f"must be below {meaning}, as T is {self.run_length}, got {self.warmup}"
            raise ConfigError([ConfigProblem(f"{path}.warmup", message)])
        resolved = self._for_length(length - self.warmup, iterations, path)
        if self.per == "fraction":
            resolved = resolved.model_copy()
            resolved._iterations = iterations
        return resolved

    def _for_length(self, left: float, iterations: int, path: str) -> Self:
        """Return the schedule with its lengths as numbers, where `left` is left after the warm-up."""
        numbers = {
            name: resolve_length(word, left) for name in self.lengths if isinstance(word := getattr(self, name, 0), str)
        }
        return self.model_copy(update=numbers)

    @final
    def value(self, t: float, base: float | None = None) -> float:
        """Return the learning rate after `t` finished epochs or iterations, or the fraction `t` of the run."""
        η = base_value(self, "η", base)
        if t >= self.warmup:
            return self.after_warmup(η, t - self.warmup)
        unit = 1 / (self._iterations or 1) if self.per == "fraction" else 1
        return η * ((t + unit) / (self.warmup + unit))

    @abstractmethod
    def after_warmup(self, η: float, t: float) -> float:
        """Return the learning rate `t` epochs or iterations after the warm-up, which ends at `η`."""

    def value_at(self, time: Any, base: float | None) -> float:
        """Return the value at the time of an update (`Time`)."""
        per = self.per
        t = time.epochs if per == "epoch" else time.iteration - 1 if per == "iteration" else self.finished(time)
        return self.value(t, base)

    def finished(self, time: Any) -> float:
        """Return how much is finished at the time of an update, in the unit of the schedule."""
        if self.per == "epoch":
            return time.epochs  # type: ignore[no-any-return]
        finished: int = time.iteration - 1
        if self.per == "iteration":
            return finished
        if self._iterations is None:
            raise ValueError(f"{type(self).__name__} is per: fraction, and needs the length of the run; call for_run")
        return min(finished / self._iterations, 1.0)

    def extreme_values(self, base: float) -> Iterator[tuple[str, float]]:
        """Yield the values between which the schedule stays, or falls towards 0, each with the field that sets it.

        A schedule without any has values that are only known at each step.
        """
        if not self.has_known_values:
            return
        η = base_value(self, "η", base)
        yield from self.extremes_after_warmup(η)
        if self.warmup:
            yield "warmup", η / (self.warmup + 1)

    def extremes_after_warmup(self, η: float) -> Iterator[tuple[str, float]]:
        """Yield the extreme values after the warm-up."""
        yield "η", η

    def highest(self, base: float) -> float:
        """Return the largest value that the schedule can have; infinity if that is unknown."""
        return max((value for _, value in self.extreme_values(base)), default=float("inf"))

    def observed_metrics(self) -> tuple[tuple[str, str], ...]:
        """Return the metrics that the schedule follows, each with the path of the field that names it."""
        return ()


class DecayingSchedule(RateSchedule):
    """Base class of schedules that lead from η to a last value, which is a fraction of η or a number.

    Args:
        T: number of epochs or iterations of the change; or `run`, or `run/N`.
        α: last value as a fraction of η, from 0 to 1.
        end: last value, in place of α; it may exceed η.
    """

    has_known_values: ClassVar = True
    T: RunLength
    α: UnitInterval = 0.0
    end: Finite | None = None

    @model_validator(mode="after")
    def _check_one_end(self) -> Self:
        if self.end is not None and self.α != 0:
            raise field_error("end", f"α is set too, and both are the last value; remove one, got {self.end}")
        return self

    def last_value(self, η: float) -> float:
        """Return the value at the end."""
        return η * self.α if self.end is None else self.end

    def between(self, η: float, s: float) -> float:
        """Return the value with a share `s` of η, from 1 to 0, and the rest of the last value."""
        return η * (s + self.α * (1 - s)) if self.end is None else η * s + self.end * (1 - s)

    def extremes_after_warmup(self, η: float) -> Iterator[tuple[str, float]]:
        """Yield η and the last value."""
        yield "η", η
        yield ("α" if self.end is None else "end"), self.last_value(η)


def numeric_length(schedule: RateSchedule, T: float | str) -> float:
    """Return a length that must be a number.

    Raises:
        ValueError: it is `run` or `run/N`.
    """
    if not isinstance(T, str):
        return T
    name = type(schedule).__name__
    raise ValueError(
        f"{name}.value needs a number: T is {T!r}, and the length of the run is unknown; "
        f"give a number, as in {name}(T=20), or call for_run(epochs, batches)"
    )
