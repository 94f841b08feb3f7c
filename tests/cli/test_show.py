"""`mxtrain show`: a file's resolved config, and a rule's program in the language of each backend."""

import re
from pathlib import Path

import pytest

from mxtrain.cli.show_command import Language
from mxtrain.config import read_run
from mxtrain.names import spelling
from mxtrain.optimizers import RULES


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


ALL = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)


@ALL
def test_a_rule_becomes_its_formula_its_coefficients_and_its_program(mxtrain, rule):
    program = rule().program()
    status, out, err = mxtrain("show", program.name)
    assert (status, err) == (0, "")
    assert out.endswith(f"\n\n{program}\n")
    formula, _, coefficients = out.removesuffix(f"\n\n{program}\n").partition("\n\nCoefficients: ")
    assert "W ← W + " in formula
    told = {"step", *(label for scalar in program.scalars for label in labels(scalar))} - {
        *map(spelling, rule.model_fields)
    }
    assert all(f"{name} = " in coefficients for name in told)


def labels(scalar):
    """The names that a scalar is computed from."""
    if scalar.operands:
        return set().union(*map(labels, scalar.operands))
    return {spelling(scalar.label)} if isinstance(scalar.label, str) else set()


@ALL
def test_every_rule_is_shown_as_every_backend_runs_it(mxtrain, rule):
    program = rule().program()
    operations = len(program.instructions)
    shown = {backend: mxtrain("show", program.name, "--backend", backend).out for backend in Language}
    assert shown["numpy"] == f"{program}\n"
    assert len(re.findall(r"^            t\d+ = ", shown["compiled"], re.MULTILINE)) == operations
    assert re.findall(r"^            a(\d+)\[i\] = ", shown["compiled"], re.MULTILINE) == [*map(str, program.written)]
    assert len(re.findall(r"^const (?:T|bool) t\d+ = mx_", shown["cupy"], re.MULTILINE)) == operations
    assert re.findall(r"^a(\d+) = ", shown["cupy"], re.MULTILINE) == [*map(str, program.written)]
    names = {"__name__": "shown"}
    exec(compile(shown["compiled"], "loop", "exec"), names)
    assert names["loop"].__code__.co_argcount == 6


def test_the_letters_are_those_of_the_documentation(mxtrain):
    for backend in ((), *(("--backend", language) for language in Language)):
        out = mxtrain("show", "adam", *backend).out
        assert "ε" not in out, "Python's letter; the documentation has ϵ"


def test_what_is_computed_on_the_host_is_marked_in_one_column(mxtrain):
    lines = [line for line in mxtrain("show", "nadam").out.splitlines() if line.endswith("(host, float64)")]
    assert len(lines) > 5
    assert len({line.rindex("(host") for line in lines}) == 1


def test_fields_of_a_rule_choose_its_variant(mxtrain):
    assert "\n\nsgd(W, g)\n" in mxtrain("show", "sgd").out
    assert "\n\nsgd(W, g, v)\n" in mxtrain("show", "sgd", "--set", "μ=0.9").out


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
