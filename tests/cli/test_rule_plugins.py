"""`--plugin` with rules and schedules: every command knows their kinds, and no file imports them by itself."""

import json
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import RUN

PLUGIN = '''\
from typing import ClassVar, Literal

from mxtrain.optim.ir import sign
from mxtrain.optim.rules import Rule
from mxtrain.optim.schedules.learning_rate import RateSchedule
from mxtrain.types import Decay, NonNegative, Positive


class SignMomentum(Rule):
    """Sign of a momentum.

    Args:
        β1: decay of the momentum, at least 0 and below 1.
    """

    slots: ClassVar = ("m",)
    kind: Literal["sign_momentum"] = "sign_momentum"
    η: Positive = 1e-3
    λ: NonNegative = 0.0
    β1: Decay = 0.9

    def coefficients(self, time, scalars):
        return {"step": -self.learning_rate_at(time)}

    @staticmethod
    def update(W, g, m, *, step, β1):
        m = β1 * m + (1 - β1) * g
        return W + step * sign(m), m


class Halving(RateSchedule):
    """η/2^(t/T)."""

    kind: Literal["halving"] = "halving"
    T: Positive = 2

    def after_warmup(self, η, t):
        return η / 2 ** (t / self.T)
'''
OPTIMIZER = "{kind: sign_momentum, lr: 0.01, η_sched: {kind: halving}}"
OPTION = ("--plugin", "my_rules")


@pytest.fixture(autouse=True)
def plugin(folder, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_rules", raising=False)
    Path("my_rules.py").write_text(PLUGIN, encoding="utf-8")
    lines = [line for line in RUN.splitlines() if not line.startswith("optimizer:")]
    Path("own.yaml").write_text("\n".join([*lines, f"optimizer: {OPTIMIZER}\n"]), encoding="utf-8")
    yield
    sys.modules.pop("my_rules", None)


def test_a_run_with_a_plugin_trains_resumes_and_predicts(mxtrain):
    assert mxtrain("fit", "own.yaml", "-q", "--run-dir", "run", *OPTION) == (0, "", "")
    assert Path("run/config.yaml").read_text(encoding="utf-8").endswith("plugins: [my_rules]\n")
    assert mxtrain("resume", "run", "-q", "--plugin", "./my_rules.py", "--set", "fit.epochs=3") == (0, "", "")
    assert mxtrain("resume", "run", "--verify", *OPTION).out == "run replays to the byte\n"
    assert mxtrain("evaluate", "run", *OPTION).status == 0
    assert mxtrain("predict", "run", "digits", *OPTION).out.startswith("prediction,probability_0")
    sys.modules.pop("my_rules")
    for arguments in (("resume", "run"), ("evaluate", "run"), ("predict", "run", "digits"), ("fit", "run/config.yaml")):
        status, _, err = mxtrain(*arguments)
        assert status == 2
        assert "optimizer.kind: 'sign_momentum' is not built in, but defined in a plugin; add --plugin my_rules" in err
        assert len(err.splitlines()) == 3  # the line, the text of the file and the caret
    assert "my_rules" not in sys.modules


def test_every_command_knows_the_kinds(mxtrain):
    assert mxtrain("validate", "own.yaml", *OPTION) == (0, "own.yaml: ok\n", "")
    assert "t0 = s1 * m" in mxtrain("show", "sign_momentum", *OPTION).out
    assert "sign_momentum" in mxtrain("list", "sign_momentum", *OPTION).out
    listed = json.loads(mxtrain("list", "--json", *OPTION).out)
    assert listed["optimizers"][-1]["name"] == "sign_momentum"
    assert listed["learning_rate_schedules"][-1]["name"] == "halving"
    schema = json.loads(mxtrain("schema", *OPTION).out)
    assert schema["$defs"]["SignMomentum"]["properties"]["β1"]["description"].startswith("decay of the momentum")
    assert set(schema["$defs"]["Halving"]["properties"]["T"]) == {"type", "exclusiveMinimum", "default"}
    arguments = ("bench", "sign_momentum", "--size", "1000", "--backend", "numpy", "--json")
    assert json.loads(mxtrain(*arguments, *OPTION).out)["rules"][0]["name"] == "sign_momentum"
    for written, wanted in (("sign_momentum", "sign_momentun"), ("halving", "halvin")):
        text = Path("own.yaml").read_text(encoding="utf-8").replace(written, wanted)
        Path("typo.yaml").write_text(text, encoding="utf-8")
        assert f"did you mean {written}?" in mxtrain("validate", "typo.yaml", *OPTION).err
    sys.modules.pop("my_rules")
    assert "sign_momentum" not in mxtrain("list").out
    assert (
        "soap, formula, lbfgs, cg, got 'sign_momentum'; for a rule of your own, add --plugin MODULE\n"
        in mxtrain("validate", "own.yaml").err
    )


def test_a_sweep_with_two_workers_gives_the_table_of_one(mxtrain):
    sweep = (
        "extends: own.yaml\nsweep:\n  search:\n    optimizer.β1: {uniform: [0, 0.9]}\n"
        "    optimizer.η_sched.T: {choice: [1.0, 4.0]}\n  objective: {minimize: val_loss}\n  trials: 3\n"
    )
    Path("sweep.yaml").write_text(sweep, encoding="utf-8")
    for workers in ("1", "2"):
        arguments = ("sweep", "sweep.yaml", "-q", "--workers", workers, "--run-dir", f"sweep-{workers}")
        assert mxtrain(*arguments, *OPTION).status == 0
    tables = [json.loads(Path(f"sweep-{workers}/results.json").read_text(encoding="utf-8")) for workers in "12"]
    values = [[trial["value"] for trial in table["trials"]] for table in tables]
    assert values[0] == values[1]
    assert "plugins: [my_rules]" in Path("sweep-1/sweep.yaml").read_text(encoding="utf-8")
    sys.modules.pop("my_rules")
    status, _, err = mxtrain("resume", "sweep-1")
    assert status == 2
    assert "is not built in, but defined in a plugin; add --plugin my_rules" in err


def test_two_plugins_and_rules_in_groups(mxtrain):
    Path("more.py").write_text(
        PLUGIN.replace("sign_momentum", "other_momentum").replace('"halving"', '"thirds"'), encoding="utf-8"
    )
    text = Path("own.yaml").read_text(encoding="utf-8")
    groups = "{kind: adam, groups: {'W*': {kind: sign_momentum}, 'ndim < 2': {kind: other_momentum}}}"
    Path("groups.yaml").write_text(text.replace(OPTIMIZER, groups), encoding="utf-8")
    options = (*OPTION, "--plugin", "more.py")
    assert mxtrain("fit", "groups.yaml", "-q", "--run-dir", "run", *options) == (0, "", "")
    assert "plugins: [my_rules, more.py]" in Path("run/config.yaml").read_text(encoding="utf-8")
    sys.modules.pop("more")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            PLUGIN.replace("sign_momentum", "adam"),
            "my_rules.SignMomentum has the kind adam, which is built in; give it",
        ),
        (PLUGIN.replace('"halving"', '"cosine"'), "my_rules.Halving has the kind cosine, which is built in; give it"),
        (
            PLUGIN
            + "\n\nclass Second(SignMomentum):\n    kind: Literal['sign_momentum'] = 'sign_momentum'\n    x = 1\n",
            "PydanticUserError",
        ),
        (
            PLUGIN + PLUGIN.replace("SignMomentum", "Second").replace("Halving", "H2").replace('"halving"', '"h2"'),
            "sign_momentum is the kind of my_rules.SignMomentum and my_rules.Second; give one of them another kind",
        ),
        (PLUGIN.replace("sign(m)", "np.sign(m)"), "my_rules.py:28: the update of sign_momentum raised NameError: name"),
        (
            PLUGIN.replace('{"step": ', '{"stop": '),
            "lack step, which update takes and which is not a field; rename stop",
        ),
        (PLUGIN.replace("return W +", "W +"), "must return a tuple of W and the slots m; got None; add a return"),
    ],
)
def test_a_mistake_in_a_plugin_is_one_line_with_status_2(content, message, mxtrain):
    Path("my_rules.py").write_text(content, encoding="utf-8")
    for arguments in (("fit", "own.yaml", "-q", "--run-dir", "run"), ("show", "own.yaml", "--backend", "numpy")):
        status, _, err = mxtrain(*arguments, *OPTION)
        assert status == 2
        assert message in " ".join(err.split())
        assert "Traceback" not in err
        assert not Path("run").exists()
        sys.modules.pop("my_rules", None)


def test_a_file_with_the_name_of_a_module_is_refused(mxtrain):
    Path("json.py").write_text(PLUGIN, encoding="utf-8")
    status, _, err = mxtrain("validate", "own.yaml", "--plugin", "json.py")
    assert status == 2
    assert "a module named json exists already; rename the file" in " ".join(err.split())
    status, _, err = mxtrain("validate", "own.yaml", "--plugin", "none.py")
    assert status == 2
    assert "no such file" in " ".join(err.split())
