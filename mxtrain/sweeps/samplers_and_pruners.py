"""Optuna's samplers and pruners, called so that no decision depends on the speed of workers.

Each trial has its own sampler, seeded from (sweep seed, trial number). The sampler of trial k knows the results of
trials 0 to k - `parallel` and the parameters of those after, and the pruner compares trial k with the former. The
trials of a sweep therefore depend only on its file: the number of workers, the engine and interruptions change nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from optuna.trial import TrialState as OptunaState

from mxtrain.config import Sweep
from mxtrain.config.search.sweep_section import CMAES, GP, NSGA2, QMC, TPE, AnySampler
from mxtrain.errors import SweepError, SweepRequestError
from mxtrain.sweeps.trial_result import TrialResult

STUDY = "sweep"
"""The name of the study in memory; Hyperband assigns trials to its brackets by this name and their numbers."""
OPTUNA_STATES = {"complete": OptunaState.COMPLETE, "pruned": OptunaState.PRUNED, "failed": OptunaState.FAIL}

SAMPLER_PACKAGES = {"qmc": ("scipy",), "cmaes": ("cmaes",), "gp": ("scipy", "torch")}
"""Packages that samplers need besides Optuna."""
REDRAWN_SAMPLERS = ("grid", "random", "qmc", "nsga2")
"""Fast samplers with state that trials do not record; resuming samples their points again."""


class TrialSampler:
    """Draws the points of a sweep's trials, in the order of their numbers.

    Args:
        sweep: the sweep.

    Raises:
        SweepError: the sampler needs a package that is not installed.
    """

    def __init__(self, sweep: Sweep) -> None:
        check_packages(sweep.settings.sampler.kind)
        self._sweep = sweep
        self._grid: Iterator[dict[str, Any]] = sweep.space.grid() if sweep.settings.sampler.kind == "grid" else iter(())
        self._storage = InMemoryStorage()
        self._study = optuna.create_study(storage=self._storage, directions=directions(sweep), study_name=STUDY)

    def draw(self, number: int) -> TrialResult:
        """Draw the point of the next trial."""
        if self._sweep.settings.sampler.kind == "grid":
            self._study.enqueue_trial(next(self._grid))
        turn = number
        stratified, labels = self._sweep.settings.stratify, self._sweep.strata
        if stratified is not None:
            turn, option = divmod(number, len(labels))  # in each turn, all options get the same random numbers
            self._study.enqueue_trial({stratified: labels[option]})
        self._study.sampler = _create_sampler(
            self._sweep.settings.sampler, sampler_seed(self._sweep.settings.seed, turn), self._sweep.settings.seed
        )
        trial = self._study.ask()
        assert trial.number == number, "trials are drawn in order"
        point = self._sweep.space.sample(trial)
        frozen = self._study.get_trials(deepcopy=False)[number]
        return TrialResult(
            number, "waiting", point.params, point.drawn, frozen.distributions, sampler_attributes=frozen.system_attrs
        )

    def restore_sample(self, recorded: TrialResult) -> TrialResult:
        """Restore the point of the next trial, which an earlier process drew.

        Args:
            recorded: the trial as the study records it, in any state.

        Raises:
            SweepError: drawing it again gives another point.
        """
        if self._sweep.settings.sampler.kind in REDRAWN_SAMPLERS:
            redrawn = self.draw(recorded.number)
            if redrawn.sampler_params != recorded.sampler_params:
                raise SweepError(
                    f"trial {recorded.number} is recorded with {recorded.sampler_params}, but "
                    f"{redrawn.sampler_params} is drawn now: the sweep was started with another version of mxtrain, "
                    "Optuna or SciPy; start another sweep"
                )
            return redrawn
        self._study.add_trial(
            create_trial(
                state=OptunaState.RUNNING,
                params=dict(recorded.sampler_params),
                distributions=dict(recorded.distributions),
                system_attrs=dict(recorded.sampler_attributes),
            )
        )
        return TrialResult(
            recorded.number,
            "waiting",
            recorded.params,
            recorded.sampler_params,
            recorded.distributions,
            recorded.sampler_attributes,
        )

    def tell(self, result: TrialResult) -> None:
        """Report the result of a trial that is complete, pruned or failed, for the trials after it."""
        for epoch, value in result.intermediate_values.items():
            report_value(self._storage, result.number, epoch, value)
        values = list(result.values) if result.state == "complete" and result.values is not None else None
        self._study.tell(result.number, values, state=OPTUNA_STATES[result.state])


def report_value(storage: InMemoryStorage, number: int, epoch: int, value: float) -> None:
    """Report an intermediate value of a trial to the study `STUDY`; `Trial.report` works only for trials from `ask`."""
    study = storage.get_study_id_from_name(STUDY)
    trial = storage.get_trial_id_from_study_id_trial_number(study, number)
    storage.set_trial_intermediate_value(trial, epoch, value)


def directions(sweep: Sweep) -> list[StudyDirection]:
    """Return Optuna's direction of each objective."""
    return [StudyDirection.MAXIMIZE if each.maximize else StudyDirection.MINIMIZE for each in sweep.settings.objectives]


def sampler_seed(sweep_seed: int, number: int) -> int:
    """Return the seed of one trial's sampler, below 2³², as a pure function of the sweep's seed and trial number."""
    return int.from_bytes(sha256(f"{sweep_seed} {number}".encode()).digest()[:4], "little")


def check_packages(kind: str) -> None:
    """Check that the packages of a sampler are installed; Optuna imports them only after the startup trials.

    Raises:
        SweepRequestError: one is not.
    """
    for package in SAMPLER_PACKAGES.get(kind, ()):
        if find_spec(package) is None:
            extra = "gp" if kind == "gp" else "samplers"
            raise SweepRequestError(f"the sampler {kind} needs {package}; pip install 'mxtrain[{extra}]'")


def _create_sampler(config: AnySampler, seed: int, sweep_seed: int) -> BaseSampler:
    """Create the sampler of one trial."""
    samplers = optuna.samplers
    match config:
        case TPE():
            return samplers.TPESampler(
                seed=seed,
                n_startup_trials=config.startup,
                n_ei_candidates=config.candidates,
                multivariate=config.multivariate,
                group=config.group,
                constant_liar=True,  # running trials count as bad, so that they are not sampled twice
            )
        case GP() | CMAES():
            return _create_model_sampler(config, seed)
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


def _create_model_sampler(config: GP | CMAES, seed: int) -> BaseSampler:
    """Create the sampler of one trial, of a kind that needs packages besides Optuna."""
    if isinstance(config, GP):
        return optuna.samplers.GPSampler(
            seed=seed,
            n_startup_trials=config.startup,
            deterministic_objective=config.deterministic,
            warn_independent_sampling=False,
        )
    return optuna.samplers.CmaEsSampler(
        seed=seed,
        n_startup_trials=config.startup,
        popsize=config.population,
        with_margin=config.variant == "margin",
        use_separable_cma=config.variant == "separable",
        lr_adapt=config.variant == "adaptive",
        warn_independent_sampling=False,
    )


def rung_epochs(sweep: Sweep, epochs: int) -> list[int]:
    """Return the epochs after which a trial of `epochs` epochs is compared with others, without the last epoch."""
    pruner = sweep.settings.pruner
    match pruner.kind:
        case "median":
            return [epoch for epoch in range(pruner.warmup, epochs, pruner.interval) if epoch > 0]
        case "asha" | "hyperband":
            rungs, epoch = [], pruner.min_epochs
            while epoch < epochs:
                rungs.append(epoch)
                epoch *= pruner.reduction
            return rungs
    return []


def frozen_trial(result: TrialResult) -> FrozenTrial:
    """Return the part of a trial that Optuna's pruners read."""
    return create_trial(
        state=OPTUNA_STATES[result.state],
        values=list(result.values) if result.state == "complete" and result.values is not None else None,
        intermediate_values=dict(result.intermediate_values),
        system_attrs=dict(result.pruner_attributes),
    )


@dataclass(slots=True)
class TrialPruner:
    """Decides at each rung if one trial is pruned.

    Args:
        sweep: the sweep.
        number: the number of the trial.
        others: the ended trials 0 to `number - parallel`, by `frozen_trial`.

    Attributes:
        attributes: data that the pruner stores with the trial for later trials.
    """

    sweep: Sweep
    number: int
    others: Sequence[FrozenTrial]
    attributes: dict[str, Any] = field(default_factory=dict)
    _storage: InMemoryStorage = field(default_factory=InMemoryStorage)
    _study: optuna.Study | None = None

    def rungs(self, epochs: int) -> list[int]:
        """Return the rungs of the trial; empty if it cannot be pruned at any."""
        pruner = self.sweep.settings.pruner
        complete = sum(other.state == TrialState.COMPLETE for other in self.others)
        if pruner.kind == "median" and complete < pruner.startup:
            return []
        return rung_epochs(self.sweep, epochs)

    def should_prune(self, intermediate_values: Mapping[int, float]) -> bool:
        """Return True if the trial is pruned at the last of its rungs so far.

        Args:
            intermediate_values: the first objective by epoch, at each rung up to this one.
        """
        if self._study is None:
            self._study = self._create_study()
        epoch = max(intermediate_values)
        report_value(self._storage, self.number, epoch, intermediate_values[epoch])
        is_pruned = _create_pruner(self.sweep).prune(self._study, self._study.get_trials(deepcopy=False)[self.number])
        self.attributes |= self._study.get_trials(deepcopy=False)[self.number].system_attrs
        return is_pruned

    def _create_study(self) -> optuna.Study:
        """Create a study of the trials that this one may know, and of this one under its number."""
        study = optuna.create_study(storage=self._storage, directions=directions(self.sweep), study_name=STUDY)
        running = create_trial(state=TrialState.RUNNING)
        study.add_trials([*self.others, *[running] * (self.number - len(self.others) + 1)])
        return study


def _create_pruner(sweep: Sweep) -> BasePruner:
    config = sweep.settings.pruner
    match config.kind:
        case "median":
            return MedianPruner(config.startup, config.warmup, config.interval)
        case "asha":
            return SuccessiveHalvingPruner(config.min_epochs, config.reduction)
        case "hyperband":
            return HyperbandPruner(config.min_epochs, sweep.max_epochs, config.reduction)
    return optuna.pruners.NopPruner()
