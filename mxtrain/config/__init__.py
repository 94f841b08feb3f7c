"""The YAML language of configs: read, locate, extend, override, validate, explain, write, export a schema."""

from mxtrain.config.data_section import CLASS_SOURCES, DataConfig
from mxtrain.config.fit_section import FitConfig
from mxtrain.config.load import (
    optimizer_from_dict,
    read_config,
    read_optimizer,
    read_run,
    read_sweep,
    run_from_dict,
    sweep_from_dict,
)
from mxtrain.config.run import CLASS_LOSSES, MODELS, CustomConfig, LinearConfig, MLPConfig, ModelConfig, RunConfig
from mxtrain.config.schema import json_schema
from mxtrain.config.search.draw import Draw
from mxtrain.config.search.pruners import ASHA, PRUNERS, AnyPruner, Hyperband, Median, NoPruner
from mxtrain.config.search.samplers import CMAES, GP, NSGA2, QMC, SAMPLERS, TPE, AnySampler, Grid, Random
from mxtrain.config.search.section import Objective, SweepConfig
from mxtrain.config.search.space import Point, Space
from mxtrain.config.search.sweep import Sweep
from mxtrain.config.writer import to_yaml

__all__ = [
    "ASHA",
    "AnyPruner",
    "AnySampler",
    "CLASS_LOSSES",
    "CLASS_SOURCES",
    "CMAES",
    "CustomConfig",
    "DataConfig",
    "Draw",
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
