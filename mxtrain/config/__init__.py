"""Configuration language: YAML files and dicts to validated configs, and back."""

from mxtrain.config.data_section import DataConfig
from mxtrain.config.data_sources import CLASS_SOURCES
from mxtrain.config.fit_section import FitConfig
from mxtrain.config.loader import (
    optimizer_from_dict,
    read_config,
    read_optimizer,
    read_run,
    read_sweep,
    run_from_dict,
    sweep_from_dict,
)
from mxtrain.config.model_section import MODELS, CustomConfig, LinearConfig, MLPConfig, ModelConfig
from mxtrain.config.run_section import RunConfig
from mxtrain.config.schema import json_schema
from mxtrain.config.search.distributions import Suggester
from mxtrain.config.search.space import Point, Space
from mxtrain.config.search.sweep_definition import Sweep
from mxtrain.config.search.sweep_section import (
    ASHA,
    CMAES,
    GP,
    NSGA2,
    PRUNERS,
    QMC,
    SAMPLERS,
    TPE,
    AnyPruner,
    AnySampler,
    Grid,
    Hyperband,
    Median,
    NoPruner,
    Objective,
    Random,
    SweepConfig,
)
from mxtrain.config.yaml.dump import to_yaml
from mxtrain.types import CLASS_LOSSES

__all__ = [
    "ASHA",
    "AnyPruner",
    "AnySampler",
    "CLASS_LOSSES",
    "CLASS_SOURCES",
    "CMAES",
    "CustomConfig",
    "DataConfig",
    "Suggester",
    "FitConfig",
    "GP",
    "Grid",
    "Hyperband",
    "LinearConfig",
    "MLPConfig",
    "MODELS",
    "Median",
    "ModelConfig",
    "NSGA2",
    "NoPruner",
    "Objective",
    "PRUNERS",
    "Point",
    "QMC",
    "Random",
    "RunConfig",
    "SAMPLERS",
    "Space",
    "Sweep",
    "SweepConfig",
    "TPE",
    "json_schema",
    "optimizer_from_dict",
    "read_config",
    "read_optimizer",
    "read_run",
    "read_sweep",
    "run_from_dict",
    "sweep_from_dict",
    "to_yaml",
]
