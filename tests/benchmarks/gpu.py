"""Adam on a CUDA device: the share of the copy bandwidth, and beside torch's fused and foreach Adam on the same card.

Needs CuPy, and for the comparison a torch with CUDA; where there is no device it says so and ends.
"""

import platform
from collections.abc import Callable
from datetime import date

import report
import torch
from arrays import DECAY, RULES
from report import Figure, Section, faster, told

from mxtrain import FlatParameters, build
from mxtrain.benchmarks import measure_interleaved

SIZE = 100_000_000
COUNT, EACH = 1_000, 10_000


def main() -> None:
    try:
        import cupy

        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    except Exception as error:  # noqa: BLE001 - CuPy, the driver or the device is missing
        print(f"bench-gpu: skipped, as there is no CUDA device that CuPy can use ({error})")
        return
    text = f"- Card: {name}\n- System: {platform.platform()}, CuPy {cupy.__version__}\n- Date: {date.today()}"
    for section in (_one(cupy), _many(cupy)):
        text += f"\n\n{section.text()}"
    print(text)
    report.write("gpu", text)


def _one(cupy) -> Section:
    generator = cupy.random.default_rng(0)
    W, g = (generator.standard_normal(SIZE, dtype=cupy.float32) for _ in range(2))
    optimizer = build(RULES["adam"], backend="cupy")
    moved = 7 * W.nbytes  # Adam reads four arrays and writes three; a copy reads and writes each of its bytes
    source = cupy.zeros(moved // 8, dtype=cupy.float32)
    target = cupy.empty_like(source)
    steps = {"mxtrain": lambda: optimizer.update(0, g, W), "copy": lambda: cupy.copyto(target, source)}
    timings = _timings(cupy, steps | _torch([(W.get(), g.get())]))
    ours, copy = timings["mxtrain"], timings.pop("copy")
    share = Figure("share of the copy bandwidth", told(ours), f"copy {told(copy)}", copy.median / ours.median)
    return Section("Adam, one array of 100,000,000 float32", "", [share, *_beside("one array", ours, timings)])


def _many(cupy) -> Section:
    generator = cupy.random.default_rng(1)
    weights, gradients = (
        {f"w{i}": generator.standard_normal(EACH, dtype=cupy.float32) for i in range(COUNT)} for _ in range(2)
    )
    flat, flat_gradients = FlatParameters(weights), FlatParameters(gradients)
    of_flat, of_loose = (build(RULES["adam"], backend="cupy") for _ in range(2))
    steps = {
        "flat": lambda: of_flat.step(flat, flat_gradients),
        "loose": lambda: of_loose.step(weights, gradients),
    }
    timings = _timings(cupy, steps | _torch([(weights[each].get(), gradients[each].get()) for each in weights]))
    ours = {layout: timings.pop(layout) for layout in steps}
    figures = [figure for layout, timing in ours.items() for figure in _beside(layout, timing, timings)]
    return Section(f"Adam, {COUNT:,} arrays of {EACH:,} float32", "", figures)


def _beside(what: str, ours, timings) -> list[Figure]:
    return [faster(what, ours, name, theirs, None) for name, theirs in timings.items() if name.startswith("torch")]


def _torch(pairs) -> dict[str, Callable[[], object]]:
    """Steps of torch's fused and foreach Adam on copies of these arrays; none where torch has no CUDA."""
    if not torch.cuda.is_available():
        return {}

    def step(**kind: bool) -> Callable[[], object]:
        tensors = [torch.from_numpy(weight).cuda() for weight, _ in pairs]
        for tensor, (_, gradient) in zip(tensors, pairs, strict=True):
            tensor.grad = torch.from_numpy(gradient).cuda()
        return torch.optim.Adam(tensors, lr=1e-3, weight_decay=DECAY, **kind).step

    return {"torch fused": step(fused=True), "torch foreach": step(foreach=True)}


def _timings(cupy, steps: dict[str, Callable[[], object]]):
    def waiting(step: Callable[[], object]) -> Callable[[], None]:
        def call() -> None:
            step()
            cupy.cuda.runtime.deviceSynchronize()

        return call

    return measure_interleaved({name: waiting(step) for name, step in steps.items()}, seconds=3)


if __name__ == "__main__":
    main()
