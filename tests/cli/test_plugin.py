"""`--plugin`: a custom model from a module that is named on the command line."""

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import RUN

PLUGIN = '''\
"""A linear model."""
from mxtrain.training.model_factory import build_model
from mxtrain.config import LinearConfig

def model(config, n_features, n_outputs, xp):
    return build_model(LinearConfig(), config.loss, n_features, n_outputs, xp)
'''


@pytest.fixture(autouse=True)
def plugin(folder, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    Path("mine.py").write_text(PLUGIN)
    Path("custom.yaml").write_text(RUN.replace("kind: linear", "kind: custom"), encoding="utf-8")


def test_every_command_that_needs_the_model_accepts_plugin(mxtrain):
    plugin_option = ("--plugin", "mine")
    assert mxtrain("fit", "custom.yaml", "-q", "--run-dir", "run", *plugin_option) == (0, "", "")
    assert "plugin: mine.model" in Path("run/config.yaml").read_text(encoding="utf-8")
    assert mxtrain("resume", "run", "-q", *plugin_option, "--set", "fit.epochs=3") == (0, "", "")
    assert mxtrain("resume", "run", "--verify", *plugin_option).out == "run replays to the byte\n"
    assert mxtrain("evaluate", "run", *plugin_option).status == 0
    assert mxtrain("predict", "run", "digits", *plugin_option).out.startswith("prediction,probability_0")


def test_a_config_does_not_load_modules(mxtrain):
    mxtrain("fit", "custom.yaml", "-q", "--run-dir", "run", "--plugin", "mine")
    sys.modules.pop("mine")
    for arguments in (("fit", "run/config.yaml"), ("resume", "run"), ("evaluate", "run"), ("predict", "run", "digits")):
        status, _, err = mxtrain(*arguments)
        assert status == 2
        assert err == "model: the model mine.model is not in the config; pass it with --plugin, or with model=\n"
    assert "mine" not in sys.modules


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "mine cannot be imported: ModuleNotFoundError: No module named 'mine'"),
        ("1 / 0", "mine cannot be imported: ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "mine cannot be imported: SystemExit: 3"),
        ("", "mine defines no function model(config, n_features, n_outputs, xp)"),
    ],
)
def test_an_invalid_plugin_is_one_error_with_status_2(content, message, mxtrain):
    Path("mine.py").unlink() if content is None else Path("mine.py").write_text(content)
    status, out, err = mxtrain("fit", "custom.yaml", "--plugin", "mine")
    assert (status, out) == (2, "")
    assert message in " ".join(err.split())
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["", ".", "../mine", "folder/mine"])
def test_a_plugin_that_is_no_name_of_a_module_is_an_error(name, mxtrain):
    status, _, err = mxtrain("show", "adam", "--plugin", name)
    assert status == 2
    assert f"{name!r} is no name of a module; the path of a file ends in .py" in " ".join(err.split())
