"""Optimizers of mxtrain for JAX: `mxtrain.jax.transformation` returns a gradient transformation, as those of Optax."""

try:
    import jax  # noqa: F401 - checked here, before the modules that need it
except ImportError as error:
    from mxtrain.errors import BackendError

    raise BackendError("mxtrain.jax needs JAX, which cannot be imported; pip install jax") from error

from mxtrain.jax.transformation import TransformationState, evaluation_params, transformation

__all__ = ["TransformationState", "evaluation_params", "transformation"]
