"""Each rule on one array of ten million float32, against the limit that the machine sets it."""

from report import Figure, Section, told

from mxtrain.benchmarks import RULE_CASES, measure_rule


def section() -> Section:
    note = (
        "One array of 10,000,000 float32, compiled backend. The limit is a loop that streams the same number of arrays "
        "(memory), or one that does nothing but the rule's divisions and square roots on data in the cache, on as many "
        "threads (arithmetic), whichever is slower."
    )
    return Section("Every rule against its limit", note, [_figure(name) for name in RULE_CASES])


def _figure(name: str) -> Figure:
    measured = measure_rule(name, seconds=1.5)
    arithmetic = f"; arithmetic {told(measured.arithmetic)}" if measured.arithmetic else ""
    return Figure(
        f"{name}: {measured.nanoseconds:.2f} ns an element, {measured.gigabytes_per_second:.1f} GB/s",
        told(measured.update),
        f"memory {told(measured.streaming)}{arithmetic}; limit set by {measured.bound}",
        measured.share,
        0.8,
    )
