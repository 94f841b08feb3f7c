"""Whole iterations and epochs of `fit`, compared with torch, jax with optax, and scikit-learn."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from arrays import DECAY
from peer_training import OptaxRun, TorchRun
from report import Section, speedup
from sklearn.neural_network import MLPClassifier

from mxtrain.benchmarks import measure_interleaved
from mxtrain.config import run_from_dict
from mxtrain.random import permutation
from mxtrain.training import Trainer

_BACKENDS = ("compiled", "numpy")


def section() -> Section:
    note = (
        "`Trainer.run_epoch`; all libraries use the same model, data, batches and Adam. It is checked that mxtrain, torch "
        "and jax have the same loss after an epoch from the same weights in the same order. digits: 1,438 training and 359 "
        "validation samples, mlp [64], batches of 32, loss and accuracy of both, the time of an epoch divided by its "
        "iterations. 60,000 x 784: synthetic data, mlp [256, 128], batches of 128, the loss only, seconds per epoch; "
        "scikit-learn chooses its own initial weights and order, and is not checked."
    )
    return Section("Whole training loops, compared with other libraries", note, [*_digits(), *_images()])


def _digits():
    ours = {backend: Trainer(_run({"source": "digits", "batch_size": 32}, [64], backend)) for backend in _BACKENDS}
    theirs = _torch(ours["compiled"], accuracy=True)
    checked = _torch(ours["compiled"], accuracy=True)
    _check([checked.epoch(_order(ours["compiled"]))], ours["compiled"])
    candidates = {backend: _epoch(trainer) for backend, trainer in ours.items()} | {"torch": theirs.epoch}
    count = len(ours["compiled"].batches)
    timings = {name: each * (1 / count) for name, each in measure_interleaved(candidates, seconds=6).items()}
    return [
        speedup(f"digits, an iteration, {name}", timings[backend], "torch", timings["torch"], target, "µs")
        for backend, name, target in (
            ("compiled", "compiled backend (auto in a long run)", 4),
            ("numpy", "NumPy backend (auto in a short run)", None),
        )
    ]


def _images():
    inputs, targets = _random_images()
    ours = image_trainer()
    theirs = _torch(ours, accuracy=False)
    optax = OptaxRun(ours.parameters(), ours.dataset.training, 128)
    checked = OptaxRun(ours.parameters(), ours.dataset.training, 128)
    order = _order(ours)
    _check([_torch(ours, accuracy=False).epoch(order), checked.epoch(order.numpy())], ours)
    network = MLPClassifier((256, 128), batch_size=128, alpha=DECAY, learning_rate_init=1e-3)
    classes = np.arange(10)
    timings = measure_interleaved(
        {
            "mxtrain": _epoch(ours),
            "torch": theirs.epoch,
            "jax + optax": optax.epoch,
            "scikit-learn": lambda: network.partial_fit(inputs, targets, classes=classes),
        },
        seconds=0,
        rounds=7,
        warm_up=False,
    )
    targets_by_peer = {"torch": 2, "scikit-learn": 2, "jax + optax": 1.3}
    return [
        speedup("60,000 x 784, an epoch", timings["mxtrain"], peer, timings[peer], target, "s")
        for peer, target in targets_by_peer.items()
    ]


def image_trainer(**fit):
    """Return the trainer of mxtrain for 60,000 x 784, with additional values in the `fit` section of its config."""
    inputs, targets = _random_images()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npz"
        np.savez(path, inputs=inputs, targets=targets)
        data = {"source": str(path), "target": "targets", "batch_size": 128, "validation": 0, "standardize": "none"}
        return Trainer(_run(data, [256, 128], "compiled", **fit))


def _run(data, hidden, backend, **fit):
    return run_from_dict(
        {
            "data": {"last_batch": "drop", **data},
            "model": {"kind": "mlp", "hidden": hidden},
            "loss": "softmax_cross_entropy",
            "backend": backend,
            "optimizer": {"kind": "adam", "λ": DECAY},
            "fit": {"metrics": ["accuracy"] if data["source"] == "digits" else [], **fit},
        }
    ).resolve()


def _torch(trainer, accuracy):
    parts = trainer.dataset.training, trainer.dataset.validation
    return TorchRun(trainer.parameters(), *parts, trainer.config.data.batch_size, accuracy)


def _epoch(trainer):
    return trainer.run_epoch


def _order(trainer):
    """Return the order of the samples in the first epoch."""
    samples = len(trainer.dataset.training)
    return torch.from_numpy(permutation(trainer.config.seed, "order", 1, size=samples).astype(np.int64))


def _check(losses, trainer):
    """Check that all libraries do the same work: their losses of the first epoch must agree."""
    own = trainer.run_epoch()["loss"]
    np.testing.assert_allclose(losses, own, rtol=1e-3)


def _random_images():
    generator = np.random.default_rng(3)
    centres = generator.standard_normal((10, 784), dtype=np.float32)
    targets = generator.integers(0, 10, 60_000)
    noise = generator.standard_normal((60_000, 784), dtype=np.float32)
    return np.maximum(centres[targets] + 4 * noise, 0) / 8, targets
