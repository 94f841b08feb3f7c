"""Each rule on one array of ten million float32, compared with the limit of the machine."""

from report import Figure, Section, format_timing

from mxtrain.benchmarks import RULE_CASES, measure_rule


def section() -> Section:
    note = (
        "One array of 10,000,000 float32, compiled backend. The limit is the slower of two loops on the same number of "
        "threads: one that reads and writes the same number of arrays (memory), and one that computes only the divisions "
        "and square roots of the rule, on data in the cache (arithmetic)."
    )
    return Section("Every rule compared with its limit", note, [_figure(name) for name in RULE_CASES])


def _figure(name: str) -> Figure:
    result = measure_rule(name, seconds=1.5)
    arithmetic = f"; arithmetic {format_timing(result.arithmetic)}" if result.arithmetic else ""
    return Figure(
        f"{name}: {result.nanoseconds:.2f} ns an element, {result.gigabytes_per_second:.1f} GB/s",
        format_timing(result.update),
        f"memory {format_timing(result.streaming)}{arithmetic}; limit set by {result.bound}",
        result.share,
        0.8,
    )
