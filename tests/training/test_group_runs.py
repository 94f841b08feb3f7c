"""Runs whose optimizer has groups with rules of their own: resume, kills, configs, overrides, sweeps and commands."""

import json
from pathlib import Path
from typing import Any

import pytest

import mxtrain
from mxtrain.cli.main import main
from mxtrain.cli.parameters_table import explain_run, row_lines
from mxtrain.config import read_run, run_from_dict, to_yaml
from mxtrain.optim.rules import RULES
from mxtrain.reports.run_charts import schedule_charts
from mxtrain.reports.run_data import read_run_data
from mxtrain.training.resume_checks import changed_paths
from mxtrain.training.run_folder.history import format_metrics
from tests.tables import as_bytes
from tests.training.checkpoints.broken_disk import Killed, failing
from tests.training.conftest import results

OPTIMIZER: dict[str, Any] = {
    "kind": "adamw",
    "η_sched": {"kind": "cosine", "T": 3},
    "ema": {"decay": 0.9},
    "clip_norm": 10,
    "groups": {
        "W1": {"kind": "muon", "η": 0.02, "otherwise": {"kind": "lion"}},
        "b1": {"kind": "prodigy", "lookahead": {"period": 2}},
        "size >= 12": {"kind": "soap", "every": 2},
        "W3": {"kind": "nadam", "cautious": True},
        "ndim < 2": {"λ": 0, "ema": None, "bounds": [-0.5, 0.5], "schedules": {"β2": {"kind": "exp", "γ": 0.99}}},
    },
    "groups_required": True,
}


def run(optimizer: dict[str, Any], **fit: Any) -> dict[str, Any]:
    return {
        "data": {"source": "diabetes", "batch_size": 200},
        "model": {"kind": "mlp", "hidden": [4, 3]},
        "loss": "squared_error",
        "backend": "numpy",
        "optimizer": optimizer,
        "fit": {"epochs": 3} | fit,
    }


def test_a_run_with_many_groups_survives_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = run(OPTIMIZER, checkpoint={"every": "1 epoch"})
    whole = results(mxtrain.fit(config, run_dir=tmp_path / "whole").run_dir)
    with failing(-1, Killed, tmp_path, monkeypatch) as calls:
        mxtrain.fit(config, run_dir=tmp_path / "count")
    resumed = 0
    for at in range(len(calls) // 3, len(calls), len(calls) // 5):
        run_dir = tmp_path / str(at)
        with failing(at, Killed, tmp_path, monkeypatch), pytest.raises(Killed):
            mxtrain.fit(config, run_dir=run_dir)
        mxtrain.resume(run_dir)
        assert results(run_dir) == whole, f"killed at {at}"
        resumed += 1
    assert resumed >= 3


@pytest.mark.parametrize("kind", [rule.model_fields["kind"].default for rule in RULES])
def test_a_run_with_a_group_of_each_kind_resumes_to_the_byte(kind: str, tmp_path: Path) -> None:
    own = {"kind": kind} | ({"update": "W = W - η*g"} if kind == "formula" else {})
    config = run({"kind": "sgd", "groups": {"ndim >= 2": own}}, epochs=2)
    whole = mxtrain.fit(config, run_dir=tmp_path / "whole")
    mxtrain.fit(config | {"fit": {"epochs": 1}}, run_dir=tmp_path / "cut")
    assert as_bytes(mxtrain.resume(tmp_path / "cut", overrides=["fit.epochs=2"]).parameters) == as_bytes(
        whole.parameters
    )


def test_the_resolved_config_reads_back(tmp_path: Path) -> None:
    config = run_from_dict(run(OPTIMIZER)).resolve()
    file = tmp_path / "run.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    again = read_run(file)
    assert again.optimizer == config.optimizer
    assert to_yaml(again.resolve()) == to_yaml(config).replace("name: run", f"name: {again.name}")
    group = config.to_dict()["optimizer"]["groups"]["b1"]
    assert (group["d0"], group["lookahead"], "scale" in group) == (1e-6, {"period": 2, "slow_step": 0.5}, False)


@pytest.mark.parametrize(
    ("override", "selector", "name", "value"),
    [
        ("optimizer.groups.W1.η=0.5", "W1", "η", 0.5),
        ("optimizer.groups.size >= 12.lr=0.5", "size >= 12", "η", 0.5),
        ("optimizer.groups.size >= 12.every=7", "size >= 12", "every", 7),
        ("optimizer.groups.ndim < 2.β1=0.5", "ndim < 2", "β1", 0.5),
        ("optimizer.groups.W1.otherwise.kind=sgd", "W1", "otherwise", mxtrain.SGD()),
        ("optimizer.groups.b1.kind=dog", "b1", "kind", "dog"),
    ],
)
def test_a_value_of_a_group_is_overridden(override: str, selector: str, name: str, value: Any, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(run(OPTIMIZER)), encoding="utf-8")
    assert getattr(read_run(file, [override]).optimizer.groups[selector], name) == value


def test_dots_in_a_selector_and_its_comparisons_go_with_overrides_and_searches(tmp_path: Path) -> None:
    groups = {"b.?": {"λ": 0}, "size >= 13": {}}
    config = run({"kind": "adam", "groups": groups})
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(config | {"model": {"kind": "custom"}}), encoding="utf-8")
    found = read_run(file, ["optimizer.groups.b.?.λ=0.5", "optimizer.groups.size >= 13.λ=0.25"]).optimizer.groups
    assert {name: group.λ for name, group in found.items()} == {"b.?": 0.5, "size >= 13": 0.25}
    search = {
        "search": {"optimizer.groups.size <= 12.η": {"choice": [0.001, 0.1]}},
        "objective": {"minimize": "val_loss"},
        "sampler": {"kind": "grid"},
    }
    config["optimizer"]["groups"] = {"W1": {"kind": "lion"}, "size <= 12": {}}
    rows = mxtrain.sweep(config | {"sweep": search}, run_dir=tmp_path / "sweep")
    assert len({row["value"] for row in rows}) == 2


def test_groups_that_a_run_cannot_use_are_reported_when_its_sizes_are_known() -> None:
    with pytest.raises(mxtrain.ConfigError, match=r"optimizer.groups.size > 99: matches no parameter; .* W1 \(10, 4\)"):
        mxtrain.fit(run({"kind": "sgd", "groups": {"size > 99": {}}}))
    with pytest.raises(mxtrain.ConfigError, match="optimizer.groups_required: no group takes b3"):
        mxtrain.fit(run({"kind": "sgd", "groups": {"W?": {}, "size > 2": {}}, "groups_required": True}))


def test_schedules_of_groups_follow_the_length_of_the_run(tmp_path: Path) -> None:
    def config(T: Any) -> dict[str, Any]:
        linear = {"kind": "linear", "T": T}
        groups = {
            "W1": {"kind": "lion", "η_sched": {"kind": "cosine", "T": T}},
            "W2": {"η_sched": linear},
            "b1": {"schedules": {"β2": linear}},
        }
        return {"kind": "adam", "groups": groups}

    relative, absolute = (mxtrain.fit(run(config(T)), run_dir=tmp_path / str(T)) for T in ("run", 3))
    assert as_bytes(relative.parameters) == as_bytes(absolute.parameters)
    with pytest.raises(mxtrain.ConfigError, match="optimizer.groups.W1.η_sched.T: must be a number, got run"):
        mxtrain.build(config("run"))
    with pytest.raises(mxtrain.ConfigError, match="optimizer.groups.W1.η_sched.T is run"):
        mxtrain.resume(relative.run_dir, overrides=["fit.epochs=5"])


def test_null_in_a_group_of_an_earlier_version_is_no_change() -> None:
    before = {"optimizer.groups.b*.η": None, "optimizer.groups.b*.λ": 0.0}
    assert changed_paths(before, {"optimizer.groups.b*.λ": 0.0}) == []
    assert changed_paths({"optimizer.groups.b*.β1": 0.5}, {}) == ["optimizer.groups.b*.β1"]
    config = run({"kind": "sgd", "groups": {"b*": {"η": None, "λ": 0.0}}})
    assert dict(run_from_dict(config).optimizer.groups["b*"].values) == {"λ": 0.0}


def test_show_prints_the_rule_and_the_line_of_each_parameter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_text(
        "data: {source: diabetes}\nmodel: {kind: mlp, hidden: [4]}\nloss: squared_error\noptimizer:\n  kind: adamw\n"
        "  groups:\n    W1: {kind: muon}\n    ndim < 2: {λ: 0}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["show", "run.yaml", "--parameters", "--set", "optimizer.groups.W2.η=0.5"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["parameter", "shape", "rule", "values", "decided", "by"],
        ["W1", "(10,", "4)", "muon", "η=0.02", "λ=0.0", "scale=0.03125", "W1", "run.yaml:7:5"],
        ["b1", "(4,)", "adamw", "η=0.001", "λ=0.0", "scale=0.03125", "ndim", "<", "2", "run.yaml:8:5"],
        ["W2", "(4,", "1)", "adamw", "η=0.5", "λ=0.01", "scale=0.03125", "W2", "--set", "optimizer.groups.W2.η=0.5"],
        ["b2", "(1,)", "adamw", "η=0.001", "λ=0.0", "scale=0.03125", "ndim", "<", "2", "run.yaml:8:5"],
    ]
    found = explain_run(read_run("run.yaml").resolve(), None, "run.yaml")
    assert list(row_lines(found["W1"])) == [
        "W1 (10, 4): muon",
        "    η=0.02 λ=0.0 scale=0.03125",
        "    decided by W1  run.yaml:7:5",
    ]
    assert main(["show", "run.yaml", "--set", "optimizer.ema={}"]) == 0
    headings = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("# group", "# vectors"))]
    assert headings == ["# group W1: muon", "# vectors of group W1: as the optimizer", "# group ndim < 2: adamw"]
    Path("rule.yaml").write_text("kind: sgd\n", encoding="utf-8")
    assert main(["show", "rule.yaml", "--parameters"]) == 2
    assert "an optimizer alone has no parameters" in capsys.readouterr().err


def test_other_scheduled_numbers_are_recorded_and_plotted(tmp_path: Path) -> None:
    halving = {"kind": "exp", "γ": 0.5}
    config = {
        "data": {"source": "diabetes", "batch_size": 200},
        "model": {"kind": "linear"},
        "loss": "squared_error",
        "optimizer": {"kind": "adam", "schedules": {"beta2": halving, "ema.decay": halving}, "ema": {"decay": 0.5}},
        "fit": {"epochs": 2},
    }
    mxtrain.fit(config, run_dir=tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [row["scheduled"] for row in rows] == [{"β2": 0.999, "ema.decay": 0.5}, {"β2": 0.4995, "ema.decay": 0.25}]
    charts = schedule_charts(read_run_data(tmp_path / "run"))
    assert [chart.title for chart in charts] == ["Learning rate η", "Scheduled β2", "Scheduled ema.decay"]
    assert format_metrics(rows[0]).count(",") == 1
