"""Sampling: Optuna's samplers, called in an order that does not depend on the speed of workers.

Each trial has its own sampler, seeded from (sweep seed, trial number). The sampler of trial k knows the results of
trials 0 to
k - `parallel` and the parameters of those after. The trials of a sweep therefore depend only on its file: the number of
workers,
the engine and interruptions change nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from mxtrain.config import Point, Sweep
from mxtrain.config.search.samplers_and_pruners import CMAES, GP, NSGA2, QMC, TPE, AnySampler
from mxtrain.errors import SweepError

STUDY = "sweep"
"""What the study in memory is called; Hyperband shares trials among its brackets by this name and their numbers."""

SAMPLER_PACKAGES = {"qmc": ("scipy",), "cmaes": ("cmaes",), "gp": ("scipy", "torch")}
"""What samplers need besides Optuna."""
REDRAWN_SAMPLERS = ("grid", "random", "qmc", "nsga2")
"""Samplers that keep more in mind than what stands in trials, and are quick: what they drew is drawn again."""


@dataclass(frozen=True, slots=True)
class SampledPoint:
    """A point, with what Optuna must know of it.

    Attributes:
        point: what the trial shall try.
        distributions: what each value was drawn from, by the sampler's names.
        attributes: what the sampler noted with the trial, for later ones.
    """

    point: Point
    distributions: Mapping[str, BaseDistribution]
    attributes: Mapping[str, Any]


class TrialSampler:
    """Draws the points of a sweep's trials, in the order of their numbers.

    Args:
        sweep: the sweep.

    Raises:
        SweepError: the sampler needs a package that is not there.
    """

    def __init__(self, sweep: Sweep) -> None:
        _check_packages(sweep.settings.sampler.kind)
        self._sweep = sweep
        self._grid: Iterator[dict[str, Any]] = sweep.space.grid() if sweep.settings.sampler.kind == "grid" else iter(())
        self.study = optuna.create_study(directions=directions(sweep), study_name=STUDY)

    def draw(self, number: int) -> SampledPoint:
        """The point of the next trial."""
        if self._sweep.settings.sampler.kind == "grid":
            self.study.enqueue_trial(next(self._grid))
        self.study.sampler = _sampler_of_trial(self._sweep, number)
        trial = self.study.ask()
        assert trial.number == number, "trials are drawn in order"
        point = self._sweep.space.sample(trial)
        frozen = self.study.get_trials(deepcopy=False)[number]
        return SampledPoint(point, frozen.distributions, frozen.system_attrs)

    def restore_sample(self, number: int, drawn: SampledPoint) -> SampledPoint:
        """The next trial was drawn by an earlier process."""
        if self._sweep.settings.sampler.kind in REDRAWN_SAMPLERS:
            again = self.draw(number)
            if again.point.drawn != drawn.point.drawn:
                raise SweepError(
                    f"trial {number} is recorded with {drawn.point.drawn}, but {again.point.drawn} is drawn now: "
                    "the sweep was begun with another version of mxtrain, Optuna or SciPy; begin another one"
                )
            return again
        trial = create_trial(
            state=TrialState.RUNNING,
            params=dict(drawn.point.drawn),
            distributions=dict(drawn.distributions),
            system_attrs=dict(drawn.attributes),
        )
        self.study.add_trial(trial)
        return drawn

    def tell(
        self, number: int, state: TrialState, values: list[float] | None, intermediate_values: Mapping[int, float]
    ) -> None:
        """What came of a trial.

        Args:
            number: of the trial.
            state: complete, pruned or failed.
            values: its value for each objective; None where it has none.
            course: its value after each epoch at which it was looked at.
        """
        trial_id = self.study.get_trials(deepcopy=False)[number]._trial_id
        for epoch, value in intermediate_values.items():
            self.study._storage.set_trial_intermediate_value(trial_id, epoch, value)
        self.study.tell(number, values if state == TrialState.COMPLETE else None, state=state)


def directions(sweep: Sweep) -> list[StudyDirection]:
    """Optuna's word for each objective."""
    words = {True: StudyDirection.MAXIMIZE, False: StudyDirection.MINIMIZE}
    return [words[each.maximize] for each in sweep.settings.objectives]


def sampler_seed(sweep_seed: int, number: int) -> int:
    """The seed of one trial's sampler, below 2³², as a pure function of the sweep's seed and the trial's number."""
    return int.from_bytes(sha256(f"{sweep_seed} {number}".encode()).digest()[:4], "little")


def _check_packages(kind: str) -> None:
    """Optuna looks for them only once a sampler begins to learn."""
    for package in SAMPLER_PACKAGES.get(kind, ()):
        if find_spec(package) is None:
            extra = "gp" if kind == "gp" else "samplers"
            raise SweepError(f"the sampler {kind} needs {package}; pip install 'mxtrain[{extra}]'")


def _sampler_of_trial(sweep: Sweep, number: int) -> BaseSampler:
    """The sampler of one trial."""
    return _create_sampler(sweep.settings.sampler, sampler_seed(sweep.settings.seed, number), sweep.settings.seed)


def _create_sampler(config: AnySampler, seed: int, sweep_seed: int) -> BaseSampler:
    samplers = optuna.samplers
    match config:
        case TPE():
            return samplers.TPESampler(
                seed=seed,
                n_startup_trials=config.startup,
                n_ei_candidates=config.candidates,
                multivariate=config.multivariate,
                group=config.group,
                constant_liar=True,  # what is under way counts as bad, so that it is not tried twice
            )
        case GP():
            return samplers.GPSampler(
                seed=seed,
                n_startup_trials=config.startup,
                deterministic_objective=config.deterministic,
                warn_independent_sampling=False,
            )
        case CMAES():
            return samplers.CmaEsSampler(
                seed=seed,
                n_startup_trials=config.startup,
                popsize=config.population,
                with_margin=config.variant == "margin",
                use_separable_cma=config.variant == "separable",
                lr_adapt=config.variant == "adaptive",
                warn_independent_sampling=False,
            )
        case NSGA2():
            return samplers.NSGAIISampler(
                seed=seed,
                population_size=config.population,
                crossover_prob=config.crossover,
                swapping_prob=config.swap,
                mutation_prob=config.mutation,
            )
        case QMC():
            return samplers.QMCSampler(
                qmc_type=config.sequence,
                scramble=config.scramble,
                seed=sampler_seed(sweep_seed, -1),  # all trials are points of one sequence
                independent_sampler=samplers.RandomSampler(seed=seed),
                warn_independent_sampling=False,
            )
    return samplers.RandomSampler(seed=seed)
