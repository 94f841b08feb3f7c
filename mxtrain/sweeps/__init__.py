"""Sweeps: hyperparameter search over any value of a run file, on all cores or a cluster, resumable at any time."""

from mxtrain.sweeps.choice_ranking import ChoiceRanking, RankedOption, chance_of_excess, rank_choices
from mxtrain.sweeps.result import SweepResult
from mxtrain.sweeps.run_sweep import Watch, plan_sweep, read_sweep_status, resume_sweep, sweep
from mxtrain.sweeps.sweep_folder import SweepFolder
from mxtrain.sweeps.sweep_plan import SweepPlan
from mxtrain.sweeps.trial_result import TrialResult

__all__ = [
    "ChoiceRanking",
    "RankedOption",
    "SweepFolder",
    "SweepPlan",
    "SweepResult",
    "TrialResult",
    "Watch",
    "chance_of_excess",
    "plan_sweep",
    "rank_choices",
    "read_sweep_status",
    "resume_sweep",
    "sweep",
]
