"""The YAML language of configs: read, locate, extend, override, validate, explain, write, export a schema."""

from mxtrain.config.data_section import CLASS_SOURCES, DataConfig
from mxtrain.config.fit_section import FitConfig
from mxtrain.config.load import optimizer_from_dict, read_config, read_optimizer, read_run, run_from_dict
from mxtrain.config.run import CLASS_LOSSES, MODELS, CustomConfig, LinearConfig, MLPConfig, ModelConfig, RunConfig
from mxtrain.config.schema import json_schema
from mxtrain.config.writer import to_yaml

__all__ = [
    "CLASS_LOSSES",
    "CLASS_SOURCES",
    "MODELS",
    "CustomConfig",
    "DataConfig",
    "FitConfig",
    "LinearConfig",
    "MLPConfig",
    "ModelConfig",
    "RunConfig",
    "json_schema",
    "optimizer_from_dict",
    "read_config",
    "read_optimizer",
    "read_run",
    "run_from_dict",
    "to_yaml",
]
