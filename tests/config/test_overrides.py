"""Overrides, `path=value`, of single values of a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mxtrain.config import FitConfig, read_run
from mxtrain.optim.rules import SGD, Adam
from mxtrain.optim.schedules.learning_rate import Exp
from mxtrain.optim.schedules.momentum import Nadam, Null
from tests.tables import OPTIMIZERS, SCHEDULES

ErrorLines = Callable[..., list[str]]
Write = Callable[..., str]

_RUN = """\
seed: 1
model: {kind: mlp, hidden: [32, 16]}
optimizer:
  kind: adam
  lr: 0.5
  β1: 0.8
"""


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("seed=2", 2),
        ("seed=0xFF", 255),
        ("name=other", "other"),
        ("name='1'", "1"),
        ("backend=numpy", "numpy"),
        ("fit.epochs=3", 3),
        ("data.shuffle=false", False),
        ("optimizer.η=1e-3", 0.001),
        ("optimizer.lr=1e-3", 0.001),
        ("optimizer.learning_rate=.25", 0.25),
        (" optimizer . η = 2 ", 2.0),
        ("optimizer.η_sched={kind: exp, γ: 0.5}", {"kind": "exp", "η": None, "γ": 0.5, "per": "epoch", "warmup": 0}),
        ("optimizer.lr_sched.kind=fixed", {"kind": "fixed", "η": None, "per": "epoch", "warmup": 0}),
        ("model.hidden=[1, 2, 3]", [1, 2, 3]),
        ("model.hidden=[]", []),
        ("model.hidden.1=7", [32, 7]),
        ("fit={epochs: 4}", FitConfig(epochs=4).to_dict()),
        ("fit.metrics=[accuracy]", ["accuracy"]),
    ],
)
def test_an_override_replaces_a_value_of_the_file(override: str, value: Any, yaml_loader: str, write: Write) -> None:
    names = {"lr": "η", "learning_rate": "η", "lr_sched": "η_sched"}
    got: Any = read_run(write(_RUN), [override]).to_dict()
    for part in override.partition("=")[0].split("."):
        if not part.strip().isdigit() and not (isinstance(value, dict) and part == "kind"):
            got = got[names.get(part.strip(), part.strip())]
    assert got == value


def test_later_overrides_win(write: Write) -> None:
    run = read_run(write(_RUN), ["optimizer.η=1", "optimizer.lr=2", "optimizer={β1: 0.1}", "seed=3", "seed=4"])
    assert run.optimizer == Adam(η=2, β1=0.1)
    assert run.seed == 4


def test_a_new_kind_replaces_the_mapping_and_later_overrides_apply_to_it(write: Write) -> None:
    run = read_run(write(_RUN), ["optimizer.kind=sgd"])
    assert run.optimizer == SGD()
    run = read_run(write(_RUN), ["optimizer.kind=sgd", "optimizer.μ_sched.kind=nadam", "optimizer.mu_sched.α=1"])
    assert run.optimizer == SGD(μ_sched=Nadam(α=1))
    run = read_run(write(_RUN), ["optimizer={kind: sgd, μ_sched: {kind: null}}"])
    assert run.optimizer == SGD(μ_sched=Null())
    assert read_run(write(_RUN), ["optimizer.kind=adam"]).optimizer == Adam(η=0.5, β1=0.8)


def test_null_or_an_empty_value_removes_a_schedule(write: Write) -> None:
    path = write("optimizer: {kind: adam, η_sched: {kind: exp}}")
    assert read_run(path).optimizer == Adam(η_sched=Exp())
    for value in ("null", "~", ""):
        assert read_run(path, [f"optimizer.η_sched={value}"]).optimizer == Adam()


def test_missing_mappings_are_created(write: Write) -> None:
    assert read_run(write("seed: 1"), ["fit.epochs=2", "fit.metrics=[accuracy]"]).fit.epochs == 2
    assert read_run(write("optimizer:"), ["optimizer.kind=sgd", "optimizer.lr=1"]).optimizer == SGD(η=1)


def test_overrides_apply_to_extended_files(write: Write) -> None:
    write(_RUN, "base.yaml")
    run = read_run(write("extends: base.yaml\nseed: 5", complete=False), ["optimizer.η=0.25"])
    assert run.optimizer == Adam(η=0.25, β1=0.8)


def test_a_data_file_is_relative_to_the_current_folder(here: Path, write: Write, error_lines: ErrorLines) -> None:
    Path("table.csv").write_text("x,y\n1,2\n")
    path = write("data: {source: other.csv, target: y}", "configs/run.yaml")
    assert read_run(path, ["data.source=table.csv"]).data.source == str(here / "table.csv")
    assert error_lines(read_run, path, ["data.source=absent.csv"]) == [
        f"overrides: data.source=absent.csv: data.source: no such file: {here / 'absent.csv'}"
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.η=abc", "optimizer.η: must be a number, got 'abc'"),
        ("optimizer.lr=-1", "optimizer.lr: must be above 0, got -1"),
        ("optimizer.η='1'", "optimizer.η: must be a number, got '1'; remove the quotes"),
        ("optimizer.η=.inf", "optimizer.η: must be a finite number, got .inf"),
        ("optimizer.η=", "optimizer.η: must be a number, got null"),
        ("optimizer.beta4=1", "optimizer.beta4: unknown field; did you mean beta1?"),
        ("optimiser.η=1", "optimiser: unknown field; did you mean optimizer?"),
        ("optimizer.kind=adm", f"optimizer.kind: must be one of {OPTIMIZERS}, got 'adm'; did you mean adam?"),
        ("optimizer.η_sched.γ=0.5", f"optimizer.η_sched.kind: required; one of {SCHEDULES}"),
        ("optimizer=sgd", "optimizer: must be a mapping such as {kind: sgd}, got 'sgd'"),
        ("model.hidden=32", "model.hidden: must be a list, as in [a, b], got 32"),
        ("model.hidden.1=0", "model.hidden.1: must be a whole number at least 1, got 0"),
        ("model.hidden.2=8", "model.hidden: has no item 2; its items are 0 to 1"),
        ("model.hidden.-1=8", "model.hidden: has no item -1; its items are 0 to 1"),
        ("model.hidden.first=8", "model.hidden: has no item first; its items are 0 to 1"),
        ("fit.epochs=ten", "fit.epochs: must be a whole number, got 'ten'"),
        ("name=@x", "a value cannot start with @; put it in quotes"),
        ("name=[a", "this [ is never closed"),
        ("name=!x y", "name: tags are not supported; remove !x"),
        ("name=a\0b", "the character U+0000 is not allowed here; remove it, or write an escape for it"),
        ("fit={epochs: 1, epochs: 2}", "fit.epochs: given twice; keep one"),
        ("optimizer.η.x=1", "optimizer.η: is 0.5, which has no fields to set"),
        ("seed.x.y=1", "seed: is 1, which has no fields to set"),
        ("seed", "must have the form path=value, as in optimizer.η=0.01"),
        ("", "must have the form path=value, as in optimizer.η=0.01"),
        ("=1", "must have the form path=value, as in optimizer.η=0.01"),
        ("a..b=1", "must have the form path=value, as in optimizer.η=0.01"),
        (".seed=1", "must have the form path=value, as in optimizer.η=0.01"),
        ("optimizer.=1", "must have the form path=value, as in optimizer.η=0.01"),
        ("extends=base.yaml", "extends works only in a file; name that file instead"),
    ],
)  # fmt: skip
def test_an_invalid_override_is_reported_as_typed(
    override: str, message: str, yaml_loader: str, write: Write, error_lines: ErrorLines
) -> None:
    shown = override.replace("\0", "\\x00")
    assert error_lines(read_run, write(_RUN), [override]) == [f"overrides: {shown}: {message}"]


def test_problems_of_files_and_overrides_are_reported_together_in_order(write: Write, error_lines: ErrorLines) -> None:
    path = write(_RUN.replace("0.8", "8"))
    assert error_lines(read_run, path, ["seed=-1", "nonsense", "fit.epochs=0", f"name={'x' * 200}"]) == [
        "run.yaml:6:7: optimizer.β1: must be at least 0 and below 1, got 8",
        "overrides: seed=-1: seed: must be a whole number at least 0 and below 18446744073709551616, got -1",
        "overrides: nonsense: must have the form path=value, as in optimizer.η=0.01",
        "overrides: fit.epochs=0: fit.epochs: must be a whole number at least 1, got 0",
        f"overrides: name={'x' * 92}...: name: must have at most 100 characters, got 200",
    ]


def test_an_override_can_replace_an_invalid_value(write: Write, error_lines: ErrorLines) -> None:
    path = write(_RUN.replace("0.8", "8"))
    assert error_lines(read_run, path, ["optimizer.beta1=0.8"]) == []
