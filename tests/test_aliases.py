"""Imports and pickles of earlier versions."""

import importlib
import pickle
import sys

import numpy as np
import pytest

import mxtrain


@pytest.mark.parametrize(
    ("former", "present", "name"),
    [
        ("mxtrain.kernel", "mxtrain.optim.ir", "where"),
        ("mxtrain.optimizers", "mxtrain.optim.rules", "Rule"),
        ("mxtrain.optimizers.adam", "mxtrain.optim.rules.adam", "Adam"),
        ("mxtrain.schedules", "mxtrain.optim.schedules", "Schedule"),
        ("mxtrain.models", "mxtrain.nn", "Model"),
        ("mxtrain.nn.matmul", "mxtrain.optim.backends.matmul", "MatMulPlan"),
        ("mxtrain.nn.matmul.blas", "mxtrain.optim.backends.matmul.blas", "single_threaded_blas"),
        ("mxtrain.optimizer", "mxtrain.optim.optimizer", "Optimizer"),
        ("mxtrain.state", "mxtrain.optim.optimization_state", "OptimizationState"),
    ],
)
def test_a_former_module_is_the_present_one(former, present, name):
    module = importlib.import_module(former)
    assert module is importlib.import_module(present)
    assert getattr(module, name) is getattr(importlib.import_module(present), name)
    assert module.__name__ == present
    assert module.__spec__.name == present


def test_an_unknown_module_is_not_found():
    with pytest.raises(ModuleNotFoundError, match=r"mxtrain\.kernels"):
        importlib.import_module("mxtrain.kernels")


def test_a_pickle_that_names_former_modules_opens():
    optimizer = mxtrain.build({"kind": "adam"}, backend="numpy")
    weight = np.ones(3)
    optimizer.step({"w": weight}, {"w": weight.copy()})
    present = pickle.dumps(optimizer, protocol=0)
    former = present.replace(b"mxtrain.optim.optimizer", b"mxtrain.optimizer").replace(
        b"mxtrain.optim.rules.adam", b"mxtrain.optimizers.adam"
    )
    assert former != present
    again, other = pickle.loads(former), weight.copy()
    again.step({"w": other}, {"w": np.ones(3)})
    optimizer.step({"w": weight}, {"w": np.ones(3)})
    assert np.array_equal(weight, other)
    assert sys.modules["mxtrain.optimizer"] is sys.modules["mxtrain.optim.optimizer"]


def test_pickles_of_former_groups_and_flat_parameters_open():
    rule = mxtrain.Adam(groups={"b*": {"λ": 0}})
    present = pickle.dumps(rule, protocol=0)
    former = present.replace(b"mxtrain.optim.groups.group\nGroup\n", b"mxtrain.optimizers.group\nGroup\n")
    assert former != present
    assert pickle.loads(former) == rule
    group = type(rule.groups["b*"]).__new__(type(rule.groups["b*"]))
    group.__setstate__({"__dict__": {"η": None, "λ": 0.0}, "__pydantic_fields_set__": {"λ"}})
    assert group == rule.groups["b*"]
    flat = mxtrain.FlatParameters({"W": np.arange(3.0)})
    present = pickle.dumps(flat, protocol=0)
    module = b"mxtrain.optim.flat_parameters\n"
    former = present.replace(module + b"BufferSlice\n", b"mxtrain.flat\nPlace\n").replace(module, b"mxtrain.flat\n")
    assert former.count(b"mxtrain.flat\n") == present.count(module) > 1
    again = pickle.loads(former)
    assert again.has_same_layout(flat)
    assert again["W"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("backend", ["numpy", "compiled", "auto"])
def test_a_pickle_that_names_former_backends_opens(backend):
    optimizer = mxtrain.build({"kind": "adam"}, backend=backend)
    weight = np.ones(3)
    optimizer.step({"w": weight}, {"w": weight.copy()})
    present = pickle.dumps(optimizer, protocol=0)
    former = present
    for module, former_module in (
        (b"mxtrain.optim.backends.selection\n", b"mxtrain.backends.auto\n"),
        (b"mxtrain.optim.backends.numpy_backend\n", b"mxtrain.backends.blocked\n"),
        (
            b"mxtrain.optim.backends.compiled.numba_backend\nNumbaBackend\n",
            b"mxtrain.backends.compiled\nCompiledBackend\n",
        ),
    ):
        former = former.replace(module, former_module)
    assert former != present
    again, other = pickle.loads(former), weight.copy()
    again.step({"w": other}, {"w": np.ones(3)})
    optimizer.step({"w": weight}, {"w": np.ones(3)})
    assert type(again.backend) is type(optimizer.backend)
    assert np.array_equal(weight, other)
