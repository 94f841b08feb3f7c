"""Wrappers around a rule on ten million float32: the bytes that each adds, and the share of the limit in that time.

Run it by hand: `.venv/bin/python tests/benchmarks/wrappers.py [RULE [SECONDS]]`, with the seconds for each wrapper. It
needs no other library. The last line compares the norm of the gradients with a loop that only reads them.
"""

import sys
from typing import Any

import numpy as np

from mxtrain import build
from mxtrain.benchmarks import measure_interleaved
from mxtrain.benchmarks.rule_benchmark import streaming_program
from mxtrain.optim.gradient_clipping import square_sums
from mxtrain.optim.ir import MultiPassProgram, Program, trace, where
from mxtrain.optim.ir import sum as sum_of
from mxtrain.optim.update_summary import arrays_moved_by

SHAPE = 3163, 3162
WRAPPERS: dict[str, dict[str, Any]] = {
    "none": {},
    "cautious": {"cautious": True},
    "bounds": {"bounds": [-1, 1]},
    "ema": {"ema": {"decay": 0.99}},
    "lookahead, period 2": {"lookahead": {"period": 2}},
    "clip_norm": {"clip_norm": 1},
    "skip_nonfinite": {"skip_nonfinite": True},
    "accumulate 4": {"accumulate": 4},
    "agc": {"agc": {}},
    "agc, nothing clipped": {"agc": {"clipping": 1e6}},
}
"""Settings of each wrapper."""
STREAM_SLOTS = ("a", "b")


def main(kind: str = "adamw", seconds: str = "6") -> None:
    """Measure each wrapper alternately with the rule alone and a loop that streams, and print a table."""
    generator = np.random.default_rng(0)
    g = generator.standard_normal(SHAPE, dtype="float32")
    plain = build({"kind": kind}, backend="compiled", on_nonfinite="ignore")
    stream = streaming_program(STREAM_SLOTS)
    arrays = [np.zeros_like(g) for _ in range(2 + len(STREAM_SLOTS))]
    W = generator.standard_normal(SHAPE, dtype="float32")
    alone = _arrays(plain.rule)
    print(f"{kind}, {g.size:,} float32; medians of runs that alternate with the rule alone and with a streaming loop")
    print("| wrapper | arrays added | ms an update | ms added | added bytes at the limit, ms | share | of the whole |")
    print("|---|---|---|---|---|---|---|")
    for name, settings in WRAPPERS.items():
        optimizer = build({"kind": kind} | settings, backend="compiled", on_nonfinite="ignore")
        calls = optimizer.rule.accumulate * (optimizer.rule.lookahead.period if optimizer.rule.lookahead else 1)

        def wrapped(optimizer: Any = optimizer, calls: int = calls) -> None:
            for _ in range(calls):
                optimizer.step({"W": W}, {"W": g})

        updates = calls // optimizer.rule.accumulate
        timings = measure_interleaved(
            {
                "wrapped": wrapped,
                "plain": lambda: plain.step({"W": W}, {"W": g}),
                "stream": lambda: plain.backend.run(stream, [arrays], ()),
            },
            seconds=float(seconds),
        )
        # Loops over elements multiply the gradient by the factors of `agc`; other updates write a scaled copy.
        has_no_copy = isinstance(optimizer.rule.program(), Program) or name.endswith("nothing clipped")
        moved = _arrays(optimizer.rule) - (2 if optimizer.rule.agc is not None and has_no_copy else 0)
        per_array = timings["stream"].median / stream.arrays_moved
        update = timings["wrapped"].median / updates
        added, bound = update - timings["plain"].median, (moved - alone) * per_array
        share = f"{bound / added:.2f}" if moved > alone and added > 0 else "-"
        print(
            f"| {name} | {moved - alone:g} | {1e3 * update:.2f} | {1e3 * added:.2f} | {1e3 * bound:.2f} | {share} | "
            f"{moved * per_array / update:.2f} |",
            flush=True,
        )

    _compare_norm(plain.backend, g, float(seconds))


def _compare_norm(backend: Any, g: Any, seconds: float) -> None:
    """Measure the sum of the squares of the gradients alternately with a loop that counts negative ones."""
    reading = trace("reading", lambda g, count: {"count": sum_of(where(g < 0, 1, 0))}, ("g",), (), ("count",))
    assert isinstance(reading, MultiPassProgram)

    def read() -> None:
        records = np.zeros((1, reading.record_width))
        records[:, 0] = g.size
        run = backend.start_passes(reading, [(g,)], reading.evaluate_scalars({}))
        run.run(0, run.upload(records))

    timings = measure_interleaved({"read": read, "norm": lambda: square_sums(backend, [(g,)])}, seconds=seconds)
    once, norm = timings["read"].median, timings["norm"].median
    print(f"reading the gradients once {1e3 * once:.2f} ms, their norm {1e3 * norm:.2f} ms: {norm / once:.2f} readings")


def _arrays(rule: Any) -> float:
    return sum(arrays_moved_by(rule).values())


if __name__ == "__main__":
    main(*sys.argv[1:])
