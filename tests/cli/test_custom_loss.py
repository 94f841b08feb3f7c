"""Commands on a model with a custom loss."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from mxtrain.sweeps.task import Task
from mxtrain.sweeps.work import work
from mxtrain.training.stopping import StopRequest
from tests.training.test_custom_loss import PLUGIN

RUN = """\
data: {source: data.npz, target: y}
model: {kind: custom}
loss: custom
optimizer: {kind: adam, lr: 0.05}
fit: {epochs: 2, metrics: [mae]}
"""


def test_commands_and_the_trials_of_sweeps_use_the_models_loss(mxtrain: Any) -> None:
    Path("quantile_plugin.py").write_text(PLUGIN)
    rng = np.random.default_rng(0)
    np.savez("data.npz", X=rng.normal(size=(200, 2)), y=rng.normal(size=200))
    Path("run.yaml").write_text(RUN)
    plugin = ("--plugin", "quantile_plugin")
    status, out, err = mxtrain("fit", "run.yaml", *plugin, "--run-dir", "run", "--json", "--quiet")
    assert status == 0, err
    fitted = json.loads(out)["metrics"]
    _, out, _ = mxtrain("evaluate", "run", *plugin, "--json")
    assert json.loads(out)["metrics"]["loss"] == fitted["val_loss"]
    assert mxtrain("predict", "run", "data.npz", *plugin)[1].count("\n") == 201

    status, _, err = mxtrain("fit", "run.yaml", *plugin, "--run-dir", "other", "--set", "loss=squared_error", "--quiet")
    assert status == 2
    assert "loss: is squared_error, but the model of quantile_plugin.model computes another loss" in err

    from mxtrain.config import read_run

    task = Task(0, 0, read_run("run.yaml").resolve().to_dict(), "trial", 2)
    outcome = work(task, StopRequest(), "quantile_plugin:model")
    assert outcome.progress is not None, outcome.message
    assert outcome.progress.rows[-1]["val_loss"] == fitted["val_loss"]
