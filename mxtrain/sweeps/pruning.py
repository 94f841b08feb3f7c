"""Pruning: Optuna's pruners, each decision a function of the trials that the pruned trial may know.

As in sampling, trial k is compared with the trials 0 to k - `parallel`, so no decision depends on the speed of
workers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial, TrialState, create_trial

from mxtrain.config import Sweep
from mxtrain.sweeps.sampling import STUDY, directions


def rung_epochs(sweep: Sweep, epochs: int) -> list[int]:
    """The epochs after which a trial of so many epochs is looked at; the last one is not among them."""
    pruner = sweep.settings.pruner
    match pruner.kind:
        case "median":
            return [epoch for epoch in range(pruner.warmup, epochs, pruner.interval) if epoch > 0]
        case "asha" | "hyperband":
            found, epoch = [], pruner.min_epochs
            while epoch < epochs:
                found.append(epoch)
                epoch *= pruner.reduction
            return found
    return []


@dataclass(slots=True)
class TrialPruner:
    """Decides on one trial.

    Args:
        sweep: the sweep.
        number: of the trial.
        others: the trials 0 to `number - parallel`, as they ended.

    Attributes:
        attributes: what the pruner noted with the trial, for later ones.
    """

    sweep: Sweep
    number: int
    others: Sequence[FrozenTrial]
    attributes: dict[str, Any] = field(default_factory=dict)
    _study: optuna.Study | None = None

    def rungs(self, epochs: int) -> list[int]:
        """The epochs after which the trial is looked at; none where nothing could come of it."""
        pruner = self.sweep.settings.pruner
        complete = sum(other.state == TrialState.COMPLETE for other in self.others)
        if pruner.kind == "median" and complete < pruner.startup:
            return []
        return rung_epochs(self.sweep, epochs)

    def should_prune(self, intermediate_values: Mapping[int, float]) -> bool:
        """Whether the trial ends here.

        Args:
            course: its value after each epoch at which it was looked at, up to this one.
        """
        study = self._study = self._study or self._study_of_known_trials()
        own = study.get_trials(deepcopy=False)[self.number]
        epoch = max(intermediate_values)
        study._storage.set_trial_intermediate_value(own._trial_id, epoch, intermediate_values[epoch])
        verdict = _create_pruner(self.sweep).prune(study, study.get_trials(deepcopy=False)[self.number])
        self.attributes |= study.get_trials(deepcopy=False)[self.number].system_attrs
        return verdict

    def _study_of_known_trials(self) -> optuna.Study:
        """A study that holds what the trial may know, and the trial itself under its number."""
        study = optuna.create_study(directions=directions(self.sweep), study_name=STUDY)
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
