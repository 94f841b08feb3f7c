"""`mxtrain show`: a file's resolved config, and a rule's program in the language of each backend."""

from pathlib import Path

import pytest

from mxtrain.config import read_run
from mxtrain.optimizers import RULES, Adam


def test_a_run_file_becomes_yaml_that_means_the_same(mxtrain):
    status, out, err = mxtrain("show", "run.yaml", "--set", "optimizer.η=0.5")
    Path("resolved.yaml").write_text(out, encoding="utf-8")
    assert (status, err) == (0, "")
    assert read_run("resolved.yaml") == read_run("run.yaml", ["optimizer.η=0.5"]).resolve()
    assert mxtrain("show", "resolved.yaml").out == out
    assert "scale: 0.03125" in out


def test_an_optimizer_alone_becomes_yaml_too(mxtrain, folder):
    (folder / "optimizer.yaml").write_text("kind: sgd\n", encoding="utf-8")
    assert "μ: 0.0\n" in mxtrain("show", "optimizer.yaml").out


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("backend", ["numpy", "compiled", "cupy"])
def test_every_rule_is_shown_for_every_backend(mxtrain, rule, backend):
    kind = rule.model_fields["kind"].default
    status, out, err = mxtrain("show", kind, "--backend", backend)
    assert (status, err) == (0, "")
    assert len(out.splitlines()) > 5


def test_a_rule_becomes_its_program(mxtrain):
    assert mxtrain("show", "adam").out == f"{Adam().program()}\n"


def test_the_compiled_loop_is_python(mxtrain):
    compile(mxtrain("show", "adam", "--backend", "compiled").out, "loop", "exec")


def test_fields_of_a_rule_choose_its_variant(mxtrain):
    assert mxtrain("show", "sgd").out.startswith("sgd(W, g)\n")
    assert mxtrain("show", "sgd", "--set", "μ=0.9").out.startswith("sgd(W, g, v)\n")


def test_a_file_with_a_backend_becomes_its_optimizers_program(mxtrain):
    assert mxtrain("show", "run.yaml", "--backend", "numpy").out.startswith("adam(W, g, m, v)\n")


def test_an_unknown_rule_is_told_with_the_nearest(mxtrain):
    status, out, err = mxtrain("show", "adma")
    assert (status, out) == (2, "")
    assert "did you mean adam?" in err


def test_a_wrong_field_of_a_rule_is_told_where_it_was_set(mxtrain):
    status, out, err = mxtrain("show", "adam", "--set", "β2=1.2")
    assert (status, out) == (2, "")
    assert err == "--set β2=1.2: optimizer.β2: must be at least 0 and below 1, got 1.2\n"
