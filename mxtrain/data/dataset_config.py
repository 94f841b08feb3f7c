"""The fields of a run's config on which its data set depends."""

from typing import Protocol

from mxtrain.config.data_section import DataConfig
from mxtrain.loss_config import LossSpec
from mxtrain.types import DataType, LossName


class DatasetConfig(Protocol):
    """The fields of a run's config that determine its data set; `RunConfig` has them."""

    @property
    def data(self) -> DataConfig: ...

    @property
    def seed(self) -> int: ...

    @property
    def dtype(self) -> DataType: ...

    @property
    def equivalent_builtin_loss(self) -> LossName: ...

    @property
    def loss_spec(self) -> LossSpec: ...

    @property
    def has_custom_loss(self) -> bool: ...

    @property
    def standardizes_target(self) -> bool: ...
