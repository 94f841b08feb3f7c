"""One array of ten million float32: mxtrain beside torch, optax and thinc."""

from collections.abc import Callable

import jax
import numpy as np
import optax
import thinc.api
from arrays import DECAY, FUSED, RULES, Arrays, assert_alike, copied, drawn, torch_step
from report import Figure, Section, faster

from mxtrain import build
from mxtrain.benchmarks import measure_interleaved

SIZE = 10_000_000
Contender = tuple[Callable[[], object], Callable[[], Arrays]]
"""A step, and the weights that it has come to."""


def section() -> Section:
    note = (
        "One array of 10,000,000 float32, weight decay 1e-5, in place; optax compiled with its buffers donated; thinc "
        "without averages and clipping. Where torch streams each array once too, both run at the speed of memory, and the "
        "factor is 1 within the noise. MXNet cannot be installed beside a present NumPy and is left out."
    )
    return Section("One large array, beside the peers", note, [each for rule in RULES for each in _figures(rule)])


def _figures(rule: str) -> list[Figure]:
    makers = _makers(rule)
    checked = {name: make(*drawn({"W": (10_007,)}, seed=0)) for name, make in makers.items()}
    assert_alike(*({name: each[i] for name, each in checked.items()} for i in (0, 1)))
    weights, gradients = drawn({"W": (SIZE,)}, seed=1)
    steps = {name: make(copied(weights), gradients)[0] for name, make in makers.items()}
    timings = measure_interleaved(steps, seconds=4 if len(steps) > 2 else 2)
    ours = timings.pop("mxtrain")
    return [faster(rule, ours, name, theirs, _target(name)) for name, theirs in timings.items()]


def _target(peer: str) -> float:
    return {"torch fused": 1, "torch foreach": 6, "optax jit": 2, "thinc": 10}[peer]


def _makers(rule: str) -> dict[str, Callable[[Arrays, Arrays], Contender]]:
    def torch(weights: Arrays, gradients: Arrays) -> Contender:
        return torch_step(rule, weights, gradients), lambda: weights

    def ours(weights: Arrays, gradients: Arrays) -> Contender:
        optimizer = build(RULES[rule], backend="compiled")
        return lambda: optimizer.step(weights, gradients), lambda: weights

    makers = {"mxtrain": ours, f"torch {'fused' if rule in FUSED else 'foreach'}": torch}
    return makers | {"optax jit": _optax, "thinc": _thinc} if rule == "adam" else makers


def _optax(weights: Arrays, gradients: Arrays) -> Contender:
    rule = optax.chain(optax.add_decayed_weights(DECAY), optax.adam(1e-3))

    def step(params, state, grads):
        updates, state = rule.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1))
    params = {name: jax.numpy.array(weight) for name, weight in weights.items()}
    grads = {name: jax.numpy.array(gradient) for name, gradient in gradients.items()}
    held = [params, rule.init(params)]

    def call() -> None:
        held[:] = compiled(*held, grads)
        jax.block_until_ready(held)

    return call, lambda: {name: np.asarray(weight) for name, weight in held[0].items()}


def _thinc(weights: Arrays, gradients: Arrays) -> Contender:
    rule = thinc.api.Adam(
        1e-3, L2=DECAY, eps=1e-8, beta1=0.9, beta2=0.999, grad_clip=0.0, use_averages=False, L2_is_weight_decay=False
    )
    spent = copied(gradients)
    is_small = sum(weight.size for weight in weights.values()) < SIZE  # a check, not a measurement

    def call() -> None:
        for name, weight in weights.items():
            if is_small:
                spent[name][...] = gradients[name]  # thinc sets the gradient that it is given to zero
            rule((0, name), weight, spent[name])

    return call, lambda: weights
