"""Adam on a CUDA device, compared with the copy bandwidth, and with torch's fused and foreach Adam.

Requires CuPy, and for the comparison torch with CUDA support. Without a device, the script prints the reason and exits.
"""

import platform
from collections.abc import Callable
from datetime import date

import report
import torch
from arrays import DECAY, RULES
from report import Figure, Section, format_timing, speedup

from mxtrain import FlatParameters, build
from mxtrain.benchmarks import measure_interleaved

SIZE = 100_000_000
COUNT, ARRAY_SIZE = 1_000, 10_000


def main() -> None:
    try:
        import cupy

        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    except Exception as error:  # noqa: BLE001 - CuPy, the driver or the device is missing
        print(f"bench-gpu: skipped, because CuPy can use no CUDA device ({error})")
        return
    text = f"- Card: {name}\n- System: {platform.platform()}, CuPy {cupy.__version__}\n- Date: {date.today()}"
    for section in (_one_array(cupy), _many_arrays(cupy)):
        text += f"\n\n{section.text()}"
    print(text)
    report.write("gpu", text)


def _one_array(cupy) -> Section:
    generator = cupy.random.default_rng(0)
    W, g = (generator.standard_normal(SIZE, dtype=cupy.float32) for _ in range(2))
    optimizer = build(RULES["adam"], backend="cupy")
    moved = 7 * W.nbytes  # Adam reads four arrays and writes three; a copy reads and writes each of its bytes
    source = cupy.zeros(moved // 8, dtype=cupy.float32)
    target = cupy.empty_like(source)
    steps = {"mxtrain": lambda: optimizer.update(0, g, W), "copy": lambda: cupy.copyto(target, source)}
    timings = _measure(cupy, steps | _torch([(W.get(), g.get())]))
    ours, copy = timings["mxtrain"], timings.pop("copy")
    share = Figure(
        "share of the copy bandwidth", format_timing(ours), f"copy {format_timing(copy)}", copy.median / ours.median
    )
    return Section("Adam, one array of 100,000,000 float32", "", [share, *_compare("one array", ours, timings)])


def _many_arrays(cupy) -> Section:
    generator = cupy.random.default_rng(1)
    weights, gradients = (
        {f"w{i}": generator.standard_normal(ARRAY_SIZE, dtype=cupy.float32) for i in range(COUNT)} for _ in range(2)
    )
    flat, flat_gradients = FlatParameters(weights), FlatParameters(gradients)
    flat_optimizer, loose_optimizer = (build(RULES["adam"], backend="cupy") for _ in range(2))
    steps = {
        "flat": lambda: flat_optimizer.step(flat, flat_gradients),
        "loose": lambda: loose_optimizer.step(weights, gradients),
    }
    timings = _measure(cupy, steps | _torch([(weights[each].get(), gradients[each].get()) for each in weights]))
    ours = {layout: timings.pop(layout) for layout in steps}
    figures = [figure for layout, timing in ours.items() for figure in _compare(layout, timing, timings)]
    return Section(f"Adam, {COUNT:,} arrays of {ARRAY_SIZE:,} float32", "", figures)


def _compare(name: str, ours, timings) -> list[Figure]:
    return [speedup(name, ours, peer, theirs, None) for peer, theirs in timings.items() if peer.startswith("torch")]


def _torch(pairs) -> dict[str, Callable[[], object]]:
    """Return steps of torch's fused and foreach Adam on copies of these arrays; none if torch has no CUDA."""
    if not torch.cuda.is_available():
        return {}

    def step(**kind: bool) -> Callable[[], object]:
        tensors = [torch.from_numpy(weight).cuda() for weight, _ in pairs]
        for tensor, (_, gradient) in zip(tensors, pairs, strict=True):
            tensor.grad = torch.from_numpy(gradient).cuda()
        return torch.optim.Adam(tensors, lr=1e-3, weight_decay=DECAY, **kind).step

    return {"torch fused": step(fused=True), "torch foreach": step(foreach=True)}


def _measure(cupy, steps: dict[str, Callable[[], object]]):
    def waiting(step: Callable[[], object]) -> Callable[[], None]:
        def call() -> None:
            step()
            cupy.cuda.runtime.deviceSynchronize()

        return call

    return measure_interleaved({name: waiting(step) for name, step in steps.items()}, seconds=3)


if __name__ == "__main__":
    main()
