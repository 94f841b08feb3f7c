"""Rules of this decade on ten million float32: mxtrain compared with optax jit and pytorch_optimizer."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
import pytorch_optimizer
import torch
from report import Figure, Section, speedup

from mxtrain import build
from mxtrain.benchmarks import measure_interleaved

SHAPE = 3163, 3162
CONFIGS: dict[str, dict[str, Any]] = {
    "lion": {},
    "radam": {},
    "adabelief": {"ϵ": 1e-8},
    "adan": {"prox": False},
    "ademamix": {},
    "lamb": {},
    "stable_adamw": {},
    "prodigy": {},
    "adafactor": {},
}
OPTAX: dict[str, Callable[[], Any]] = {
    "lion": lambda: optax.lion(1e-4),
    "radam": lambda: optax.radam(1e-3),
    "adabelief": lambda: optax.adabelief(1e-3),
    "adan": lambda: optax.adan(1e-3),
    "ademamix": lambda: optax.contrib.ademamix(1e-3),
    "lamb": lambda: optax.lamb(1e-3),
    "prodigy": lambda: optax.contrib.prodigy(),
    "adafactor": lambda: optax.adafactor(1e-2, multiply_by_parameter_scale=True),
}
TORCH: dict[str, str] = {
    "lion": "Lion", "radam": "RAdam", "adabelief": "AdaBelief", "adan": "Adan", "ademamix": "AdEMAMix", "lamb": "Lamb",
    "stable_adamw": "StableAdamW", "prodigy": "Prodigy", "adafactor": "AdaFactor",
}  # fmt: skip


def section() -> Section:
    note = (
        "One array of 3163 x 3162 float32, the defaults of each library, in place; optax is compiled with donated "
        "buffers. Defaults differ, so the numbers of operations do too; weights are not compared here. optax has no "
        "StableAdamW."
    )
    return Section("Rules of this decade", note, [each for kind in CONFIGS for each in _figures(kind)])


def _figures(kind: str) -> list[Figure]:
    generator = np.random.default_rng(0)
    weight, gradient = (generator.standard_normal(SHAPE, dtype="float32") for _ in range(2))
    optimizer = build({"kind": kind} | CONFIGS[kind], backend="compiled", on_nonfinite="ignore")
    params, grads = {"W": weight.copy()}, {"W": gradient}
    steps: dict[str, Callable[[], object]] = {"mxtrain": lambda: optimizer.step(params, grads)}
    if kind in OPTAX:
        steps["optax jit"] = _optax(OPTAX[kind](), weight, gradient)
    steps["pytorch_optimizer"] = _torch(TORCH[kind], weight, gradient)
    timings = measure_interleaved(steps, seconds=4)
    ours = timings.pop("mxtrain")
    targets = {"optax jit": 2, "pytorch_optimizer": 5}
    return [speedup(kind, ours, name, theirs, targets[name]) for name, theirs in timings.items()]


def _optax(rule: Any, weight: np.ndarray, gradient: np.ndarray) -> Callable[[], object]:
    def step(params, state, grads):
        updates, state = rule.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1))
    params, grads = {"W": jax.numpy.array(weight)}, {"W": jax.numpy.array(gradient)}
    state = [
        params,
        jax.tree.map(jax.numpy.copy, rule.init(params)),
    ]  # Prodigy keeps the first weights: no shared buffer

    def call() -> None:
        state[:] = compiled(*state, grads)
        jax.block_until_ready(state[0])

    return call


def _torch(name: str, weight: np.ndarray, gradient: np.ndarray) -> Callable[[], object]:
    parameter = torch.nn.Parameter(torch.from_numpy(weight.copy()))
    parameter.grad = torch.from_numpy(gradient)
    return getattr(pytorch_optimizer, name)([parameter]).step
