"""`T: run` is the length of the run in all uses of a schedule, and an error without a run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import mxtrain
from mxtrain.cli.schedule_plot import schedule_curves
from mxtrain.config import read_sweep, run_from_dict, to_yaml
from mxtrain.config.schema import json_schema
from mxtrain.optim.schedules.learning_rate import Cosine, Step

EPOCHS, BATCHES = 6, 3


def config(schedule: dict[str, Any], epochs: int = EPOCHS) -> dict[str, Any]:
    return {
        "data": {"source": "diabetes", "batch_size": 150}, "model": {"kind": "linear"}, "loss": "squared_error",
        "optimizer": {"kind": "adam", "η": 0.1, "η_sched": schedule}, "fit": {"epochs": epochs},
    }  # fmt: skip


EQUAL: dict[str, tuple[dict[str, Any], int]] = {
    "cosine": ({"kind": "cosine", "T": "run"}, EPOCHS),
    "cosine after a warm-up": ({"kind": "cosine", "T": "run", "warmup": 2}, EPOCHS - 2),
    "cosine by iterations": ({"kind": "cosine", "T": "run", "per": "iteration", "warmup": 4}, EPOCHS * BATCHES - 4),
    "step": ({"kind": "step", "T": "run"}, EPOCHS),
    "step, three of them": ({"kind": "step", "T": "run/3"}, 2),
    "step, a part that is rounded up": ({"kind": "step", "T": "run/4"}, 2),
    "stable phase": ({"kind": "warmup_stable_decay", "T": "run", "decay": "run/3", "warmup": 1}, EPOCHS - 1),
    "one cycle": ({"kind": "one_cycle", "T": "run", "per": "iteration"}, EPOCHS * BATCHES),
}


@pytest.mark.parametrize(("schedule", "T"), EQUAL.values(), ids=EQUAL.keys())
def test_run_equals_the_length_written_as_a_number(schedule: dict[str, Any], T: int, tmp_path: Path) -> None:
    by_name = mxtrain.fit(config(schedule), run_dir=tmp_path / "name")
    by_number = mxtrain.fit(config(schedule | {"T": T}), run_dir=tmp_path / "number")
    assert by_name.history == by_number.history
    assert (tmp_path / "name/model.safetensors").read_bytes() == (tmp_path / "number/model.safetensors").read_bytes()
    curves = [schedule_curves(run_from_dict(config(each))).curves for each in (schedule, schedule | {"T": T})]
    assert curves[0] == curves[1]
    assert f"T: {schedule['T']}" in (tmp_path / "name/config.yaml").read_text(encoding="utf-8"), (
        "the saved config reproduces the run"
    )
    assert mxtrain.verify(tmp_path / "name") == []


def test_another_number_of_epochs_is_refused_on_resume(tmp_path: Path) -> None:
    mxtrain.fit(config({"kind": "cosine", "T": "run"}), run_dir=tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    message = (
        "overrides: fit.epochs=9: fit.epochs: was 6 when the run started, and cannot become 9: optimizer.η_sched.T is run, "
        "so past learning rates would have been different; start a new run"
    )
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.resume(tmp_path, overrides=["fit.epochs=9"])
    assert str(caught.value) == message
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert mxtrain.resume(tmp_path, overrides=["fit.checkpoint.keep=2"]).state.curr_epoch == EPOCHS


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        (
            {"kind": "adam", "η_sched": {"kind": "linear", "T": 0.5, "per": "fraction"}},
            "optimizer.η_sched.per is fraction, so past learning rates",
        ),
        (
            {"kind": "adam", "schedules": {"β2": {"kind": "linear", "T": "run/2"}}},
            "optimizer.schedules.β2.T is run/2, so past values",
        ),
        (
            {"kind": "adam", "groups": {"b*": {"schedules": {"λ": {"kind": "linear", "T": "run"}}}}},
            "optimizer.groups.b*.schedules.λ.T is run, so past values",
        ),
    ],
)
def test_every_schedule_that_depends_on_the_length_refuses_another(
    optimizer: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    run = config({}) | {"optimizer": optimizer, "fit": {"epochs": 1}}
    mxtrain.fit(run, run_dir=tmp_path)
    with pytest.raises(mxtrain.ConfigError, match=f"cannot become 2: {re.escape(reason)}"):
        mxtrain.resume(tmp_path, overrides=["fit.epochs=2"])


def test_a_run_with_a_plateau_is_trained_longer(tmp_path: Path) -> None:
    plateau = {"kind": "plateau", "monitor": "loss", "patience": 0, "threshold": 1.0}
    whole = mxtrain.fit(config(plateau, 3), run_dir=tmp_path / "whole")
    mxtrain.fit(config(plateau, 2), run_dir=tmp_path / "longer")
    longer = mxtrain.resume(tmp_path / "longer", overrides=["fit.epochs=3"])
    assert [row["η"] for row in longer.history] == pytest.approx([0.1, 0.1, 0.01])
    assert longer.history == whole.history


def test_run_is_an_error_outside_of_a_run(tmp_path: Path) -> None:
    message = r"optimizer\.η_sched\.T: must be a number, got run: only a run of mxtrain\.fit has a known length"
    rule = {"kind": "adam", "η_sched": {"kind": "cosine", "T": "run"}}
    file = tmp_path / "rule.yaml"
    file.write_text(json.dumps(rule), encoding="utf-8")
    for each in (rule, mxtrain.Adam(η_sched=Cosine(T="run")), file):
        with pytest.raises(mxtrain.ConfigError, match=message):
            mxtrain.build(each)
    for schedule in (Cosine(T="run"), Step(T="run/2")):
        with pytest.raises(ValueError, match=r"\.value needs a number: T is 'run.*, as in \w+\(T=20\)"):
            schedule.value(1, 0.5)


@pytest.mark.parametrize("wrong", ["rum", "run/0", "run/", "2 run", "", 0, 1.5, True, None])
def test_invalid_lengths_are_refused(wrong: Any) -> None:
    with pytest.raises(mxtrain.ConfigError, match=r"η_sched\.T: must be a whole number"):
        run_from_dict(config({"kind": "cosine", "T": wrong}))


@pytest.mark.parametrize(("per", "warmup"), [("epoch", 6), ("iteration", 18)])
def test_a_warm_up_must_be_shorter_than_the_run(per: str, warmup: int, tmp_path: Path) -> None:
    schedule = {"kind": "cosine", "T": "run", "per": per, "warmup": warmup}
    with pytest.raises(
        mxtrain.ConfigError, match=rf"η_sched\.warmup: must be below .*{warmup}, as T is run, got {warmup}"
    ):
        mxtrain.fit(config(schedule), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    mxtrain.fit(config(schedule | {"warmup": warmup - 1}, EPOCHS), run_dir=tmp_path / "run")


def test_it_can_be_searched_and_follows_the_epochs_of_each_trial(tmp_path: Path) -> None:
    search = {"fit.epochs": {"choice": [2, 4]}, "optimizer.η_sched.T": {"choice": ["run", 3]}}
    sweep = {"search": search, "sampler": {"kind": "grid"}, "objective": {"minimize": "val_loss"}}
    file = tmp_path / "sweep.yaml"
    file.write_text(json.dumps(config({"kind": "cosine", "T": "run"}) | {"sweep": sweep}), encoding="utf-8")
    found = read_sweep(file)
    for epochs in (2, 4):
        for T in ("run", 3):
            run = found.run_config(found.space.point({"fit.epochs": epochs, "optimizer.η_sched.T": T}))
            rule = run.optimizer.for_run(run.fit.epochs, BATCHES)
            assert rule.η_sched == Cosine(T=epochs if T == "run" else T)


def test_the_schema_and_the_yaml_writer_accept_it() -> None:
    T = json_schema()["$defs"]["Cosine"]["properties"]["T"]
    assert {"type": "integer", "minimum": 1}.items() <= T["anyOf"][0].items()
    assert T["anyOf"][1]["type"] == "string"
    run = run_from_dict(config({"kind": "step", "T": "run/3"}))
    assert "T: run/3" in to_yaml(run)
