"""The run file's `data`: what to train on."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mxtrain.types import Bounds, Config, Count, misfit

Standardize = Literal["features", "whole", "none"]
Fraction = Annotated[float, Bounds(ge=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]

CLASS_SOURCES: dict[str, bool] = {"digits": True, "diabetes": False}
"""The data sets in the package, and whether their targets are classes."""


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Listed = BeforeValidator(_as_tuple)
"""Takes a list for a tuple, but neither a set, which has no order, nor whatever else can be walked through."""


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
