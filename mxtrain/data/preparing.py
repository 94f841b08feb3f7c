"""Whether data suit a run."""

from mxtrain.config.run import RunConfig
from mxtrain.errors import DataError


def check_classes(config: RunConfig, target: str, class_names: tuple[str, ...] | None) -> None:
    """A DataError where logistic, which is for two classes, has another number of them."""
    if config.decoding == "logistic" and len(class_names or ()) != 2:
        which, remedy = "logistic", "loss: softmax_cross_entropy"
        if config.has_custom_loss:
            which, remedy = "model.targets: binary", "model.targets: classes"
        raise DataError(
            f"{config.data.source}: {target!r} has {len(class_names or ())} classes, and {which} is for two; "
            f"set {remedy}"
        )


def check_batch_size(config: RunConfig, samples: int) -> None:
    """A DataError where no batch would be left to train on."""
    if config.data.last_batch == "drop" and config.data.batch_size > samples:
        raise DataError(
            f"data.batch_size: must be at most {samples}, the samples to train on, as last_batch: drop would "
            f"leave no batch, got {config.data.batch_size}; lower it, or set last_batch: keep"
        )
