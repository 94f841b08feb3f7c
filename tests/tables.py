"""Data and helpers of several packages: rules, gradient stages, shapes, special values and golden numbers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mxtrain.config.introspection import allowed_kinds
from mxtrain.minimization.method_configs import AnyOptimizer
from mxtrain.optim.ir import MultiPassProgram
from mxtrain.optim.optimizer import Optimizer
from mxtrain.optim.rules import AnyRule, Rule

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "mxnet.json").read_text(encoding="utf-8"))

CONFIGS: dict[str, dict[str, Any]] = {
    "sgd": {"kind": "sgd", "η": 0.1},
    "sgd with momentum": {"kind": "sgd", "η": 0.02, "μ": 0.9},
    "sgd with nadam momentum": {"kind": "sgd", "η": 0.02, "μ_sched": {"kind": "nadam", "μ": 0.9}},
    "adam": {"kind": "adam", "η": 0.1},
    "adam with amsgrad": {"kind": "adam", "η": 0.1, "amsgrad": True},
    "adamw": {"kind": "adamw", "η": 0.1},
    "adamw with amsgrad": {"kind": "adamw", "η": 0.1, "amsgrad": True},
    "adamw with corrected decay": {"kind": "adamw", "η": 0.1, "corrected": True},
    "nadamw": {"kind": "nadamw", "η": 0.1},
    "nadamw in the form of algoperf": {"kind": "nadamw", "η": 0.1, "form": "algoperf"},
    "radam": {"kind": "radam", "η": 0.1},
    "radam with decoupled decay": {"kind": "radam", "η": 0.1, "decoupled": True},
    "adabelief": {"kind": "adabelief", "η": 0.1, "ϵ": 1e-6},
    "yogi": {"kind": "yogi", "η": 0.1},
    "ademamix": {"kind": "ademamix", "η": 0.05, "β3": 0.99},
    "ademamix with warm-ups": {"kind": "ademamix", "η": 0.05, "β3": 0.99, "α_warmup": 3, "β3_warmup": 4},
    "laprop": {"kind": "laprop", "η": 0.1},
    "mars": {"kind": "mars", "η": 0.1},
    "mars for vectors": {"kind": "mars", "η": 0.1, "vectors": True},
    "stable_adamw": {"kind": "stable_adamw", "η": 0.1},
    "lamb": {"kind": "lamb", "η": 0.1},
    "lamb for vectors": {"kind": "lamb", "η": 0.1, "vectors": True},
    "lars": {"kind": "lars", "η": 0.02},
    "lars for vectors": {"kind": "lars", "η": 0.02, "trust": 0.5, "vectors": True},
    "lars with nesterov": {"kind": "lars", "η": 0.02, "nesterov": True},
    "lars without momentum": {"kind": "lars", "η": 0.1, "μ": 0.0},
    "adagrad": {"kind": "adagrad", "η": 0.5},
    "adadelta": {"kind": "adadelta", "ϵ": 1e-2},
    "adamax": {"kind": "adamax", "η": 0.1},
    "rmsprop": {"kind": "rmsprop", "η": 0.05},
    "nadam": {"kind": "nadam", "η": 0.05, "β1": 0.9},
    "nadam with fixed momentum": {"kind": "nadam", "η": 0.05, "μ_sched": {"kind": "fixed", "μ": 0.9}},
    "nadam without momentum": {"kind": "nadam", "η": 0.05, "μ_sched": {"kind": "null"}},
    "sgd with nesterov": {"kind": "sgd", "η": 0.02, "μ": 0.9, "nesterov": True},
    "sgd of torch": {"kind": "sgd", "η": 0.02, "μ": 0.9, "form": "torch"},
    "sgd of torch with nesterov": {"kind": "sgd", "η": 0.02, "μ": 0.9, "nesterov": True, "form": "torch"},
    "rmsprop centered": {"kind": "rmsprop", "η": 0.05, "ϵ": 0.1, "centered": True},
    "rmsprop with momentum": {"kind": "rmsprop", "η": 0.01, "μ": 0.9, "ϵ": 0.1},
    "rmsprop centered with momentum": {"kind": "rmsprop", "η": 0.01, "μ": 0.9, "ϵ": 0.1, "centered": True},
    "rmsprop of torch": {"kind": "rmsprop", "η": 0.05, "form": "torch"},
    "rmsprop of torch, centered with momentum": {
        "kind": "rmsprop",
        "η": 0.01,
        "μ": 0.9,
        "ϵ": 0.1,
        "centered": True,
        "form": "torch",
    },
    "signum": {"kind": "signum", "η": 0.02},
    "signum without momentum": {"kind": "signum", "η": 0.05, "μ": 0},
    "lion": {"kind": "lion", "η": 0.05},
    "rprop": {"kind": "rprop", "η": 0.1},
    "ftrl": {"kind": "ftrl", "η": 0.5, "λ1": 1e-3},
    "ftrl without penalties": {"kind": "ftrl", "η": 0.5, "β": 0, "λ1": 0},
    "adopt": {"kind": "adopt", "η": 0.1, "β2": 0.99},
    "adan": {"kind": "adan", "η": 0.1},
    "adan without prox": {"kind": "adan", "η": 0.1, "prox": False},
    "prodigy": {"kind": "prodigy", "d0": 0.01},
    "prodigy corrected": {"kind": "prodigy", "d0": 0.01, "corrected": True, "safeguard": True, "growth": 1.5},
    "dog": {"kind": "dog", "relative": 0.01},
    "schedule_free_sgd": {"kind": "schedule_free_sgd", "η": 0.3},
    "schedule_free_adamw": {"kind": "schedule_free_adamw", "η": 0.1, "r": 1},
}
MATRIX_CONFIGS: dict[str, dict[str, Any]] = {
    "adafactor": {"kind": "adafactor", "η": 0.1},
    "muon": {"kind": "muon", "η": 0.1},
    "muon with sgd for vectors": {"kind": "muon", "η": 0.1, "otherwise": {"kind": "sgd", "η": 0.1}},
    "soap": {"kind": "soap", "η": 0.1, "every": 2},
    "soap with one side rotated": {"kind": "soap", "η": 0.1, "largest": 8},
}
"""Rules of whole arrays, which have no traced program."""
WITHOUT_DECAY = ("rprop",)
"""Kinds of rules without weight decay."""
WITH_TOTALS = ("prodigy", "dog")
"""Kinds of rules with sums over all parameters, so that no parameter is updated as if alone."""
WITHOUT_SCHEDULE = ("rprop",)
"""Kinds of rules in which a schedule of η has no effect."""
OPTIMIZERS = ", ".join(allowed_kinds(AnyOptimizer))
RULES = ", ".join(allowed_kinds(AnyRule))
SCHEDULES = ", ".join(allowed_kinds(Rule.model_fields["η_sched"].annotation))
"""The kinds of rules, as messages list them."""
STAGES: dict[str, dict[str, float]] = {
    "plain": {"λ": 0.0},
    "decayed": {"λ": 0.01},
    "scaled and clipped": {"λ": 0.0, "scale": 0.5, "clip": 0.3},
    "all": {"λ": 0.01, "scale": -0.25, "clip": 0.1},
}


def with_stage(config: dict[str, Any], stage: dict[str, Any]) -> dict[str, Any]:
    """Return a config with the settings of a gradient stage; a rule without weight decay keeps λ at 0."""
    return config | stage | ({"λ": 0} if config["kind"] in WITHOUT_DECAY and "λ" in stage else {})


def update_one(optimizer: Optimizer, gradient: Any, weight: Any, index: Any = 0) -> None:
    """Update one array, by a step if the rule has sums over all parameters."""
    program = optimizer.rule.program()
    if isinstance(program, MultiPassProgram) and program.has_totals:
        optimizer.step({index: weight}, {index: gradient})
    else:
        optimizer.update(index, gradient, weight)


SHAPES: dict[str, Any] = {"scalar": (), "empty": (0, 3), "odd": (7, 11), "two blocks and a bit": 131_075}


def as_bytes(arrays: Mapping[Any, Any]) -> dict[Any, bytes]:
    """Return the bytes of each array."""
    return {name: array.tobytes() for name, array in arrays.items()}


def special_arrays(size: int, dtype: str, count: int, seed: int = 0) -> list[np.ndarray]:
    """Return arrays of normal deviates in which about a tenth of the values are special, in every combination."""
    generator = np.random.default_rng(seed)
    info = np.finfo(dtype)
    numbers = [np.nan, np.inf, -np.inf, 0.0, -0.0, info.smallest_subnormal, -info.tiny / 3, info.max, -info.max, 1.0]
    arrays = []
    for _ in range(count):
        array = generator.standard_normal(size).astype(dtype)
        chosen = generator.random(size) < 0.1
        array[chosen] = generator.choice(np.array(numbers, dtype=dtype), chosen.sum())
        arrays.append(array)
    return arrays
