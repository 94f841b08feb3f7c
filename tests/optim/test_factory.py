"""`mxtrain.build` needs the optimizer's packages and nothing else."""

import subprocess
import sys

import pytest

import mxtrain
from mxtrain.optim.factory import build_optimizer
from mxtrain.processes import child_path

ALLOWED = {"mxtrain", "numpy", "yaml", "pydantic", "pydantic_core", "annotated_types", "typing_extensions"}
"""NumPy, PyYAML, Pydantic and the packages that Pydantic requires."""

PROGRAM = """
import sys
before = set(sys.modules)
import mxtrain
assert "numpy" not in sys.modules, "importing mxtrain is cheap"
optimizer = mxtrain.build({"kind": "adam", "lr": 0.1, "λ": 0}, backend="numpy")
import numpy as np
params = {"W": np.ones(2, dtype="float32")}
optimizer.step(params, {"W": np.ones(2, dtype="float32")})
assert (params["W"] < 0.95).all()
print(*sorted(set(sys.modules) - before))
"""


def test_build_and_a_step_import_no_other_packages() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM],
        env=child_path() | {"PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    modules = done.stdout.split()
    packages = {name.split(".")[0] for name in modules} - sys.stdlib_module_names
    assert {name for name in packages if not name.startswith("_")} <= ALLOWED | {"cython_runtime", "typing_inspection"}
    assert not [name for name in modules if name.startswith(("mxtrain.data", "mxtrain.training", "mxtrain.nn"))]


def test_an_optimizer_is_built_from_a_rule_without_the_configuration_language() -> None:
    optimizer = build_optimizer(mxtrain.SGD(η=0.5), backend="numpy", on_nonfinite="skip")
    assert (optimizer.rule.η, optimizer.backend.name) == (0.5, "numpy")
    with pytest.raises(mxtrain.ConfigError, match="^on_nonfinite: must be one of warn, ignore, raise, skip, got 'no'$"):
        build_optimizer(mxtrain.SGD(), on_nonfinite="no")  # type: ignore[arg-type]
    with pytest.raises(mxtrain.ConfigError, match=r"^optimizer.η_sched.T: must be a number, got run: only a run"):
        build_optimizer(mxtrain.SGD(η_sched=mxtrain.learning_rate.Cosine(T="run")))
