"""One array of ten million float32: mxtrain compared with torch, optax and thinc."""

from collections.abc import Callable

import jax
import numpy as np
import optax
import thinc.api
from arrays import DECAY, FUSED, RULES, Arrays, assert_same_weights, copy_arrays, random_arrays, torch_step
from report import Figure, Section, speedup

from mxtrain import build
from mxtrain.benchmarks import measure_interleaved

SIZE = 10_000_000
Candidate = tuple[Callable[[], object], Callable[[], Arrays]]
"""A step, and a function that returns its weights."""


def section() -> Section:
    note = (
        "One array of 10,000,000 float32, weight decay 1e-5, in place; optax is compiled with donated buffers; thinc runs "
        "without averages and clipping. If torch reads and writes each array once too, both are limited by memory "
        "bandwidth, and the factor is 1 within the noise. MXNet is omitted, because it requires an old NumPy."
    )
    return Section(
        "One large array, compared with other libraries", note, [each for rule in RULES for each in _figures(rule)]
    )


def _figures(rule: str) -> list[Figure]:
    makers = _makers(rule)
    checked = {name: make(*random_arrays({"W": (10_007,)}, seed=0)) for name, make in makers.items()}
    assert_same_weights(*({name: each[i] for name, each in checked.items()} for i in (0, 1)))
    weights, gradients = random_arrays({"W": (SIZE,)}, seed=1)
    steps = {name: make(copy_arrays(weights), gradients)[0] for name, make in makers.items()}
    timings = measure_interleaved(steps, seconds=4 if len(steps) > 2 else 2)
    ours = timings.pop("mxtrain")
    return [speedup(rule, ours, name, theirs, _target(name)) for name, theirs in timings.items()]


def _target(peer: str) -> float:
    return {"torch fused": 1, "torch foreach": 6, "optax jit": 2, "thinc": 10}[peer]


def _makers(rule: str) -> dict[str, Callable[[Arrays, Arrays], Candidate]]:
    def torch(weights: Arrays, gradients: Arrays) -> Candidate:
        return torch_step(rule, weights, gradients), lambda: weights

    def ours(weights: Arrays, gradients: Arrays) -> Candidate:
        optimizer = build(RULES[rule], backend="compiled")
        return lambda: optimizer.step(weights, gradients), lambda: weights

    makers = {"mxtrain": ours, f"torch {'fused' if rule in FUSED else 'foreach'}": torch}
    return makers | {"optax jit": _optax, "thinc": _thinc} if rule == "adam" else makers


def _optax(weights: Arrays, gradients: Arrays) -> Candidate:
    rule = optax.chain(optax.add_decayed_weights(DECAY), optax.adam(1e-3))

    def step(params, state, grads):
        updates, state = rule.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1))
    params = {name: jax.numpy.array(weight) for name, weight in weights.items()}
    grads = {name: jax.numpy.array(gradient) for name, gradient in gradients.items()}
    state = [params, rule.init(params)]

    def call() -> None:
        state[:] = compiled(*state, grads)
        jax.block_until_ready(state)

    return call, lambda: {name: np.asarray(weight) for name, weight in state[0].items()}


def _thinc(weights: Arrays, gradients: Arrays) -> Candidate:
    rule = thinc.api.Adam(
        1e-3, L2=DECAY, eps=1e-8, beta1=0.9, beta2=0.999, grad_clip=0.0, use_averages=False, L2_is_weight_decay=False
    )
    consumed = copy_arrays(gradients)
    is_small = sum(weight.size for weight in weights.values()) < SIZE  # a check, not a measurement

    def call() -> None:
        for name, weight in weights.items():
            if is_small:
                consumed[name][...] = gradients[name]  # thinc sets its gradient to zero
            rule((0, name), weight, consumed[name])

    return call, lambda: weights
