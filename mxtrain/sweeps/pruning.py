"""Pruning: Optuna's pruners, each decision a function of the trials that the pruned trial may know.

As in sampling, trial k is compared with the trials 0 to k - `parallel`, so no decision depends on the speed of workers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, SuccessiveHalvingPruner
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from mxtrain.config import Sweep
from mxtrain.sweeps.result import TrialResult
from mxtrain.sweeps.sampling import OPTUNA_STATES, STUDY, directions, report_value


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
