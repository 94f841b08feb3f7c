"""Arrays and optimizers of the benchmarks, the same for every library."""

from collections.abc import Callable, Mapping

import numpy as np
import torch

from mxtrain.optim.rules import SGD, AdaDelta, AdaGrad, Adam, AdaMax, AdamW, Nadam, RMSProp, Rule

DECAY = 1e-5
Arrays = dict[str, np.ndarray]

RULES: Mapping[str, Rule] = {
    "sgd": SGD(η=0.01, λ=DECAY),
    "sgd-momentum": SGD(η=0.01, μ=0.9, λ=DECAY),
    "adam": Adam(η=1e-3, λ=DECAY),
    "adamw": AdamW(η=1e-3, λ=DECAY),
    "adagrad": AdaGrad(η=0.01, ϵ=1e-8, λ=DECAY),
    "adadelta": AdaDelta(η=1.0, ρ=0.95, ϵ=1e-6, λ=DECAY),
    "adamax": AdaMax(η=2e-3, λ=DECAY),
    "rmsprop": RMSProp(η=1e-3, ρ=0.9, λ=DECAY),
    "nadam": Nadam(η=1e-3, β1=0.9, λ=DECAY),
}
TORCH: Mapping[str, Callable[[list[torch.Tensor]], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=DECAY, fused=True),
    "sgd-momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=DECAY, fused=True),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-3, weight_decay=DECAY, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=DECAY, fused=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01, eps=1e-8, weight_decay=DECAY, fused=True),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=1.0, rho=0.95, eps=1e-6, weight_decay=DECAY, foreach=True),
    "adamax": lambda p: torch.optim.Adamax(p, lr=2e-3, weight_decay=DECAY, foreach=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3, alpha=0.9, weight_decay=DECAY, foreach=True),
    "nadam": lambda p: torch.optim.NAdam(p, lr=1e-3, betas=(0.9, 0.999), weight_decay=DECAY, foreach=True),
}
"""The same rules in torch, with the same settings and the fastest implementation of torch for CPUs."""
FUSED = ("sgd", "sgd-momentum", "adam", "adamw", "adagrad")


def random_arrays(shapes: Mapping[str, tuple[int, ...]], seed: int) -> tuple[Arrays, Arrays]:
    """Return random weights and gradients. Gradients near zero are avoided, because libraries add ϵ in different places."""
    generator = np.random.default_rng(seed)
    weights = {name: generator.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    gradients = {
        name: np.copysign(generator.uniform(0.5, 1.5, shape), generator.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    return weights, gradients


def copy_arrays(arrays: Arrays) -> Arrays:
    """Copy every array."""
    return {name: array.copy() for name, array in arrays.items()}


def torch_step(rule: str, weights: Arrays, gradients: Arrays) -> Callable[[], object]:
    """Return a function that updates these weights in place with an optimizer of torch."""
    tensors = [torch.from_numpy(weight) for weight in weights.values()]
    for tensor, gradient in zip(tensors, gradients.values(), strict=True):
        tensor.grad = torch.from_numpy(gradient)
    return TORCH[rule](tensors).step


def assert_same_weights(steps: Mapping[str, Callable[[], object]], results: Mapping[str, Callable[[], Arrays]]) -> None:
    """Check that all candidates do the same work: after three steps of each, their weights must agree."""
    for _ in range(3):
        for step in steps.values():
            step()
    first, *others = results
    for other in others:
        for name, expected in results[first]().items():
            np.testing.assert_allclose(results[other]()[name], expected, rtol=1e-4, atol=1e-5, err_msg=other)
