"""The run file: everything that one training run follows from."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mxtrain.optimizers import AnyRule
from mxtrain.types import Bounds, Config, Count, Seed, misfit

BackendName = Literal["auto", "numpy", "compiled", "cupy"]
DataType = Literal["float32", "float64"]
LossName = Literal["softmax_cross_entropy", "logistic", "squared_error"]
MetricName = Literal["accuracy", "loss", "mae", "r2"]
Standardize = Literal["features", "whole", "none"]
Activation = Literal["relu", "tanh", "sigmoid"]
Fraction = Annotated[float, Bounds(ge=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Listed = BeforeValidator(_as_tuple)
"""Takes a list for a tuple, but neither a set, which has no order, nor whatever else can be walked through."""

CLASS_LOSSES: tuple[LossName, ...] = ("softmax_cross_entropy", "logistic")
"""The losses whose targets are classes; the others take numbers."""
CLASS_SOURCES: dict[str, bool] = {"digits": True, "diabetes": False}
"""The data sets in the package, and whether their targets are classes."""


class DataConfig(Config):
    """What to train on, and in which portions.

    Args:
        source: `digits`, `diabetes`, or the path of a `.csv` or `.npz` file, relative to the run file.
        target: the column (CSV) or array (NPZ) to predict; needed for files.
        features: the columns (CSV), or the one array (NPZ), to predict from; left out, all the others.
        batch_size: samples in a batch, at least 1.
        validation: share of the samples that is held out, at least 0 and below 1; of each class alike.
        shuffle: whether each epoch draws its own order of the samples.
        last_batch: what happens to a smaller batch at the end of an epoch: `keep` or `drop`.
        standardize: `features` brings each feature to mean 0 and variance 1, as measured on the training part; `whole`
            all of them together, which suits features that share one unit, such as pixels; `none` leaves them as they
            are. Left out, `whole` for digits and `features` for everything else.
    """

    source: Text
    target: Text | None = None
    features: Annotated[tuple[Text, ...], Listed, Field(min_length=1)] | None = None
    batch_size: Count = 32
    validation: Fraction = 0.2
    shuffle: bool = True
    last_batch: Literal["keep", "drop"] = "keep"
    standardize: Standardize | None = None

    @property
    def is_file(self) -> bool:
        """Whether the source is a file rather than a data set in the package."""
        return self.source not in CLASS_SOURCES

    def resolve(self) -> "DataConfig":
        """The config with nothing left open: `standardize` follows from the source where it was left out."""
        if self.standardize is not None:
            return self
        return self.model_copy(update={"standardize": "whole" if self.source == "digits" else "features"})

    @model_validator(mode="after")
    def _suits_the_source(self) -> Self:
        if not self.is_file:
            for name in ("target", "features"):
                if getattr(self, name) is not None:
                    raise misfit(name, f"{self.source} has its own; leave {name} out")
        elif not self.source.endswith((".csv", ".npz")):
            raise misfit(
                "source",
                f"must be digits, diabetes, or a path that ends in .csv or .npz, got {self.source!r}",
            )
        elif self.target is None:
            raise misfit("source", "a file needs data.target, the name of what is to be predicted")
        return self


class LinearConfig(Config):
    """A linear model, `X·W + b`: least squares, logistic or softmax regression, as the loss says.

    Args:
        bias: whether there is a `b`.
    """

    kind: Literal["linear"] = "linear"
    bias: bool = True


class MLPConfig(Config):
    """A multi-layer perceptron: dense layers with an activation between them.

    Args:
        hidden: the width of each hidden layer, at least 1 each; an empty list makes a linear model.
        activation: `relu`, `tanh` or `sigmoid`.
    """

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Count, ...], Listed] = (64,)
    activation: Activation = "relu"


ModelConfig = Annotated[LinearConfig | MLPConfig, Field(discriminator="kind")]
MODELS = (LinearConfig, MLPConfig)


class FitConfig(Config):
    """How long to train, and what to report.

    Args:
        epochs: passes over the training part, at least 1.
        metrics: what to report for each epoch besides `loss`: `accuracy`, `mae`, `r2`.
    """

    epochs: Count = 10
    metrics: Annotated[tuple[MetricName, ...], Listed] = ()


class RunConfig(Config):
    """One training run, whole.

    Args:
        name: what the run is called; its folder is named after it.
        seed: of the split, of the order of samples and of the first weights.
        backend: what runs the updates; `auto` chooses by the arrays, and the choice never changes a result.
        dtype: of parameters, slots and inputs.
        data: what to train on, and in which portions.
        model: what is trained, a `linear` model or an `mlp`.
        loss: what is made small: `softmax_cross_entropy`, `logistic` or `squared_error`.
        optimizer: the update rule.
        fit: how long to train, and what to report.

    Example:
        >>> run = RunConfig.model_validate({
        ...     "data": {"source": "digits"}, "model": {"kind": "mlp"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam"}})
        >>> run.optimizer.β1
        0.9
        >>> run.resolve().optimizer.scale
        0.03125
    """

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=100)] = "run"
    seed: Seed = 0
    backend: BackendName = "auto"
    dtype: DataType = "float32"
    data: DataConfig
    model: ModelConfig
    loss: LossName
    optimizer: AnyRule
    fit: FitConfig = FitConfig()

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        has_classes = self.loss in CLASS_LOSSES
        if CLASS_SOURCES.get(self.data.source, has_classes) != has_classes:
            remedy = "squared_error" if has_classes else "softmax_cross_entropy"
            raise misfit("loss", f"{self.loss} does not suit {self.data.source}; use {remedy}")
        if self.data.source == "digits" and self.loss == "logistic":
            raise misfit("loss", "logistic is for two classes, digits has ten; use softmax_cross_entropy")
        for i, metric in enumerate(self.fit.metrics):
            if metric != "loss" and (metric == "accuracy") != has_classes:
                raise misfit(f"fit.metrics.{i}", f"{metric} cannot be measured with the loss {self.loss}")
        return self

    def resolve(self) -> "RunConfig":
        """The config with nothing left open: an unset `optimizer.scale` becomes `1/batch_size`."""
        scale = self.optimizer.scale or 1 / self.data.batch_size
        optimizer = self.optimizer.model_copy(update={"scale": scale})
        return self.model_copy(update={"optimizer": optimizer, "data": self.data.resolve()})
