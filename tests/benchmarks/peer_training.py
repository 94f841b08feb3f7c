"""The same training loop in torch, and in jax with optax, written in the usual way of these libraries."""

from collections.abc import Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from arrays import DECAY, Arrays
from torch import nn
from torch.nn import functional

from mxtrain.data import InMemorySamples


class TorchRun:
    """nn.Sequential with torch's fused Adam; batches are gathered by index, and sums stay in tensors until the end."""

    def __init__(
        self, weights: Arrays, training: InMemorySamples, validation: InMemorySamples, batch_size: int, accuracy: bool
    ) -> None:
        layers: list[nn.Module] = []
        for weight, bias in _layers(weights):
            layer = nn.Linear(*weight.shape)
            layer.weight.data = torch.from_numpy(weight.T.copy())
            layer.bias.data = torch.from_numpy(bias.copy())
            layers += [layer, nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1])
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, weight_decay=DECAY, fused=True)
        self.inputs, self.targets = _tensors(training)
        self.validation = _tensors(validation)
        self.batch_size, self.accuracy = batch_size, accuracy

    def epoch(self, order: torch.Tensor | None = None) -> float:
        """Run one epoch, without an incomplete last batch, and return its mean loss."""
        if order is None:
            order = torch.randperm(len(self.inputs))
        count = len(self.inputs) // self.batch_size
        total, correct = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for rows in order[: count * self.batch_size].split(self.batch_size):
            inputs, targets = self.inputs[rows], self.targets[rows]
            outputs = self.model(inputs)
            loss = functional.cross_entropy(outputs, targets)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.detach()
            if self.accuracy:
                correct += (outputs.detach().argmax(1) == targets).sum()
        self.evaluate()
        correct.item()
        return total.item() / count

    @torch.no_grad()
    def evaluate(self) -> tuple[float, float] | None:
        inputs, targets = self.validation
        if not len(inputs):
            return None
        outputs = self.model(inputs)
        loss = functional.cross_entropy(outputs, targets).item()
        return loss, (outputs.argmax(1) == targets).float().mean().item()


class OptaxRun:
    """One compiled function for a whole step, including the gather; parameters and slots are donated to it."""

    def __init__(self, weights: Arrays, training: InMemorySamples, batch_size: int) -> None:
        rule = optax.chain(optax.add_decayed_weights(DECAY), optax.adam(1e-3))
        params = [(jnp.array(weight), jnp.array(bias)) for weight, bias in _layers(weights)]
        self.state = (params, rule.init(params))
        self.inputs, self.targets = jnp.array(training.inputs), jnp.array(training.targets)
        self.batch_size, self.generator = batch_size, np.random.default_rng(0)

        def loss(params, inputs, targets):
            *hidden, (weight, bias) = params
            for hidden_weight, hidden_bias in hidden:
                inputs = jax.nn.relu(inputs @ hidden_weight + hidden_bias)
            outputs = inputs @ weight + bias
            return optax.softmax_cross_entropy_with_integer_labels(outputs, targets).mean()

        def step(params, state, total, inputs, targets, rows):
            value, gradients = jax.value_and_grad(loss)(params, inputs[rows], targets[rows])
            updates, state = rule.update(gradients, state, params)
            return optax.apply_updates(params, updates), state, total + value

        self.step = jax.jit(step, donate_argnums=(0, 1, 2))

    def epoch(self, order: np.ndarray | None = None) -> float:
        """Run one epoch, without an incomplete last batch, and return its mean loss."""
        if order is None:
            order = self.generator.permutation(len(self.inputs))
        count = len(self.inputs) // self.batch_size
        params, state = self.state
        total = jnp.zeros(())
        for rows in order[: count * self.batch_size].reshape(count, self.batch_size):
            params, state, total = self.step(params, state, total, self.inputs, self.targets, rows)
        self.state = jax.block_until_ready((params, state))
        return float(total) / count


def _layers(weights: Arrays) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    values = list(weights.values())
    return [pair for number, pair in enumerate(pairwise(values)) if number % 2 == 0]


def _tensors(samples: InMemorySamples) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(samples.inputs), torch.from_numpy(samples.targets)
