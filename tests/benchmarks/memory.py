"""Memory in addition to weights, gradients and slots; and the NumPy backend compared with a plain array expression."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
from report import Figure, Section, speedup

from mxtrain import Adam, build
from mxtrain.benchmarks import measure_interleaved

SIZE = 10_000_000


def section() -> Section:
    note = (
        "Adam on 10,000,000 float32, each backend in a separate process, after two updates: the peak of the memory that "
        "Python and NumPy allocate during a third update (`tracemalloc`), and the peak growth of the process's resident "
        "memory (`VmHWM`)."
    )
    figures = []
    for backend, target in (("compiled", 1), ("numpy", 4)):
        process = subprocess.run([sys.executable, __file__, backend], capture_output=True, check=True, text=True)
        traced, resident = (bytes_ / 2**20 for bytes_ in json.loads(process.stdout))
        figures.append(Figure(f"{backend}, allocated", f"{traced:.3f} MiB", "-", traced, target, " MiB", True))
        figures.append(Figure(f"{backend}, resident", f"{resident:.3f} MiB", "-", resident, target, " MiB", True))
    return Section("Memory in addition to weights, gradients and slots", note, [*figures, _blocked()])


def _blocked() -> Figure:
    generator = np.random.default_rng(0)
    W, g = (generator.standard_normal(SIZE, dtype=np.float32) for _ in range(2))
    rule = Adam()
    optimizer = build(rule, backend="numpy")
    state = (W.copy(), np.zeros_like(W), np.zeros_like(W))
    step, β1, β2, ϵ, λ = (np.float32(value) for value in (-rule.η, rule.β1, rule.β2, rule.ϵ, rule.λ))

    def plain() -> None:
        nonlocal state
        weight, m, v = state
        state = Adam.update(weight, rule.gradient_stage.apply(weight, g, λ=λ), m, v, step=step, β1=β1, β2=β2, ϵ=ϵ)

    timings = measure_interleaved({"mxtrain": lambda: optimizer.update(0, g, W), "plain": plain}, seconds=4)
    ours, theirs = timings["mxtrain"], timings["plain"]
    figure = speedup("NumPy backend, Adam: share of the plain expression's time", ours, "plain NumPy", theirs, None)
    share = ours.median / theirs.median
    return Figure(figure.name, figure.ours, figure.reference, share, 0.4, "×", at_most=True)


def _probe(backend: str) -> tuple[int, int]:
    """Return the peak of the bytes that one update allocates, and of the growth of resident memory during an update."""
    W, g = np.ones(SIZE, dtype=np.float32), np.ones(SIZE, dtype=np.float32)
    optimizer = build(Adam(), backend=backend)
    for _ in range(2):
        optimizer.update(0, g, W)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    optimizer.update(0, g, W)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    resident = _status("VmRSS")
    optimizer.update(0, g, W)
    return peak - before, max(0, _status("VmHWM") - resident)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    print(json.dumps(_probe(sys.argv[1])))
