"""The `sweep` section: its search space, the values that samplers draw, and the run of each point."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mxtrain.config import (
    PRUNERS,
    SAMPLERS,
    Objective,
    Point,
    RunConfig,
    Sweep,
    read_config,
    read_run,
    read_sweep,
    run_from_dict,
    sweep_from_dict,
)
from mxtrain.config.search import space, validation
from mxtrain.config.search.parser import choice_labels
from mxtrain.config.yaml.nodes import ListNode, from_python
from mxtrain.config.yaml.source_text import ProblemReport
from mxtrain.optim.rules import SGD, Adam, AdamW, RMSProp
from mxtrain.optim.schedules.learning_rate import Cosine, Exp, MultiStep
from mxtrain.types import Config
from tests.config.test_fuzzing import FOREIGN, ODD

ErrorLines = Callable[..., list[str]]
Write = Callable[..., str]

CONFIGS = Path(__file__).parents[3] / "configs"
_RUN: dict[str, Any] = {
    "data": {"source": "digits"},
    "model": {"kind": "mlp", "hidden": [32, 16]},
    "loss": "softmax_cross_entropy",
    "optimizer": {"kind": "adam", "η": 0.5, "β1": 0.8},
}


def _sweep(search: Any, run: dict[str, Any] = _RUN, **changes: Any) -> Sweep:
    section = {"search": search, "objective": {"minimize": "val_loss"}, "trials": 3}
    return sweep_from_dict(run | {"sweep": section | changes})


class RandomSuggester:
    """Draws at random, and checks that each name always has the same distribution."""

    def __init__(self, seed: int = 0, seen: dict[str, Any] | None = None) -> None:
        self.random = random.Random(seed)
        self.seen = {} if seen is None else seen

    def _check(self, name: str, *distribution: Any) -> None:
        assert self.seen.setdefault(name, distribution) == distribution

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self._check(name, float, low, high, step, log)
        assert isinstance(low, float)
        assert isinstance(high, float)
        assert low < high
        assert not (log and (step or low <= 0))
        if step is not None:
            return low + step * self.random.randrange(round((high - low) / step) + 1)
        return self.random.choice([low, high, self.random.uniform(low, high)])

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self._check(name, int, low, high, step, log)
        assert (high - low) % step == 0
        assert not (log and (step != 1 or low < 1))
        return self.random.randrange(low, high + 1, step)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self._check(name, *((type(choice), choice) for choice in choices))
        assert all(choice is None or isinstance(choice, bool | int | float | str) for choice in choices)
        assert len(set(choices)) == len(choices), "a study cannot tell them apart"
        return self.random.choice(list(choices))


def _params(sweep: Sweep, **drawn: Any) -> dict[str, Any]:
    return sweep.space.point(drawn).params


def test_the_example_is_a_valid_sweep() -> None:
    sweep = read_sweep(CONFIGS / "sweep.yaml")
    assert (sweep.name, sweep.max_epochs, sweep.settings.trials) == ("sweep", 81, 60)
    assert sweep.settings.objectives == (Objective("val_accuracy", maximize=True),)
    assert sweep.space.names == ("optimizer.η", "optimizer.η_sched.γ", "data.batch_size", "model.hidden")
    assert read_config(CONFIGS / "sweep.yaml") == sweep


def test_the_tournament_gives_each_of_at_least_ten_rules_the_same_number_of_trials() -> None:
    sweep = read_sweep(CONFIGS / "tournament.yaml")
    assert sweep.settings.stratify == "optimizer"
    assert len(sweep.strata) >= 10
    assert sweep.total % len(sweep.strata) == 0
    assert sweep.settings.seeds == 3
    for kind in sweep.strata:
        nested = [name for name in sweep.space.names if name.startswith(f"optimizer[{kind}].")]
        assert nested[0] == f"optimizer[{kind}].η"
        assert len(nested) == 2


def test_a_point_holds_drawn_values_and_values_of_the_run() -> None:
    sweep = _sweep({"optimizer.lr": {"log": [0.001, 0.1]}, "model": {"hidden": {"choice": [[8], [8, 8]]}}})
    point = sweep.space.sample(RandomSuggester())
    assert list(point.drawn) == ["optimizer.η", "model.hidden"]
    assert point.drawn["model.hidden"] in ("[8]", "[8, 8]")
    assert point.params == {
        **point.drawn,
        "model.hidden": [int(n) for n in point.drawn["model.hidden"][1:-1].split(",")],
    }
    run = sweep.run_config(point)
    assert run.optimizer == Adam(η=point.params["optimizer.η"], β1=0.8)
    assert run.to_dict()["model"]["hidden"] == point.params["model.hidden"]
    assert sweep.space.point(point.drawn) == point


def test_paths_can_be_dotted_or_nested_under_any_name() -> None:
    distribution = {"uniform": [0.1, 0.9]}
    written: list[Any] = [
        {"optimizer.ϵ": distribution, "optimizer.η_sched.γ": distribution},
        {"optimizer": {"eps": distribution, "lr_sched": {"gamma": distribution}}},
        {"optimizer.epsilon": distribution, " optimizer . lr_sched": {"γ": distribution}},
    ]
    run = _RUN | {"optimizer": {"kind": "adam", "η_sched": {"kind": "exp"}}}
    one, *others = (_sweep(search, run) for search in written)
    assert one.space.names == ("optimizer.ϵ", "optimizer.η_sched.γ")
    assert all(other == one and other.to_yaml() == one.to_yaml() for other in others)


def test_all_fields_of_a_schedule_can_be_searched() -> None:
    run = _RUN | {"optimizer": {"kind": "adamw", "η_sched": {"kind": "cosine", "T": 20}}}
    sweep = _sweep(
        {"optimizer.η_sched": {"T": {"int": [10, 30]}, "warmup": {"int": [0, 5]}, "α": {"log": [1e-3, 1]}}}, run
    )
    drawn = {"optimizer.η_sched.T": 15, "optimizer.η_sched.warmup": 3, "optimizer.η_sched.α": 0.1}
    assert sweep.run_config(sweep.space.point(drawn)).optimizer == AdamW(η_sched=Cosine(T=15, warmup=3, α=0.1))

    kinds = [{"kind": "step", "T": {"int": [1, 9]}}, {"kind": "multistep", "milestones": {"choice": [[2], [2, 4]]}}]
    sweep = _sweep({"optimizer.η_sched": {"choice": kinds}}, run)
    drawn = {"optimizer.η_sched": "multistep", "optimizer.η_sched[multistep].milestones": "[2, 4]"}
    assert sweep.run_config(sweep.space.point(drawn)).optimizer == AdamW(η_sched=MultiStep(milestones=(2, 4)))


BRANCHES = {
    "optimizer": {
        "choice": [
            {"kind": "sgd", "μ": {"uniform": [0, 0.99]}},
            {"kind": "adam", "β1": {"uniform": [0.8, 0.99]}, "η_sched": {"choice": [None, {"kind": "exp", "γ": {"choice": [0.5, 0.9]}}]}},
            {"kind": "rmsprop", "η": {"choice": [0.1, {"log": [0.001, 0.01]}]}},
        ]
    }
}  # fmt: skip


def test_options_of_a_choice_can_contain_distributions() -> None:
    sweep = _sweep(BRANCHES)
    assert sweep.space.names == (
        "optimizer",
        "optimizer[sgd].μ",
        "optimizer[adam].β1",
        "optimizer[adam].η_sched",
        "optimizer[adam].η_sched[exp].γ",
        "optimizer[rmsprop].η",
        "optimizer[rmsprop].η[{log: [0.001, 0.01]}]",
    )
    point = sweep.space.point({"optimizer": "sgd", "optimizer[sgd].μ": 0.3})
    assert point.params == {"optimizer": {"kind": "sgd", "μ": 0.3}, "optimizer.μ": 0.3}
    assert sweep.run_config(point).optimizer == SGD(μ=0.3)

    drawn = {"optimizer": "adam", "optimizer[adam].β1": 0.9, "optimizer[adam].η_sched": "exp", "optimizer[adam].η_sched[exp].γ": 0.5}  # fmt: skip
    point = sweep.space.point(drawn)
    assert list(point.params) == ["optimizer", "optimizer.β1", "optimizer.η_sched", "optimizer.η_sched.γ"]
    assert point.params["optimizer"] == {"kind": "adam", "β1": 0.9, "η_sched": {"kind": "exp", "γ": 0.5}}
    assert sweep.run_config(point).optimizer == Adam(η=0.5, β1=0.9, η_sched=Exp(γ=0.5)), "merged with the file's adam"

    drawn = {"optimizer": "rmsprop", "optimizer[rmsprop].η": "{log: [0.001, 0.01]}", "optimizer[rmsprop].η[{log: [0.001, 0.01]}]": 0.005}  # fmt: skip
    assert sweep.run_config(sweep.space.point(drawn)).optimizer == RMSProp(η=0.005)


def test_optuna_draws_points_and_records_their_distributions() -> None:
    search = BRANCHES | {
        "data.batch_size": {"int": [8, 64], "log": True},
        "model.hidden": {"choice": [[8], [8, 8], []]},
        "dtype": {"choice": ["float32", "float64"]},
        "fit.early_stopping.min_delta": {"normal": [0.1, 0.05], "within": [0, 1]},
        "data.validation": {"uniform": [0.1, 0.4], "step": 0.1},
    }
    sweep = _sweep(search)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for sampler in (optuna.samplers.RandomSampler(1), optuna.samplers.TPESampler(seed=1, n_startup_trials=5)):
        study = optuna.create_study(sampler=sampler)
        for _ in range(15):
            trial = study.ask()
            point = sweep.space.sample(trial)
            assert sweep.space.point(trial.params) == point
            study.tell(trial, sweep.run_config(point).data.batch_size)


def test_a_point_outside_of_the_space_is_a_key_error() -> None:
    space = _sweep({"model.hidden": {"choice": [[8], [16]]}}).space
    for drawn in ({}, {"model.hidden": "[4]"}):
        with pytest.raises(KeyError):
            space.point(drawn)


def test_another_kind_is_merged_before_its_fields() -> None:
    sweep = _sweep({"optimizer.η": {"uniform": [0.1, 0.2]}, "optimizer.kind": {"choice": ["adam", "sgd"]}})
    assert sweep.space.names == ("optimizer.η", "optimizer.kind")
    point = sweep.space.point({"optimizer.η": 0.2, "optimizer.kind": "sgd"})
    assert sweep.run_config(point).optimizer == SGD(η=0.2)


@pytest.mark.parametrize(
    ("choice", "labels"),
    [
        ([16, 32.5, 8], (16, 32.5, 8)),
        ([True, False], (True, False)),
        ([None, {"kind": "exp"}, {"kind": "inv"}], (None, "exp", "inv")),
        ([{"kind": "exp", "γ": 0.5}, {"kind": "exp", "gamma": 0.25}], ("{kind: exp, γ: 0.5}", "{kind: exp, γ: 0.25}")),
        ([[64, 64], []], ("[64, 64]", "[]")),
        ([1, True, 1.0], ("1", "true", "1.0")),
        ([0, False, "x"], ("0", "false", "x")),
        ([[1] * 40, [1] * 41], ("[" + "1, " * 18 + "1,...", "[" + "1, " * 18 + "1,... #1")),
    ],
)
def test_samplers_draw_scalars_and_labels_of_other_values(choice: list[Any], labels: tuple[Any, ...]) -> None:
    node = from_python(choice, ProblemReport())
    assert isinstance(node, ListNode)
    assert [(type(label), label) for label in choice_labels(node.items)] == [(type(label), label) for label in labels]


def test_a_normal_value_is_drawn_as_a_quantile() -> None:
    sweep = _sweep(
        {"optimizer.scale": {"normal": [1, 0.5]}, "optimizer.η": {"normal": [0.1, 0.1], "within": [0.05, 9]}}
    )
    params = _params(sweep, **{"optimizer.scale": 0.5, "optimizer.η": 0.5})
    assert params == {"optimizer.scale": 1.0, "optimizer.η": 0.1}
    seen: dict[str, Any] = {}
    sweep.space.sample(RandomSuggester(seen=seen))
    assert seen["optimizer.scale"][1:3] == (0.0001, 0.9999)
    low, high = seen["optimizer.η"][1:3]
    ends = [_params(sweep, **{"optimizer.scale": 0.0001, "optimizer.η": u})["optimizer.η"] for u in (low, high)]
    assert ends == [0.05, pytest.approx(0.1 + 3.719 * 0.1, abs=1e-4)]


def test_steps_are_exact() -> None:
    sweep = _sweep({"optimizer.η": {"uniform": [0.1, 0.7], "step": 0.2}, "fit.epochs": {"int": [1, 9], "step": 4}})
    assert 0.1 + 0.2 != 0.3
    assert _params(sweep, **{"optimizer.η": 0.1 + 0.2, "fit.epochs": 5}) == {"optimizer.η": 0.3, "fit.epochs": 5}
    grid = list(_sweep({"optimizer.η": {"uniform": [0.1, 0.7], "step": 0.2}}, sampler={"kind": "grid"}).space.grid())
    assert grid == [{"optimizer.η": η} for η in (0.1, 0.3, 0.5, 0.7)]


def test_a_grid_has_every_point_in_order_and_the_last_value_changes_fastest() -> None:
    search = {"optimizer": {"choice": [{"kind": "sgd", "μ": {"choice": [0, 0.9]}}, {"kind": "adam"}]}, "fit.epochs": {"int": [1, 3], "step": 2}}  # fmt: skip
    sweep = _sweep(search, sampler={"kind": "grid"}, trials=None)
    sgd = {"optimizer": "sgd", "optimizer[sgd].μ": 0}
    assert list(sweep.space.grid()) == [
        sgd | {"fit.epochs": 1},
        sgd | {"fit.epochs": 3},
        sgd | {"optimizer[sgd].μ": 0.9, "fit.epochs": 1},
        sgd | {"optimizer[sgd].μ": 0.9, "fit.epochs": 3},
        {"optimizer": "adam", "fit.epochs": 1},
        {"optimizer": "adam", "fit.epochs": 3},
    ]
    assert sweep.space.size == 6


def test_the_size_of_a_grid_is_computed_without_its_points() -> None:
    million = {"uniform": [0, 1], "step": 1e-6}
    sweep = _sweep({"optimizer.λ": million, "optimizer.scale": million, "optimizer.clip": {"choice": [0, 1]}})
    assert sweep.space.size == 2 * 1_000_001**2
    assert _sweep(BRANCHES).space.size is None


def test_every_point_has_the_configured_number_of_seeds() -> None:
    sweep = _sweep({"fit.epochs": {"int": [1, 2]}}, _RUN | {"seed": 7}, seeds=3)
    point = sweep.space.sample(RandomSuggester())
    assert [sweep.run_config(point, i).seed for i in range(3)] == [7, 8, 9]
    assert sweep.run_config(point, 1) == sweep.run_config(point).model_copy(update={"seed": 8})


def test_a_run_is_not_resolved_so_its_scale_follows_its_batches() -> None:
    sweep = _sweep({"data.batch_size": {"choice": [16, 64]}})
    assert sweep.run_config(sweep.space.point({"data.batch_size": 16})).resolve().optimizer.scale == 1 / 16


def test_an_item_of_a_list_can_be_searched() -> None:
    sweep = _sweep({"model.hidden.1": {"int": [4, 8]}})
    assert sweep.run_config(sweep.space.point({"model.hidden.1": 5})).to_dict()["model"]["hidden"] == [32, 5]


def test_the_longest_trial_is_known() -> None:
    assert _sweep({"optimizer.η": {"log": [0.1, 1]}}).max_epochs == 10
    assert _sweep({"fit.epochs": {"int": [2, 30], "log": True}}).max_epochs == 30
    assert _sweep({"fit": {"choice": [{"epochs": 3}, {"epochs": {"choice": [50, 4]}}]}}).max_epochs == 50


def test_searched_values_can_be_missing_from_the_run() -> None:
    run = {name: part for name, part in _RUN.items() if name not in ("optimizer", "loss")}
    search = BRANCHES | {"loss": {"choice": ["softmax_cross_entropy"]}}
    sweep = _sweep(search, run)
    assert "optimizer" not in sweep.run
    assert sweep.run_config(sweep.space.sample(RandomSuggester())).loss == "softmax_cross_entropy"
    assert _read_back(sweep.to_yaml()) == sweep


def test_data_paths_are_relative_to_the_file(here: Path, write: Write) -> None:
    for name in ("a.csv", "b.csv"):
        Path("tables").mkdir(exist_ok=True)
        Path("tables", name).write_text("x,y\n1,2\n")
    text = (
        "data: {source: a.csv, target: y}\nsweep:\n  search: {data.source: {choice: [a.csv, b.csv]}}\n"
        "  objective: {minimize: val_loss}\n  trials: 3\n"
    )
    sweep = read_sweep(write(text, "tables/sweep.yaml"))
    files = [str(here / "tables" / name) for name in ("a.csv", "b.csv")]
    assert [level["data.source"] for level in sweep.space.grid()] == files
    assert sweep.run_config(sweep.space.point({"data.source": files[1]})).data.source == files[1]
    Path("elsewhere").mkdir()
    Path("elsewhere/sweep.yaml").write_text(sweep.to_yaml(), encoding="utf-8")
    assert read_sweep("elsewhere/sweep.yaml") == sweep


# Files that extend each other, and --set


def test_a_sweep_extends_a_sweep(write: Write) -> None:
    write("sweep:\n  search: {optimizer.lr: {log: [1e-3, 1]}, fit.epochs: {int: [1, 3]}}\n  objective: {minimize: val_loss}\n  trials: 3\n  sampler: {kind: tpe, startup: 4}", "base.yaml")  # fmt: skip
    text = (
        "extends: base.yaml\nsweep:\n  search: {optimizer: {η: {uniform: [0.1, 1]}}, data.batch_size: {choice: [8, 16]}}\n"
        "  objective: {maximize: loss}\n  sampler: {kind: random}\n"
    )
    sweep = read_sweep(write(text, "own.yaml", complete=False))
    assert sweep.space.names == ("optimizer.η", "fit.epochs", "data.batch_size")
    assert sweep.to_yaml().count("uniform: [0.1, 1]") == 1
    assert "log:" not in sweep.to_yaml()
    assert sweep.settings.objectives == (Objective("loss", maximize=True),)
    assert (sweep.settings.sampler.kind, sweep.settings.trials) == ("random", 3)
    alone = write(
        "extends: own.yaml\nsweep: {search: {optimizer.η: null, fit: {epochs: null}}}", "less.yaml", complete=False
    )
    assert read_sweep(alone).space.names == ("data.batch_size",)
    assert read_run(write("extends: own.yaml\nsweep: null", "run.yaml", complete=False)).optimizer == Adam()


@pytest.mark.parametrize(
    ("override", "names", "line"),
    [
        ("sweep.search.optimizer.η={uniform: [0.1, 1]}", 4, "uniform: [0.1, 1]"),
        ("sweep.search.optimizer.lr={uniform: [0.1, 1]}", 4, "uniform: [0.1, 1]"),
        ("sweep.search.optimizer.lr.uniform=[0.1, 1]", 4, "uniform: [0.1, 1]"),
        ("sweep.search={optimizer: {lr: {uniform: [0.1, 1]}}}", 4, "uniform: [0.1, 1]"),
        ("sweep={search: {optimizer.lr: {uniform: [0.1, 1]}}}", 4, "uniform: [0.1, 1]"),
        ("sweep.search.optimizer.η.log=[0.001, 0.01]", 4, "log: [0.001, 0.01]"),
        ("sweep.search.optimizer.η.log.0=0.01", 4, "log: [0.01, 0.1]"),
        ("sweep.search.optimizer.η=null", 3, "uniform: [0.8, 0.999]"),
        ("sweep.search.optimizer.beta1={choice: [0.8]}", 5, "choice: [0.8]"),
        ("sweep.search.data.batch_size.choice.2=128", 4, "choice: [16, 32, 128]"),
        ("sweep.trials=10", 4, "trials: 10"),
        ("sweep.sampler.startup=3", 4, "startup: 3"),
        ("sweep.pruner.kind=none", 4, "kind: none"),
        ("sweep.objective={minimize: val_loss}", 4, "minimize: val_loss"),
        ("fit.epochs=3", 4, "epochs: 3"),
    ],
)
def test_an_override_changes_a_sweep(override: str, names: int, line: str) -> None:
    sweep = read_sweep(CONFIGS / "sweep.yaml", [override])
    assert len(sweep.space.names) == names
    assert line in [text.strip() for text in sweep.to_yaml().splitlines()]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sweep.search.optimizer.η={log: [0, 1]}", "sweep.search.optimizer.η.log.0: must be above 0, got 0"),
        ("sweep.search.optimizer.η=3", "sweep.search.optimizer.η: must be a mapping such as {uniform: [0, 1]}, got 3"),
        ("sweep.search.optimizer.η.step=0.1", "sweep.search.optimizer.η.step: unknown field; log has none; uniform and int have it"),
        ("sweep.search.optimizer.η.lgo=[0.1, 1]", "sweep.search.optimizer.η.lgo: unknown distribution; did you mean log?"),
        ("sweep.search.seed={int: [1, 3]}", "sweep.search.seed: seed is not a hyperparameter; use sweep.seeds for several seeds per point"),
        ("sweep.trials=none", "sweep.trials: must be a whole number, got 'none'"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_reported_as_it_was_typed(override: str, message: str, error_lines: ErrorLines) -> None:
    assert error_lines(read_sweep, CONFIGS / "sweep.yaml", [override]) == [f"overrides: {override}: {message}"]


def test_an_override_above_a_searched_value_is_reported_with_both(error_lines: ErrorLines) -> None:
    override = "sweep.search.optimizer.η_sched={choice: [null]}"
    message = f"is inside optimizer.η_sched, which is searched at overrides: {override}; keep one"
    place = f"{CONFIGS / 'sweep.yaml'}:8:5"
    assert error_lines(read_sweep, CONFIGS / "sweep.yaml", [override]) == [
        f"{place}: sweep.search.optimizer.η_sched.γ: {message}"
    ]


# Runs and sweeps


def test_a_sweep_is_not_a_run_and_a_run_is_not_a_sweep(error_lines: ErrorLines) -> None:
    file = CONFIGS / "sweep.yaml"
    remedy = f"this is a sweep: start it with `mxtrain sweep {file}`, or its run alone with --set sweep=null"
    assert error_lines(read_run, file) == [f"{file}:5:1: sweep: {remedy}"]
    assert read_run(file, ["sweep=null"]).name == "sweep"
    file = CONFIGS / "adam.yaml"
    assert error_lines(read_sweep, file) == [
        f"{file}: this file has no sweep section; train it with `mxtrain fit {file}`"
    ]
    assert error_lines(sweep_from_dict, _RUN) == ["sweep: required; a mapping with search and objective"]
    assert error_lines(run_from_dict, _RUN | {"sweep": {}}) == [
        "sweep: this is a sweep: start it with mxtrain.sweep, or remove sweep to train its run alone"
    ]


def test_problems_of_the_run_and_of_the_sweep_are_reported_together(write: Write, error_lines: ErrorLines) -> None:
    text = "seed: -1\nsweep:\n  search: {optimizer.η: {log: [0, 1]}, optimizer.β1: {uniform: [0, 1]}}\n  objective: {minimize: val_los}\n  trials: 0\n"  # fmt: skip
    assert [line.split(":")[1:3] for line in error_lines(read_sweep, write(text))] == [
        ["1", "7"],
        ["3", "32"],
        ["3", "68"],
        ["4", "25"],
        ["5", "11"],
    ]


def test_a_problem_is_attributed_to_a_value_only_if_another_value_is_valid(error_lines: ErrorLines) -> None:
    lines = error_lines(lambda: _sweep({"optimizer.η": {"uniform": [0, 1]}}, objective={"minimize": "val_r2"}))
    assert sorted(lines) == [
        "sweep.objective.minimize: val_r2 is not measured; add r2 to fit.metrics",
        "sweep.search.optimizer.η.uniform.0: must be above 0, got 0",
    ]


def test_many_combinations_are_validated_in_pairs(error_lines: ErrorLines) -> None:
    search: dict[str, Any] = {
        "fit.epochs": {"choice": list(range(1, 11))},
        "data.batch_size": {"choice": list(range(1, 11))},
        "optimizer.η": {"choice": [i / 10 for i in range(1, 11)]},
        "data.validation": {"choice": [0.1, 0.2, 0.6]},
        "data.test": {"choice": [0, 0.3, 0.5]},
    }
    assert error_lines(_sweep, search) == [
        "sweep.search.data.test.choice.2: validation and test together must be below 1, to leave samples for training"
    ]


def test_a_combination_that_was_not_validated_is_reported_when_it_is_drawn(
    write: Write, error_lines: ErrorLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "ALL_COMBINATIONS", 1)
    monkeypatch.setattr(space, "MAX_PAIRS", 0)
    text = (
        "sweep:\n  search: {data.validation: {choice: [0.1, 0.6]}, data.test: {uniform: [0, 0.5]}}\n"
        "  objective: {minimize: val_loss}\n  trials: 3\n"
    )
    sweep = read_sweep(write(text))
    point = sweep.space.point({"data.validation": 0.6, "data.test": 0.45})
    message = "validation and test together must be below 1, to leave samples for training"
    assert error_lines(sweep.run_config, point) == [f"run.yaml:2:51: sweep.search.data.test: {message}"]


# Sweeps written as YAML are read back equal


def _read_back(text: str) -> Sweep:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "written.yaml"
        path.write_text(text, encoding="utf-8", newline="")
        return read_sweep(path)


numbers = st.floats(0.001, 0.9).map(lambda x: round(x, 4))
bounds = st.tuples(numbers, numbers).filter(lambda pair: pair[0] < pair[1]).map(sorted)
wholes = st.tuples(st.integers(1, 50), st.integers(1, 50)).filter(lambda pair: pair[0] < pair[1]).map(sorted)
real = st.one_of(
    st.builds(lambda ends: {"uniform": ends}, bounds),
    st.builds(lambda low, step, n: {"uniform": [low, round(low + n * step, 6)], "step": step}, numbers, st.sampled_from([0.01, 0.003]), st.integers(1, 9)),
    st.builds(lambda ends: {"log": ends}, bounds),
    st.builds(lambda mean, sd, ends: {"normal": [mean, sd], "within": [0.001, 0.99]}, numbers, numbers, bounds),
    st.builds(lambda values: {"choice": values}, st.lists(numbers, min_size=1, max_size=3, unique=True)),
)  # fmt: skip
whole = st.one_of(
    st.builds(lambda ends, log: {"int": ends, "log": log}, wholes, st.booleans()),
    st.builds(lambda low, step, n: {"int": [low, low + n * step], "step": step}, st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    st.builds(lambda values: {"choice": values}, st.lists(st.integers(1, 50), min_size=1, max_size=3, unique=True)),
)  # fmt: skip
schedules = st.one_of(
    st.none(),
    st.builds(lambda γ: {"kind": "exp", "γ": γ}, real | numbers),
    st.just({"kind": "inv", "p": {"log": [0.1, 2]}}),
)
rules = st.one_of(
    st.builds(lambda μ, η_sched: {"kind": "sgd", "μ": μ, "η_sched": η_sched}, real | numbers, schedules | st.builds(lambda several: {"choice": several}, st.lists(schedules, min_size=1, max_size=2, unique_by=repr))),
    st.builds(lambda β1: {"kind": "adam", "β1": β1}, real),
    st.builds(lambda ρ, η: {"kind": "rmsprop", "rho": ρ, "lr": η}, real, real),
)  # fmt: skip
searches = st.fixed_dictionaries(
    {},
    optional={
        "optimizer.η": real,
        "optimizer.ϵ": real,
        "data.batch_size": whole,
        "model.hidden": st.builds(lambda lists: {"choice": lists}, st.lists(st.lists(st.integers(1, 9), max_size=3), min_size=1, max_size=3, unique_by=repr)),
        "fit.early_stopping": st.builds(lambda patience: {"choice": [None, {"patience": patience}]}, whole),
        "dtype": st.just({"choice": ["float32", "float64"]}),
    },
) | st.fixed_dictionaries({"optimizer": st.builds(lambda several: {"choice": several}, st.lists(rules, min_size=1, max_size=4, unique_by=repr))}, optional={"fit.epochs": whole})  # fmt: skip


@settings(
    derandomize=True, deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(search=searches.filter(bool), seed=st.integers(0, 99))
def test_every_point_is_a_valid_run_and_every_sweep_reads_back(search: Any, seed: int, here: Path) -> None:
    sweep = _sweep(search)
    seen: dict[str, Any] = {}
    for i in range(5):
        point = sweep.space.sample(RandomSuggester(seed + i, seen))
        run = sweep.run_config(point)
        assert isinstance(run, RunConfig)
        assert run.fit.epochs <= sweep.max_epochs
        assert sweep.space.point(point.drawn) == point
        assert set(point.drawn) <= set(sweep.space.names)
        assert _agrees(run.to_dict(), point)
    again = _read_back(sweep.to_yaml())
    assert again == sweep
    assert again.to_yaml() == sweep.to_yaml()
    assert again.run_config(point) == run


def _agrees(run: dict[str, Any], point: Point) -> bool:
    """Return True if a run holds the values of a point at their paths."""
    for path, value in point.params.items():
        found: Any = run
        for name in path.split("."):
            found = found[name]
        if not isinstance(value, dict) and found != value:
            return False
    return True


@pytest.mark.parametrize("model", [*SAMPLERS, *PRUNERS], ids=lambda model: model.__name__)
def test_every_sampler_and_pruner_reads_back(model: type[Config], here: Path) -> None:
    config: Config = model()
    part = "sampler" if model in SAMPLERS else "pruner"
    search = {"optimizer.η": {"uniform": [0.1, 0.3], "step": 0.1}, "optimizer.β1": {"choice": [0.1, 0.2]}, "optimizer.β2": {"uniform": [0.5, 0.6], "step": 0.1}}  # fmt: skip
    sweep = _sweep(search, **{part: config})
    assert getattr(sweep.settings, part) == config
    assert _read_back(sweep.to_yaml()) == sweep


def test_invalid_values_anywhere_in_a_sweep_are_reported_in_the_words_of_this_package(error_lines: ErrorLines) -> None:
    section = {"search": {"optimizer.η": {"log": [0.1, 1]}}, "objective": {"minimize": "val_loss"}, "trials": 3}
    places: list[Callable[[Any], Any]] = [
        *(lambda odd, name=name: section | {name: odd} for name in [*section, "sampler", "pruner", "workers", "seeds", "seed", "parallel", "storage"]),
        *(lambda odd, word=word: section | {"search": {"optimizer.η": {word: odd}}} for word in ("uniform", "log", "int", "normal", "choice")),
        lambda odd: section | {"search": {"optimizer.η": odd}},
        lambda odd: section | {"search": {"optimizer.η": {"choice": [odd]}}},
        lambda odd: section | {"search": {"optimizer": {"choice": [odd, {"kind": "adam", "η": odd}]}}},
        lambda odd: section | {"search": {"optimizer.η": {"uniform": [0.1, odd], "step": odd}}},
        lambda odd: section | {"objective": {"minimize": odd}},
        lambda odd: section | {"objective": [odd]},
        lambda odd: section | {"sampler": {"kind": odd, "startup": odd}},
        lambda odd: section | {"pruner": {"kind": "asha", "reduction": odd}},
        lambda odd: odd,
    ]  # fmt: skip
    for place in places:
        for odd in ODD:
            lines = error_lines(sweep_from_dict, _RUN | {"sweep": place(odd)})
            assert not any(words in line for words in FOREIGN for line in lines)


@pytest.mark.parametrize(
    ("distribution", "message"),
    [
        ({"uniform": [0, 1], "step": 1e-300}, "sweep.search.optimizer.η.step: must make at most 1,000,000,000,000,000 steps between the bounds, got 1e-300"),
        ({"uniform": [0.1, 1], "step": 5e-324}, "sweep.search.optimizer.η.step: must make at most 1,000,000,000,000,000 steps between the bounds, got 5e-324"),
        ({"uniform": [0, 1], "step": 1e300}, "sweep.search.optimizer.η.step: must divide 1, the distance of the bounds, got 1e+300"),
        ({"int": [1, 9], "step": 10**400}, "sweep.search.optimizer.η.step: must be a whole number at least 1 and at most 2147483647, got an integer of more than 40 digits"),
        ({"log": [0, 1]}, "sweep.search.optimizer.η.log.0: must be above 0, got 0"),
        ({"normal": [0, 1e308]}, "sweep.search.optimizer.η.normal: must be within the range of float64, got [0, 1e+308]"),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_reported_in_one_line(
    distribution: Any, message: str, error_lines: ErrorLines
) -> None:
    search = {"search": {"optimizer.η": distribution}, "objective": {"minimize": "val_loss"}, "trials": 3}
    assert error_lines(sweep_from_dict, _RUN | {"sweep": search}) == [message]


def test_a_huge_number_of_trials_and_a_huge_grid_are_reported_in_one_line(error_lines: ErrorLines) -> None:
    search: dict[str, Any] = {"search": {"optimizer.η": {"log": [0.1, 1]}}, "objective": {"minimize": "val_loss"}}
    (line,) = error_lines(sweep_from_dict, _RUN | {"sweep": search | {"trials": 10**400}})
    assert line.startswith("sweep.trials: must be a whole number at least 1")
    search["search"] = {f"model.settings.x{i}": {"int": [0, 2**53]} for i in range(300)}
    custom = _RUN | {"model": {"kind": "custom", "settings": {}}}
    lines = error_lines(sweep_from_dict, custom | {"sweep": search | {"sampler": {"kind": "grid"}}})
    assert any("the grid has more than 1,000,000,000,000,000 points" in line for line in lines)
