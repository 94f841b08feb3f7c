"""Many arrays in one step, flat and loose, compared with torch's fused Adam."""

from arrays import RULES, Arrays, assert_same_weights, copy_arrays, random_arrays, torch_step
from report import Figure, Section, speedup

from mxtrain import FlatParameters, build
from mxtrain.benchmarks import measure_interleaved

Shapes = dict[str, tuple[int, ...]]


def section() -> Section:
    mix, thousand = _mix(), {f"w{i}": (1000,) for i in range(1000)}
    elements = sum(weight.size for weight in random_arrays(mix, 0)[0].values())
    note = (
        f"Adam. The mix is {len(mix)} tensors with {elements:,} elements: an embedding, ten transformer layers and "
        "fourteen convolutions with their normalizations."
    )
    many, few = _measure(thousand), _measure(mix)
    per_array = many["loose"] * (1 / len(thousand))
    return Section(
        "Many arrays, compared with other libraries",
        note,
        [
            speedup(f"{len(mix)} tensors, flat", few["flat"], "torch fused", few["torch"], 1.8),
            speedup(f"{len(mix)} tensors, loose", few["loose"], "torch fused", few["torch"], None),
            speedup("1,000 tensors of 1,000, flat", many["flat"], "torch fused", many["torch"], 20),
            speedup("1,000 tensors of 1,000, loose", many["loose"], "torch fused", many["torch"], 2),
            Figure(
                "each loose array, including overhead",
                f"{per_array.median * 1e6:.2f} µs",
                "-",
                per_array.median * 1e6,
                5,
                " µs",
                True,
            ),
        ],
    )


def _measure(shapes: Shapes):
    weights, gradients = random_arrays(shapes, seed=2)
    copies = {"flat": FlatParameters(weights), "loose": copy_arrays(weights), "torch": copy_arrays(weights)}
    flat_gradients = FlatParameters(gradients)
    flat, loose = (build(RULES["adam"], backend="compiled") for _ in range(2))
    steps = {
        "flat": lambda: flat.step(copies["flat"], flat_gradients),
        "loose": lambda: loose.step(copies["loose"], gradients),
        "torch": torch_step("adam", copies["torch"], gradients),
    }
    assert_same_weights(steps, {name: _getter(arrays) for name, arrays in copies.items()})
    return measure_interleaved(steps, seconds=4)


def _getter(arrays: Arrays):
    return lambda: arrays


def _mix() -> Shapes:
    width = 256
    shapes: Shapes = {"embedding": (4000, width), "positions": (512, width)}
    for i in range(10):
        layer = {
            "attention.in": (3 * width, width),
            "attention.out": (width, width),
            "up": (4 * width, width),
            "down": (width, 4 * width),
        }
        for name, shape in layer.items():
            shapes |= {f"layer{i}.{name}.weight": shape, f"layer{i}.{name}.bias": shape[:1]}
        for name in ("norm1", "norm2"):
            shapes |= {f"layer{i}.{name}.weight": (width,), f"layer{i}.{name}.bias": (width,)}
    for i in range(14):
        kernel = 3 if i % 2 else 1
        shapes[f"conv{i}.weight"] = (64, 64, kernel, kernel)
        shapes |= {f"conv{i}.norm.weight": (64,), f"conv{i}.norm.bias": (64,)}
    return shapes
