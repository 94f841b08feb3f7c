"""Error messages use the names of fields as typed in a file, a dict, a keyword argument or an override."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mxtrain
from mxtrain.config import DataConfig, RunConfig, optimizer_from_dict, read_run, read_sweep, run_from_dict
from mxtrain.config.overrides import SetOption
from mxtrain.config.search import space, validation
from mxtrain.errors import ConfigError
from mxtrain.optim.rules import SGD, Adam
from mxtrain.optim.schedules.learning_rate import Exp

Write = Callable[..., str]
ErrorLines = Callable[..., list[str]]

RUN: dict[str, Any] = {
    "data": {"source": "digits"},
    "model": {"kind": "linear"},
    "loss": "softmax_cross_entropy",
    "optimizer": {"kind": "adam"},
}


def _paths(error_lines: ErrorLines, *call: Any) -> list[str]:
    """Return the paths of the problems that a call reports."""
    return [line.rpartition(": must")[0].rpartition(": ")[2] or line for line in error_lines(*call)]


@pytest.mark.parametrize(
    ("optimizer", "path"),
    [
        ("{kind: adam, lr: abc}", "optimizer.lr"),
        ("{kind: adam, learning_rate: -1}", "optimizer.learning_rate"),
        ("{kind: adam, η: -1}", "optimizer.η"),
        ("{kind: adam, beta1: 2}", "optimizer.beta1"),
        ("{kind: adam, eps: 0}", "optimizer.eps"),
        ("{kind: adam, ϵ: 0}", "optimizer.ϵ"),
        ("{kind: sgd, momentum: -1}", "optimizer.momentum"),
        ("{kind: adam, lr_schedule: {kind: exp, gamma: 7}}", "optimizer.lr_schedule.gamma"),
        ("{kind: adam, η_sched: {kind: exp, gamma: 7}}", "optimizer.η_sched.gamma"),
        ("{kind: adam, lr_sched: {kind: exp, γ: 7}}", "optimizer.lr_sched.γ"),
        ("{kind: adam, groups: {b*: {wd: -1}}}", "optimizer.groups.b*.wd"),
        ("{kind: adam, lr_sched: {kind: cosine}}", "optimizer.lr_sched.T"),
    ],
)
def test_errors_use_the_names_of_a_file_or_dict(
    optimizer: str, path: str, write: Write, error_lines: ErrorLines, yaml_loader: str
) -> None:
    import yaml

    file = write(f"optimizer: {optimizer}")
    assert _paths(error_lines, read_run, file) == [path] or error_lines(read_run, file)[0].endswith(
        f"{path}: required; a whole number at least 1, run or run/N"
    )
    values = yaml.safe_load(optimizer)
    assert [line.partition(": ")[0] for line in error_lines(run_from_dict, RUN | {"optimizer": values})] == [path]
    assert [line.partition(": ")[0] for line in error_lines(optimizer_from_dict, values)] == [path]


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("optimizer.lr=abc", "optimizer.lr"),
        ("optimizer.η=abc", "optimizer.η"),
        ("optimizer.beta2=2", "optimizer.beta2"),
        ("optimizer={lr: -1}", "optimizer.lr"),
        ("optimizer.lr_schedule={kind: exp, gamma: 7}", "optimizer.lr_schedule.gamma"),
        ("optimizer.learning_rate_schedule.gamma=7", "optimizer.learning_rate_schedule.gamma"),
        ("optimizer.groups.b*.wd=-1", "optimizer.groups.b*.wd"),
    ],
)
def test_errors_of_an_override_use_its_names_and_not_those_of_the_file(
    override: str, path: str, write: Write, error_lines: ErrorLines
) -> None:
    file = write("optimizer: {kind: adam, learning_rate: 1, β2: 0.9, η_sched: {kind: exp, γ: 0.5}}")
    (line,) = error_lines(read_run, file, [override])
    assert line.startswith(f"overrides: {override}: {path}: must be ")
    (line,) = error_lines(read_run, file, [SetOption(override)])
    assert line.startswith(f"--set {override}: {path}: must be ")


def test_errors_of_the_file_keep_its_names_beside_an_override(write: Write, error_lines: ErrorLines) -> None:
    file = write("optimizer: {kind: adam, lr: -1, beta1: 0.5}")
    assert _paths(error_lines, read_run, file, ["optimizer.β1=2"]) == ["optimizer.lr", "optimizer.β1"]


def test_errors_use_the_names_of_each_file_of_a_chain(write: Write, error_lines: ErrorLines) -> None:
    write("optimizer: {kind: adam, lr: -1, beta1: 2}", "base.yaml")
    file = write("extends: base.yaml\noptimizer: {η: -2}", complete=False)
    assert error_lines(read_run, file) == [
        "run.yaml:2:16: optimizer.η: must be above 0, got -2",
        "base.yaml:1:40: optimizer.beta1: must be at least 0 and below 1, got 2",
    ]


@pytest.mark.parametrize(
    ("search", "path"),
    [
        ("{optimizer.lr: {unifrom: [0, 1]}}", "sweep.search.optimizer.lr.unifrom"),
        ("{optimizer.lr: {uniform: [1, 0]}}", "sweep.search.optimizer.lr.uniform.1"),
        ("{optimizer: {lr: {uniform: [1, 0]}}}", "sweep.search.optimizer.lr.uniform.1"),
        ("{optimizer.η: {uniform: [1, 0]}}", "sweep.search.optimizer.η.uniform.1"),
        ("{optimizer.beta1: {uniform: [0.5, 3]}}", "sweep.search.optimizer.beta1.uniform.1"),
        ("{optimizer.lr_sched.gamma: {choice: [0.5, 3]}}", "sweep.search.optimizer.lr_sched.gamma.choice.1"),
        (
            "{optimizer: {choice: [{kind: sgd, momentum: {uniform: [1, 0]}}, {kind: adam}]}}",
            "sweep.search.optimizer.choice.0.momentum.uniform.1",
        ),
    ],
)
def test_errors_use_the_names_of_a_search(search: str, path: str, write: Write, error_lines: ErrorLines) -> None:
    sweep = f"sweep:\n  objective: {{minimize: val_loss}}\n  trials: 3\n  search: {search}\n"
    file = write(f"{sweep}optimizer: {{kind: adam, η_sched: {{kind: exp}}}}")
    lines = error_lines(read_sweep, file)
    assert lines
    assert all(f" {path}: " in line for line in lines), lines
    override = f"sweep.search={search}"
    alone = write(f"{sweep.replace(search, '{}')}optimizer: {{kind: adam, η_sched: {{kind: exp}}}}")
    lines = error_lines(read_sweep, alone, [override])
    assert lines
    assert all(f": {path}: " in line for line in lines), lines


def test_errors_use_the_names_of_an_override_of_a_search(write: Write, error_lines: ErrorLines) -> None:
    sweep = "sweep:\n  objective: {minimize: val_loss}\n  trials: 3\n  search: {optimizer.η: {uniform: [0.1, 1]}}\n"
    (line,) = error_lines(read_sweep, write(sweep), ["sweep.search.optimizer.lr.uniform=[2, 1]"])
    assert line.startswith(
        "overrides: sweep.search.optimizer.lr.uniform=[2, 1]: sweep.search.optimizer.lr.uniform.1: must "
    )


def test_errors_of_a_trial_use_the_names_of_the_search(
    write: Write, error_lines: ErrorLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "ALL_COMBINATIONS", 1)
    monkeypatch.setattr(space, "MAX_PAIRS", 0)
    search = "{fit.epochs: {choice: [9, 3]}, optimizer.lr_sched.warmup: {int: [0, 8]}}"
    file = write(
        f"sweep:\n  objective: {{minimize: val_loss}}\n  trials: 3\n  search: {search}\n"
        "optimizer: {kind: adam, η_sched: {kind: cosine, T: run, per: epoch}}"
    )
    sweep = read_sweep(file)
    point = sweep.space.point({"fit.epochs": 3, "optimizer.η_sched.warmup": 5})
    (line,) = error_lines(sweep.run_config, point)
    assert ": sweep.search.optimizer.lr_sched.warmup: must be below fit.epochs, 3" in line


@pytest.mark.parametrize(
    ("build", "path"),
    [
        (lambda: Adam(lr=-1), "lr"),
        (lambda: Adam(η=-1), "η"),
        (lambda: Adam(eps=-1), "eps"),
        (lambda: Adam(ϵ=-1), "ϵ"),
        (lambda: SGD(momentum=-1), "momentum"),
        (lambda: Exp(gamma=7), "gamma"),
        (lambda: Adam(lr_schedule={"kind": "exp", "gamma": 7}), "lr_schedule.gamma"),
        (lambda: mxtrain.build({"kind": "adam", "beta1": 2}), "optimizer.beta1"),
        (
            lambda: mxtrain.build({"kind": "adam", "lr_sched": {"kind": "cosine", "T": "run"}}),
            "optimizer.lr_sched.T",
        ),
        (lambda: Adam.model_validate({"kind": "adam", "beta1": 2}), "beta1"),
        (lambda: RunConfig.model_validate({**RUN, "optimizer": {"kind": "adam", "lr": "x"}}), "optimizer.lr"),
        (lambda: DataConfig.model_validate({"source": "digits", "batch_size": 0}), "batch_size"),
    ],
)
def test_keywords_and_model_validate_raise_config_errors_with_their_names(
    build: Callable[[], object], path: str
) -> None:
    with pytest.raises(ConfigError, match="must be") as caught:
        build()
    assert [problem.path for problem in caught.value.problems] == [path]


def test_model_validate_of_a_number_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="must be a mapping, got 3"):
        RunConfig.model_validate(3)


def test_suggestions_are_in_the_alphabet_of_the_typed_name(error_lines: ErrorLines) -> None:
    for key, guess in {"lrr": "lr", "weight_decy": "weight_decay", "beta4": "beta1", "η_shced": "η_sched"}.items():
        (line,) = error_lines(optimizer_from_dict, {"kind": "adam", key: 1})
        assert line == f"optimizer.{key}: unknown field; did you mean {guess}?"
    (line,) = error_lines(run_from_dict, RUN | {"lr": 1})
    assert line == "lr: unknown field; did you mean optimizer.lr?"


def test_missing_fields_have_their_documented_names(error_lines: ErrorLines) -> None:
    optimizer = {"kind": "nadam", "μ_sched": {"kind": "nadam"}, "beta1": 0.9, "lr_sched": {"kind": "cosine", "eta": 1}}
    assert error_lines(optimizer_from_dict, optimizer) == [
        "optimizer.lr_sched.T: required; a whole number at least 1, run or run/N"
    ]
    assert error_lines(run_from_dict, RUN | {"optimizer": {"lr": 1}})[0].startswith("optimizer.kind: required")


def test_errors_of_resume_use_the_names_of_the_override(tmp_path: Path) -> None:
    run_dir = mxtrain.fit(RUN | {"fit": {"epochs": 1}}, run_dir=tmp_path / "run").run_dir
    with pytest.raises(
        ConfigError, match=r"^overrides: optimizer\.lr=0\.1: optimizer\.lr: was 0\.001 when the run started"
    ):
        mxtrain.resume(run_dir, overrides=["optimizer.lr=0.1"])
    with pytest.raises(
        ConfigError, match=r"^overrides: optimizer\.η=0\.1: optimizer\.η: was 0\.001 when the run started"
    ):
        mxtrain.resume(run_dir, overrides=["optimizer.η=0.1"])


def test_build_names_the_length_of_a_schedule_as_a_file_spells_it(tmp_path):
    file = tmp_path / "optimizer.yaml"
    file.write_text("kind: adam\nlr_sched: {kind: cosine, T: run}\n")
    with pytest.raises(ConfigError, match=r"optimizer\.yaml:2:29: optimizer\.lr_sched\.T: must be a number, got run"):
        mxtrain.build(file)
