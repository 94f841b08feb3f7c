"""How fast it is here: every rule against what the machine can do at most, and a run's iterations."""

from mxtrain.benchmarks.clock import Timing, take_turns
from mxtrain.benchmarks.rules import RULE_CASES, RuleFigures, measure_rule
from mxtrain.benchmarks.runs import RunFigures, measure_run

__all__ = ["RULE_CASES", "RuleFigures", "RunFigures", "Timing", "measure_rule", "measure_run", "take_turns"]
