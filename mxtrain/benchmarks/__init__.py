"""Benchmarks of update rules against hardware limits, and of training iterations."""

from mxtrain.benchmarks.measurement import RunBenchmark, Timing, measure_interleaved, measure_run
from mxtrain.benchmarks.rule_benchmark import RULE_CASES, RuleBenchmark, measure_rule

__all__ = [
    "RULE_CASES",
    "RuleBenchmark",
    "RunBenchmark",
    "Timing",
    "measure_rule",
    "measure_run",
    "measure_interleaved",
]
