"""When a trial is given up: Optuna's pruners, each decision from what the trial itself may know.

As for sampling, trial k is compared with the trials 0 to k - `parallel`, so that no decision depends on who was faster.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial, TrialState, create_trial

from mxtrain.config import Sweep
from mxtrain.sweeps.sampling import STUDY, directions


def rungs_of(sweep: Sweep, epochs: int) -> list[int]:
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
class Judge:
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
        return rungs_of(self.sweep, epochs)

    def gives_up(self, course: Mapping[int, float]) -> bool:
        """Whether the trial ends here.

        Args:
            course: its value after each epoch at which it was looked at, up to this one.
        """
        study = self._study = self._study or self._seen()
        own = study.get_trials(deepcopy=False)[self.number]
        epoch = max(course)
        study._storage.set_trial_intermediate_value(own._trial_id, epoch, course[epoch])
        verdict = _pruner(self.sweep).prune(study, study.get_trials(deepcopy=False)[self.number])
        self.attributes |= study.get_trials(deepcopy=False)[self.number].system_attrs
        return verdict

    def _seen(self) -> optuna.Study:
        """A study that holds what the trial may know, and the trial itself under its number."""
        study = optuna.create_study(directions=directions(self.sweep), study_name=STUDY)
        running = create_trial(state=TrialState.RUNNING)
        study.add_trials([*self.others, *[running] * (self.number - len(self.others) + 1)])
        return study


def _pruner(sweep: Sweep) -> BasePruner:
    config = sweep.settings.pruner
    match config.kind:
        case "median":
            return MedianPruner(config.startup, config.warmup, config.interval)
        case "asha":
            return SuccessiveHalvingPruner(config.min_epochs, config.reduction)
        case "hyperband":
            return HyperbandPruner(config.min_epochs, sweep.max_epochs, config.reduction)
    return optuna.pruners.NopPruner()
