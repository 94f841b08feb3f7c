"""Sweeps: a search over any value of a run file, on all cores or a cluster, that never loses a trial."""

from mxtrain.sweeps.folder import SweepFolder
from mxtrain.sweeps.plan import SweepPlan
from mxtrain.sweeps.result import SweepResult
from mxtrain.sweeps.run_sweep import Watch, plan_sweep, resume_sweep, stand_of, sweep

__all__ = ["SweepFolder", "SweepPlan", "SweepResult", "Watch", "plan_sweep", "resume_sweep", "stand_of", "sweep"]
