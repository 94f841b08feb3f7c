"""Benchmarks of update rules against hardware limits, and of training iterations."""

from mxtrain.benchmarks.measurement import Timing, measure_interleaved
from mxtrain.benchmarks.rule_benchmark import RULE_CASES, RuleBenchmark, measure_rule, rule_cases
from mxtrain.benchmarks.run_benchmark import RunBenchmark, measure_run

__all__ = [
    "RULE_CASES",
    "RuleBenchmark",
    "RunBenchmark",
    "Timing",
    "measure_rule",
    "measure_run",
    "measure_interleaved",
    "rule_cases",
]
