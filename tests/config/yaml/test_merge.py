"""`extends`: merging of files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mxtrain.config import read_optimizer, read_run
from mxtrain.optim.rules import SGD, Adam
from mxtrain.optim.schedules.learning_rate import Exp, Inv
from mxtrain.optim.schedules.momentum import Fixed, Null
from tests.tables import OPTIMIZERS

ErrorLines = Callable[..., list[str]]
Write = Callable[..., str]


@pytest.fixture
def over(write: Write) -> Callable[[str, str], str]:
    """Return a function that writes a file and the base that it extends, and returns the path of the file."""

    def make(own: str, base: str) -> str:
        write(base, "base.yaml")
        return write(f"extends: base.yaml\n{own}", complete=False)

    return make


Over = Callable[[str, str], str]


def test_mappings_are_merged_and_own_values_win(over: Over, yaml_loader: str) -> None:
    base = "seed: 1\nfit: {epochs: 5, metrics: [accuracy]}\noptimizer: {kind: adam, η: 0.5, β1: 0.8}"
    run = read_run(over("seed: 2\nfit: {epochs: 7}\noptimizer: {β1: 0.7}", base))

    assert run.seed == 2
    assert (run.fit.epochs, run.fit.metrics) == (7, ("accuracy",))
    assert run.optimizer == Adam(η=0.5, β1=0.7)


def test_lists_are_replaced(over: Over) -> None:
    run = read_run(over("model: {hidden: [8]}", "model: {kind: mlp, hidden: [64, 32]}"))
    assert run.model.to_dict()["hidden"] == [8]


def test_one_value_under_two_names_is_still_one_value(over: Over) -> None:
    run = read_run(over("optimizer: {η: 0.5, ε: 1}", "optimizer: {kind: adam, lr: 0.1, eps: 2}"))
    assert run.optimizer == Adam(η=0.5, ϵ=1)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_a_different_kind_replaces_the_mapping(kind: str, over: Over) -> None:
    run = read_run(over(f"optimizer: {{kind: {kind}}}", "optimizer: {kind: adam, η: 0.5, β1: 0.8}"))
    assert run.optimizer == (SGD() if kind == "sgd" else Adam(η=0.5, β1=0.8))


def test_a_different_kind_of_schedule_or_model_replaces_the_mapping(over: Over) -> None:
    base = "optimizer: {kind: sgd, η_sched: {kind: exp, η: 0.5, γ: 0.1}, μ_sched: {kind: fixed, μ: 0.5}}"
    own = "optimizer: {η_sched: {kind: inv}, μ_sched: {kind: null}}\nmodel: {kind: linear}"
    run = read_run(over(own, f"{base}\nmodel: {{kind: mlp, hidden: [3]}}"))
    assert run.optimizer == SGD(η_sched=Inv(), μ_sched=Null())
    assert run.model.kind == "linear"


def test_null_removes_a_schedule(over: Over) -> None:
    base = "optimizer: {kind: sgd, η_sched: {kind: exp}, momentum_sched: {kind: fixed}}"
    assert read_run(over("optimizer: {lr_sched: null}", base)).optimizer == SGD(μ_sched=Fixed())
    assert read_run(over("optimizer: {μ_sched: ~}", base)).optimizer == SGD(η_sched=Exp())


def test_paths_are_relative_to_the_file_that_sets_them(here: Path, write: Write) -> None:
    Path("shared").mkdir()
    Path("shared/table.csv").write_text("x,y\n1,2\n")
    write("data: {source: table.csv, target: y}", "shared/data.yaml")
    write("extends: ../shared/data.yaml\nseed: 2", "configs/base.yaml", complete=False)
    run = read_run(write("extends: configs/base.yaml", complete=False))

    assert Path(run.data.source).samefile("shared/table.csv")
    assert (run.seed, run.data.target) == (2, "y")


def test_a_name_is_inherited_or_taken_from_the_extending_file(over: Over) -> None:
    assert read_run(over("seed: 1", "name: base")).name == "base"
    assert read_run(over("seed: 1", "seed: 2")).name == "run"


def test_problems_are_reported_in_the_file_that_has_them(over: Over, yaml_loader: str, error_lines: ErrorLines) -> None:
    base = "seed: -1\noptimizer:\n  kind: adam\n  β2: 1.2\n  η: -1"
    assert error_lines(read_run, over("optimizer:\n  lr: -2\n  foo: 1\nfit: {epochs: 0}", base)) == [
        "run.yaml:3:7: optimizer.lr: must be above 0, got -2",
        "run.yaml:4:3: optimizer.foo: unknown field; the fields here are kind, η, λ, clip, scale, η_sched, groups, β1, β2, ϵ, amsgrad, and wrappers such as bounds; see mxtrain list adam",
        "run.yaml:5:15: fit.epochs: must be a whole number at least 1, got 0",
        "base.yaml:1:7: seed: must be a whole number at least 0 and below 18446744073709551616, got -1",
        "base.yaml:4:7: optimizer.β2: must be at least 0 and below 1, got 1.2",
    ]


def test_a_missing_field_is_reported_at_the_mapping_that_lacks_it(write: Write, error_lines: ErrorLines) -> None:
    write("seed: 1\noptimizer: {η: 1}\ndata: {source: digits}\nmodel: {kind: linear}", "base.yaml", complete=False)
    assert error_lines(read_run, write("extends: base.yaml\noptimizer: {η: 2}", complete=False)) == [
        "run.yaml:1:1: loss: required; one of softmax_cross_entropy, focal, logistic, squared_error, absolute, huber, quantile, poisson, gamma, tweedie, custom",
        f"run.yaml:2:1: optimizer.kind: required; one of {OPTIMIZERS}",
    ]


def test_problems_of_the_base_are_reported_in_the_base(over: Over, yaml_loader: str, error_lines: ErrorLines) -> None:
    assert error_lines(read_run, over("seed: 1\nseed: 2", "fit: [")) == [
        "run.yaml:3:1: seed: given twice, first at line 2; keep one",
        "base.yaml:3:1: expected a comma or ]; the [ on line 1 is still open",
    ]


def test_a_cycle_of_files_is_rejected(write: Write, error_lines: ErrorLines) -> None:
    write("extends: b.yaml", "a.yaml", complete=False)
    write("extends: ./c.yaml", "b.yaml", complete=False)
    write("extends: a.yaml", "c.yaml", complete=False)
    write("extends: own.yaml", "own.yaml", complete=False)
    circle = "a.yaml → b.yaml → c.yaml → a.yaml"
    assert error_lines(read_run, "a.yaml") == [f"c.yaml:1:10: extends: files extend each other in a circle: {circle}"]
    assert error_lines(read_run, "own.yaml") == [
        "own.yaml:1:10: extends: files extend each other in a circle: own.yaml → own.yaml"
    ]


def test_the_limit_for_a_chain_of_files(write: Write, error_lines: ErrorLines) -> None:
    write("seed: 7", "f0.yaml")
    for i in range(1, 11):
        write(f"extends: f{i - 1}.yaml\n", f"f{i}.yaml", complete=False)
    assert read_run("f9.yaml").seed == 7
    chain = " → ".join(f"f{i}.yaml" for i in range(10, -1, -1))
    assert error_lines(read_run, "f10.yaml") == [
        f"f1.yaml:1:10: extends: more than 10 files extend each other: {chain}"
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("absent.yaml", "absent.yaml: no such file"),
        ("folder", "folder: is a directory, must be a file"),
        ('"a\\0b"', "a\\x00b: is not a valid file name"),
        ("", "must be the path of one file, got null"),
        ("''", "must be the path of one file, got ''"),
        ("3", "must be the path of one file, got 3"),
        ("[base.yaml]", "must be the path of one file, got a list"),
        ("{a: b}", "must be the path of one file, got a mapping"),
    ],
)
def test_extends_must_name_one_existing_file(
    value: str, message: str, here: Path, write: Write, error_lines: ErrorLines
) -> None:
    Path("folder").mkdir()
    place = "1:10" if value else "1:1"
    assert error_lines(read_run, write(f"extends: {value}")) == [f"run.yaml:{place}: extends: {message}"]


def test_an_optimizer_may_extend_an_optimizer(write: Write) -> None:
    write("kind: sgd\nlr: 0.5\nμ: 0.9", "base.yaml", complete=False)
    assert read_optimizer(write("extends: base.yaml\nη: 0.1", complete=False)) == SGD(η=0.1, μ=0.9)
    assert read_optimizer(write("extends: base.yaml\nkind: adam", complete=False)) == Adam()
