"""Settings of some parameters that differ from their rule's."""

from mxtrain.types import Config, NonNegative


class Group(Config):
    """Settings of some parameters that differ from their rule's; what is left out is the rule's.

    In `Rule.groups` it stands under a pattern of the parameters' names: `W1` is one, `b*` are all that begin with b;
    `?` stands for one character, `[12]` for one of these. Of several patterns that fit a name the first holds.

    Args:
        η: learning rate, at least 0; the rule's schedule is followed from here. 0 leaves the parameters as they are.
        λ: weight decay, at least 0.

    Example:
        >>> import mxtrain, numpy as np
        >>> optimizer = mxtrain.build({"kind": "sgd", "η": 0.5, "λ": 0, "groups": {"b*": {"η": 0}}})
        >>> params = {name: np.ones(2, dtype="float32") for name in ("W1", "b1")}
        >>> optimizer.step(params, {name: np.ones_like(value) for name, value in params.items()})
        >>> params["W1"], params["b1"]
        (array([0.5, 0.5], dtype=float32), array([1., 1.], dtype=float32))

    Source: the parameter groups of `torch.optim.Optimizer`; `set_lr_mult` and `set_wd_mult` of MXNet's optimizers,
    which multiply instead.
    """

    η: NonNegative | None = None
    λ: NonNegative | None = None
