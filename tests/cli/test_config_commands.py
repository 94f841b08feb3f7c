"""`mxtrain show` and `mxtrain validate`: resolved configs, programs of rules for each backend, and error messages."""

import re
from pathlib import Path

import pytest

from mxtrain.cli.config_commands import Language
from mxtrain.config import read_run, read_sweep
from mxtrain.names import display_name
from mxtrain.optim.ir import MatrixProgram, MultiPassProgram, Program, describe_traffic
from mxtrain.optim.rules import RULES
from tests.cli.conftest import CONFIGS


def test_show_prints_a_run_as_equivalent_yaml(mxtrain):
    status, out, err = mxtrain("show", "run.yaml", "--set", "optimizer.η=0.5")
    Path("resolved.yaml").write_text(out, encoding="utf-8")
    assert (status, err) == (0, "")
    assert read_run("resolved.yaml") == read_run("run.yaml", ["optimizer.η=0.5"]).resolve()
    assert mxtrain("show", "resolved.yaml").out == out
    assert "scale: 0.03125" in out


def test_show_prints_an_optimizer_file_as_yaml(mxtrain, folder):
    (folder / "optimizer.yaml").write_text("kind: sgd\n", encoding="utf-8")
    assert "μ: 0.0\n" in mxtrain("show", "optimizer.yaml").out


REPLACING = {"ftrl", "schedule_free_sgd", "schedule_free_adamw"}
"""Rules that compute a weight anew from their slots."""
ALL = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)


@ALL
def test_show_prints_the_formula_coefficients_and_program_of_a_rule(mxtrain, rule):
    program = rule().program()
    status, out, err = mxtrain("show", program.name)
    assert (status, err) == (0, "")
    assert out.endswith(f"\n\n{program}\n")
    if isinstance(program, Program):
        assert f"\n\nOne pass: {describe_traffic(program)}\n\n" in out
    elif isinstance(program, MultiPassProgram):
        assert out.count("bytes per element in float32") == len(program.passes)
    formula, _, coefficients = out.removesuffix(f"\n\n{program}\n").partition("\n\nCoefficients: ")
    assert ("W ← W + " in formula) != (program.name in REPLACING)
    assert "W ← " in formula
    if isinstance(program, MatrixProgram):
        used = {*map(display_name, program.coefficients)}
    else:
        used = {label for scalar in program.scalars for label in labels(scalar)}
    names = used - {*map(display_name, rule.model_fields)}
    names -= {*map(display_name, rule.computed_scalars)}
    assert all(f"{name} = " in coefficients for name in names)


def labels(scalar):
    """Return the names that a scalar is computed from."""
    if scalar.operation == "reduction":
        return set()
    if scalar.operands:
        return set().union(*map(labels, scalar.operands))
    return {display_name(scalar.label)} if isinstance(scalar.label, str) else set()


@ALL
def test_every_rule_is_shown_as_code_of_every_backend(mxtrain, rule):
    program = rule().program()
    if isinstance(program, MatrixProgram):
        shown = {backend: mxtrain("show", program.name, "--backend", backend).out for backend in Language}
        assert shown["numpy"] == f"{program}\n"
        assert shown["compiled"] == shown["cupy"] == f"{program.source()}\n"
        assert "def update_matrix(" in program.source()
        return
    parts = [program] if isinstance(program, Program) else [each.program for each in program.passes]
    operations = sum(len(part.instructions) for part in parts)
    written = [str(number) for part in parts for number in part.written]
    # Compiled code has a second loop for the last block of a sum, which may be shorter.
    loops = [part for part in parts for _ in range(2 if part.reductions else 1)]
    shown = {backend: mxtrain("show", program.name, "--backend", backend).out for backend in Language}
    assert shown["numpy"] == f"{program}\n"
    assert len(re.findall(r"^ {12,}t\d+ = ", shown["compiled"], re.MULTILINE)) == sum(
        len(part.instructions) for part in loops
    )
    assert re.findall(r"^ {12,}a(\d+)\[i\] = ", shown["compiled"], re.MULTILINE) == [
        str(number) for part in loops for number in part.written
    ]
    assert len(re.findall(r"^ *const (?:T|bool) t\d+ = mx_", shown["cupy"], re.MULTILINE)) == operations
    assert re.findall(r"^ *a(\d+)(?:\[i\])? = ", shown["cupy"], re.MULTILINE) == written
    names = {"__name__": "shown"}
    exec(compile(shown["compiled"], "loop", "exec"), names)
    assert names["loop"].__code__.co_argcount == 6


def test_show_uses_the_letters_of_the_documentation(mxtrain):
    for backend in ((), *(("--backend", language) for language in Language)):
        out = mxtrain("show", "adam", *backend).out
        assert "ε" not in out, "the documentation writes ϵ, not ε"


def test_host_scalars_are_marked_in_one_column(mxtrain):
    lines = [line for line in mxtrain("show", "nadam").out.splitlines() if line.endswith("(host, float64)")]
    assert len(lines) > 5
    assert len({line.rindex("(host") for line in lines}) == 1


def test_fields_of_a_rule_select_its_program(mxtrain):
    assert "\n\nsgd(W, g)\n" in mxtrain("show", "sgd").out
    assert "\n\nsgd(W, g, v)\n" in mxtrain("show", "sgd", "--set", "μ=0.9").out


def test_a_run_file_with_a_backend_shows_the_program_of_its_optimizer(mxtrain):
    assert mxtrain("show", "run.yaml", "--backend", "numpy").out.startswith("adam(W, g, m, v)\n")


def test_an_unknown_rule_gets_a_suggestion(mxtrain):
    status, out, err = mxtrain("show", "adma")
    assert (status, out) == (2, "")
    assert "did you mean adam?" in err


def test_an_invalid_field_of_a_rule_is_reported_at_its_override(mxtrain):
    status, out, err = mxtrain("show", "adam", "--set", "β2=1.2")
    assert (status, out) == (2, "")
    assert err == "--set β2=1.2: optimizer.β2: must be at least 0 and below 1, got 1.2\n"


SWEEP = str(CONFIGS / "sweep.yaml")


def test_validate_accepts_and_rejects_sweeps(mxtrain):
    assert mxtrain("validate", SWEEP) == (0, f"{SWEEP}: ok\n", "")
    status, out, err = mxtrain(
        "validate", SWEEP, "--set", "sweep.search.optimizer.η={log: [0, 1]}", "--set", "sweep.trials=0"
    )
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 2


def test_show_prints_a_sweep_with_every_setting(mxtrain, folder):
    status, out, err = mxtrain("show", SWEEP, "--set", "sweep.trials=7")
    assert (status, err) == (0, "")
    assert "  trials: 7\n  workers: auto\n  seeds: 1\n" in out
    Path("shown.yaml").write_text(out, encoding="utf-8")
    assert read_sweep("shown.yaml") == read_sweep(SWEEP, ["sweep.trials=7"])
    assert mxtrain("show", "shown.yaml").out == out


def test_show_with_a_backend_refuses_a_sweep(mxtrain):
    status, out, err = mxtrain("show", SWEEP, "--backend", "numpy")
    assert (status, out) == (2, "")
    assert "many optimizers" in err


def test_show_prints_the_fields_of_a_method(mxtrain):
    status, out, err = mxtrain("show", "lbfgs", "--set", "memory=20")
    assert (status, err) == (0, "")
    assert out.startswith("Limited-memory BFGS method; with bounds, L-BFGS-B.\n\nFields:\n    memory: number of steps ")
    assert "\n\nConfig:\n    kind: lbfgs\n    memory: 20\n    max_line_search: 20\n\nSource: Liu and Nocedal" in out


@pytest.mark.parametrize("target", [("cg",), ("run.yaml", "--set", "optimizer={kind: cg}")])
@pytest.mark.parametrize("option", ["--backend=numpy", "--as=formula"])
def test_a_method_has_no_program_to_show(target, option, mxtrain):
    status, out, err = mxtrain("show", *target, option)
    assert (status, out) == (2, "")
    assert "cg is no rule, and has no program; leave it out" in " ".join(err.split())


@pytest.mark.parametrize("command", ["fit", "schedule"])
def test_commands_for_one_run_refuse_a_sweep_with_a_remedy(mxtrain, command):
    status, out, err = mxtrain(command, SWEEP)
    assert (status, out) == (2, "")
    assert err.splitlines()[0] == (
        f"{SWEEP}:5:1: sweep: this is a sweep: start it with `mxtrain sweep {SWEEP}`, or its run alone with --set sweep=null"
    )


def test_the_run_of_a_sweep_can_be_trained_alone(mxtrain, folder):
    assert mxtrain("fit", SWEEP, "--set", "sweep=null", "--set", "fit.epochs=1", "--quiet").status == 0


BAD = "kind: adam\nβ2: 1.2\nlearning_rat: [bold]\n"


@pytest.fixture
def bad(folder: Path) -> Path:
    (folder / "bad.yaml").write_text(BAD, encoding="utf-8")
    return folder


def test_good_files_are_ok_on_stdout(mxtrain):
    files = [str(CONFIGS / f"{name}.yaml") for name in ("adam", "adam-wide", "regression")]
    assert mxtrain("validate", *files) == (0, "".join(f"{file}: ok\n" for file in files), "")


def test_validate_accepts_an_optimizer_file(mxtrain, folder):
    (folder / "optimizer.yaml").write_text("kind: sgd\nμ: 0.9\n", encoding="utf-8")
    assert mxtrain("validate", "optimizer.yaml") == (0, "optimizer.yaml: ok\n", "")
    assert mxtrain("validate", "optimizer.yaml", "--set", "μ=-1").status == 2


def test_validate_reports_every_file(mxtrain, bad):
    status, out, err = mxtrain("validate", "bad.yaml", "run.yaml", "missing.yaml")
    assert (status, out) == (2, "run.yaml: ok\n")
    assert "bad.yaml:2:" in err
    assert "bad.yaml:3:" in err
    assert "missing.yaml: no such file" in err


def test_a_problem_has_its_location_message_and_source_line_with_a_caret(mxtrain, folder):
    (folder / "bad.yaml").write_text("kind: adam\nβ2: 1.2\n", encoding="utf-8")
    _, _, err = mxtrain("validate", "bad.yaml")
    assert err.splitlines() == [
        "bad.yaml:2:5: optimizer.β2: must be at least 0 and below 1, got 1.2",
        "    β2: 1.2",
        "        ^^^",
    ]


def test_user_text_is_not_interpreted_as_markup(mxtrain, bad):
    assert "    learning_rat: [bold]\n" in mxtrain("validate", "bad.yaml").err


def test_long_lines_are_not_wrapped(mxtrain, folder):
    (folder / "bad.yaml").write_text(f"kind: adam\n{'x' * 300}: 1\n", encoding="utf-8")
    assert len(mxtrain("validate", "bad.yaml").err.splitlines()) == 3


def test_set_applies_to_every_file(mxtrain):
    status, out, err = mxtrain("validate", "run.yaml", "run.yaml", "--set", "fit.epochs=many")
    assert (status, out) == (2, "")
    assert err.count("--set fit.epochs=many: fit.epochs: ") == 2


def test_files_that_a_config_names_must_exist(mxtrain, folder):
    text = (folder / "run.yaml").read_text(encoding="utf-8")
    source = "data: {source: missing.csv, target: y}"
    (folder / "table.yaml").write_text(
        text.replace("data: {source: digits, validation: 0.2}", source), encoding="utf-8"
    )
    (folder / "child.yaml").write_text("extends: missing.yaml\n", encoding="utf-8")
    status, out, err = mxtrain("validate", "table.yaml", "child.yaml")
    assert (status, out) == (2, "")
    assert "table.yaml:1:16: data.source: no such file" in err
    assert "child.yaml:1:10: extends: missing.yaml: no such file" in err
