"""A rule is added by one file and one line of the list in `mxtrain/optim/rules/__init__.py`."""

import shutil
import subprocess
import sys
from pathlib import Path

import mxtrain
from mxtrain.optim import rules
from mxtrain.optim.rules import RULES
from mxtrain.processes import child_path

FILE = '''"""Sign descent."""

from collections.abc import Mapping
from typing import Any, Literal

from mxtrain.optim.ir import where
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import NonNegative, Positive


class SignDescent(Rule):
    """Sign descent."""

    kind: Literal["sign_descent"] = "sign_descent"
    η: Positive = 0.5
    λ: NonNegative = 0.0

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`."""
        return {"step": -self.learning_rate_at(time)}

    @staticmethod
    def update(W: Any, g: Any, *, step: Any) -> tuple[Any, ...]:
        """One update."""
        return (W + step * where(g < 0, -1, 1),)
'''
LINE = "from mxtrain.optim.rules.sign_descent import SignDescent as SignDescent\n"
LAST = "# isort: on\n"
PROGRAM = """
import numpy as np
import mxtrain
from mxtrain import *
from mxtrain.benchmarks import rule_benchmark
from mxtrain.cli.catalogue import catalogue
from mxtrain.config.schema import json_schema
from mxtrain.optim.rules import RULES

assert mxtrain.SignDescent is SignDescent is RULES[-1]
assert "SignDescent" in dir(mxtrain) and "SignDescent" in mxtrain.__all__
params = {"W": np.ones(2)}
mxtrain.build({"kind": "sign_descent"}, backend="numpy").step(params, {"W": np.array([-3.0, 7.0])})
assert params["W"].tolist() == [1.5, 0.5]
try:
    mxtrain.build({"kind": "sign_decent"})
except mxtrain.ConfigError as error:
    assert ", sign_descent, lbfgs, cg, got 'sign_decent'; did you mean sign_descent?" in str(error), error
assert [entry.name for entry in catalogue()["optimizers"]][-1] == "sign_descent"
assert "sign_descent" in str(json_schema())
run = {"data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy"}
assert mxtrain.RunConfig(**run, optimizer={"kind": "sign_descent", "lr": 0.25}).optimizer.η == 0.25
"""


def test_a_rule_in_the_list_appears_everywhere(tmp_path: Path) -> None:
    package = shutil.copytree(
        Path(mxtrain.__file__).parent, tmp_path / "mxtrain", ignore=shutil.ignore_patterns("__pycache__")
    )
    (package / "optim/rules/sign_descent.py").write_text(FILE, encoding="utf-8")
    names = package / "optim/rules/__init__.py"
    text = names.read_text(encoding="utf-8")
    assert text.count(LAST) == 1
    names.write_text(text.replace(LAST, LINE + LAST), encoding="utf-8")
    path = child_path()["PYTHONPATH"]
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{PROGRAM}"],
        env={"PYTHONPATH": path, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_package_exports_every_rule() -> None:
    files = {path.stem for path in Path(rules.__file__).parent.glob("*.py")} - {
        "__init__",
        "base",
        "fields",
        "time",
        "matrix_rule",
        "formula",
        "scheduled",
        "wrappers",
    }
    assert {rule.__module__.rpartition(".")[2] for rule in RULES} == files
    assert len(RULES) == len(files) >= 16
    for rule in RULES:
        assert getattr(mxtrain, rule.__name__) is rule
        assert rule.__name__ in mxtrain.__all__
        assert rule.__name__ in dir(mxtrain)
    assert not hasattr(mxtrain, "Group")
