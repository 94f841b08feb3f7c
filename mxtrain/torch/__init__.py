"""Optimizers of mxtrain for PyTorch: `mxtrain.torch.Optimizer` is a `torch.optim.Optimizer`."""

try:
    import torch  # noqa: F401 - checked here, before the modules that need it
except ImportError as error:
    from mxtrain.errors import BackendError

    raise BackendError("mxtrain.torch needs PyTorch, which cannot be imported; pip install torch") from error

from mxtrain.torch.optimizer import Optimizer

__all__ = ["Optimizer"]
