"""A small convolutional network on digits, trained through PyTorch, JAX and NumPy with the same gradients: equal bytes."""

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import mxtrain
from mxtrain.jax import transformation
from mxtrain.torch import Optimizer

CONFIGS: dict[str, Any] = {
    "sgd": {"kind": "sgd", "η": 0.2, "μ": 0.9},
    "adamw with groups, a schedule and clipping": {
        "kind": "adamw",
        "η": 0.01,
        "η_sched": {"kind": "exp", "γ": 0.95, "per": "iteration"},
        "clip_norm": 0.5,
        "groups": {"*bias": {"λ": 0}, "conv.*": {"η": 0.02}},
    },
    "lamb": {"kind": "lamb", "η": 0.1, "λ": 0.01},
}
STEPS = 12


class Net(torch.nn.Module):
    """Two layers: a convolution and a linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 4, 3)
        self.head = torch.nn.Linear(4 * 6 * 6, 10)

    def forward(self, images: Any) -> Any:
        """Return the logits."""
        return self.head(torch.relu(self.conv(images)).flatten(1))


def make_net() -> Net:
    torch.manual_seed(0)
    return Net()


def digits() -> tuple[Any, Any]:
    with np.load(Path(mxtrain.__file__).parent / "data" / "tables" / "digits.npz") as data:
        pixels, labels = (data[name][: STEPS * 32] for name in ("pixels", "digit"))
    images = torch.from_numpy(pixels.astype("float32") / 16).reshape(STEPS, 32, 1, 8, 8)
    return images, torch.from_numpy(labels.astype("int64")).reshape(STEPS, 32)


@cache
def recorded(name: str) -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]], dict[str, bytes], list[float]]:
    """Train with the optimizer of PyTorch; return the first weights, the gradients, the last weights and the losses."""
    net = make_net()
    first = {key: p.detach().numpy().copy() for key, p in net.named_parameters()}
    optimizer = Optimizer(net.named_parameters(), CONFIGS[name])
    gradients, losses = [], []
    for images, labels in zip(*digits(), strict=True):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        gradients.append({key: p.grad.numpy().copy() for key, p in net.named_parameters()})
        losses.append(loss.item())
        optimizer.step()
    return first, gradients, {key: p.detach().numpy().tobytes() for key, p in net.named_parameters()}, losses


def as_bytes(weights: Any) -> dict[str, bytes]:
    return {key: np.asarray(W).tobytes() for key, W in weights.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_same_gradients_give_the_same_bytes_through_every_door(name: str) -> None:
    first, gradients, expected, losses = recorded(name)
    assert losses[-1] < 0.9 * losses[0]

    numpy_weights = {key: W.copy() for key, W in first.items()}
    optimizer = mxtrain.build(CONFIGS[name])
    for each in gradients:
        optimizer.step(numpy_weights, each)
    assert as_bytes(numpy_weights) == expected

    held = {key: W.copy() for key, W in first.items()}  # the loop of the how-to guide
    optimizer = mxtrain.build(CONFIGS[name])
    for each in gradients:
        optimizer.step(held, {key: np.asarray(jnp.asarray(g)) for key, g in each.items()})
    assert as_bytes(held) == expected

    made = transformation(CONFIGS[name])
    params = {key: jnp.asarray(W) for key, W in first.items()}
    state = made.init(params)
    for each in gradients:
        updates, state = made.update({key: jnp.asarray(g) for key, g in each.items()}, state, params)
        params = jax.tree.map(jnp.add, params, updates)
    assert as_bytes(params) == expected

    net = make_net()
    replayed = Optimizer(net.named_parameters(), CONFIGS[name], backend="numpy")
    for each in gradients:
        for key, p in net.named_parameters():
            p.grad = torch.from_numpy(each[key])
        replayed.step()
    assert as_bytes({key: p.detach() for key, p in net.named_parameters()}) == expected


def test_jit_agrees_to_one_part_in_a_million() -> None:
    for name, config in CONFIGS.items():
        first, gradients, expected, _ = recorded(name)
        made = transformation(config)
        params, update = {key: jnp.asarray(W) for key, W in first.items()}, jax.jit(made.update)
        state = made.init(params)
        for each in gradients:
            updates, state = update(each, state, params)
            params = jax.tree.map(jnp.add, params, updates)
        for key, W in params.items():
            weight = np.frombuffer(expected[key], dtype="float32").reshape(W.shape)
            assert np.abs(np.asarray(W) - weight).max() < 1e-6 * np.abs(weight).max()
