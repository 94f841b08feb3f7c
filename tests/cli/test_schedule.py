"""`mxtrain schedule`: η and μ of each iteration of a run."""

import re
from pathlib import Path

import pytest

from mxtrain.cli.schedule_plot import POINTS, schedule_curves
from mxtrain.config import read_run
from mxtrain.training import fit

MOMENTUM = "optimizer={kind: sgd, μ_sched: {kind: nadam}, η_sched: {kind: exp}}"


def test_the_curves_match_the_history_of_the_run(folder):
    run = read_run("run.yaml", [MOMENTUM])
    schedule = schedule_curves(run)
    η, μ = schedule.curves
    last = fit(run, run_dir=folder / "run").history
    assert schedule.batches == 45
    assert (schedule.times[0], schedule.times[45], schedule.times[-1]) == (0, 1, 2)
    assert [η.values[44], η.values[89]] == [row["η"] for row in last]
    assert [μ.values[44], μ.values[89]] == [row["μ"] for row in last]


def test_with_accumulation_the_curve_counts_updates_as_the_run_does(folder):
    cycle = "optimizer={kind: sgd, accumulate: 4, η_sched: {kind: one_cycle, T: run, per: iteration}}"
    run = read_run("run.yaml", [cycle, "fit.epochs=4"])
    schedule = schedule_curves(run)
    last = fit(run, run_dir=folder / "run").history[-1]
    assert schedule.curves[0].values[-1] == last["η"]
    assert schedule.title == "run: 4 epochs of 45 batches, 4 in each update"


def test_a_long_run_has_a_bounded_number_of_points():
    schedule = schedule_curves(read_run("run.yaml", ["fit.epochs=1000"]))
    assert len(schedule.times) == len(schedule.curves[0].values) == POINTS + 1
    assert schedule.times[-1] == 1000
    assert schedule.curves[0].letter == "η"


def test_both_curves_are_drawn_in_the_terminal_and_as_png(mxtrain):
    status, out, err = mxtrain("schedule", "run.yaml", "--set", MOMENTUM)
    assert (status, err) == (0, "written to run-schedule.png\n")
    assert Path("run-schedule.png").read_bytes().startswith(b"\x89PNG")
    assert re.search(r"^ +run: 2 epochs of 45 iterations$", out, re.MULTILINE)
    assert "learning rate η" in out
    assert "momentum μ" in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_rule_without_momentum_has_one_curve(mxtrain):
    out = mxtrain("schedule", "run.yaml", "-o", "here.png").out
    assert "μ" not in out
    assert Path("here.png").exists()


def test_a_method_with_a_line_search_has_no_curve(mxtrain):
    arguments = "schedule", "run.yaml", "--set", "optimizer={kind: lbfgs}"
    reason = "lbfgs has no learning rate: a line search chooses the length of each step\n"
    assert mxtrain(*arguments) == (0, "", reason)
    status, out, err = mxtrain(*arguments, "-o", "here.png")
    assert (status, out, err) == (2, "", f"error: no picture is written: {reason}")
    assert not list(Path().glob("*.png"))


def test_an_image_that_cannot_be_written_is_one_line_and_status_2(mxtrain):
    status, _, err = mxtrain("schedule", "run.yaml", "-o", "nowhere/here.png")
    assert (status, err) == (2, "error: nowhere/here.png: No such file or directory\n")


@pytest.mark.parametrize("η", ["1.7976931348623157e308", "1e301", "1e-310", "5e-324"])
@pytest.mark.parametrize(
    "schedule",
    [
        *("{kind: fixed}", "{kind: exp}", "{kind: inv}", "{kind: cosine, T: 1}", "{kind: step, T: 1}"),
        *("{kind: multistep, milestones: [1]}", "{kind: cosine, T: 60, warmup: 30, per: iteration}"),
    ],
)
def test_extreme_learning_rates_are_drawn(η, schedule, mxtrain):
    status, out, err = mxtrain(
        "schedule", "run.yaml", "--set", f"optimizer.η={η}", "--set", f"optimizer.η_sched={schedule}"
    )
    assert (status, err) == (0, "written to run-schedule.png\n")
    assert "learning rate η" in out


IMPORTERS = ("mxtrain.cli.schedule_command",)
REMEDY = "is not installed; pip install 'mxtrain[plots]'\n"


def test_without_plotext_the_image_is_still_written(mxtrain, hide_packages):
    hide_packages("plotext", importers=IMPORTERS)
    status, out, err = mxtrain("schedule", "run.yaml")
    assert (status, out) == (0, "")
    assert err == f"written to run-schedule.png\nno plot in the terminal: plotext {REMEDY}"
    assert Path("run-schedule.png").exists()


def test_without_matplotlib_the_terminal_plot_is_still_drawn(mxtrain, hide_packages):
    hide_packages("matplotlib", importers=IMPORTERS)
    status, out, err = mxtrain("schedule", "run.yaml")
    assert status == 0
    assert "learning rate η" in out
    assert err == f"no picture is written: matplotlib {REMEDY}"


def test_a_requested_image_that_cannot_be_drawn_is_an_error(mxtrain, hide_packages):
    hide_packages("matplotlib", importers=IMPORTERS)
    status, out, err = mxtrain("schedule", "run.yaml", "-o", "here.png")
    assert status == 2
    assert "learning rate η" in out
    assert err == f"error: no picture is written: matplotlib {REMEDY}"


def test_without_both_packages_there_is_an_error(mxtrain, hide_packages):
    hide_packages("plotext", "matplotlib", importers=IMPORTERS)
    status, out, err = mxtrain("schedule", "run.yaml")
    assert (status, out) == (2, "")
    assert err.endswith(REMEDY)


GROUPS = (
    "optimizer={kind: adamw, η: 0.01, η_sched: {kind: exp, γ: 0.5}, groups: "
    "{W1: {kind: muon, η: 0.03}, b1: {η: 0.1}, W2: {λ: 0}, b2: {η: 0}, W3: {kind: lion, η: 0.01}}}"
)

PANEL = """
                                learning rate η of b1
     ┌─────────────────────────────────────────────────────────────────────────┐
  0.1┤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⢤                                     │
     │                                   ⢸                                     │
0.075┤                                   ⠘⡄                                    │
     │                                    ⡇                                    │
 0.05┤                                    ⠣⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤│
     │                                                                         │
0.025┤                                                                         │
     │                                                                         │
    0┤                                                                         │
     └┬──────┬──────┬───────┬──────┬──────┬──────┬──────┬───────┬──────┬──────┬┘
      0     0.2    0.4     0.6    0.8     1     1.2    1.4     1.6    1.8     2
                                        epoch
"""


def test_a_group_with_another_learning_rate_has_a_curve_of_the_schedule_that_it_inherits(mxtrain, hide_packages):
    overrides = [GROUPS, "model={kind: mlp, hidden: [4, 3]}"]
    run = read_run("run.yaml", overrides)
    curves = {f"{curve.meaning} {curve.letter}": curve.values for curve in schedule_curves(run).curves}
    assert list(curves) == ["learning rate η", "learning rate η of W1", "learning rate η of b1"]
    for values, η in zip(curves.values(), (0.01, 0.03, 0.1), strict=True):
        assert (values[0], values[45], values[-1]) == (η, η / 2, η / 2)
    hide_packages("matplotlib", importers=IMPORTERS)
    out = mxtrain("schedule", "run.yaml", *(part for each in overrides for part in ("--set", each))).out
    assert out.endswith(PANEL)


def test_vectors_with_another_learning_rate_have_a_curve():
    muon = "optimizer={kind: muon, η: 0.02, η_sched: {kind: exp, γ: 0.5}, otherwise: {kind: adamw, η: 0.001}}"
    curves = {curve.letter: curve.values[-1] for curve in schedule_curves(read_run("run.yaml", [muon])).curves}
    assert curves == {"η": 0.01, "η of otherwise": 0.0005}


MANY = (
    "optimizer={kind: adam, clip: 1, η_sched: {kind: one_cycle, T: run, per: iteration}, schedules: "
    "{beta2: {kind: linear, T: run, end: 0.9}, wd: {kind: plateau}, clip: {kind: step, T: 1}}}"
)


def test_every_scheduled_number_is_drawn(mxtrain):
    status, out, err = mxtrain("schedule", "run.yaml", "--set", MANY)
    assert (status, err) == (0, "written to run-schedule.png\n")
    titles = [line.strip() for line in out.splitlines() if line.strip() in ("learning rate η", "β2", "λ", "clip", "β1")]
    assert titles == ["learning rate η", "β2", "λ", "clip", "β1"]
    curves = {curve.letter: curve.values for curve in schedule_curves(read_run("run.yaml", [MANY])).curves}
    assert curves["β2"][:46] == [0.999] * 45 + [0.9495]
    assert set(curves["clip"]) == {1.0, 0.1}
    assert (curves["β1"][0], min(curves["β1"]), curves["β1"][-1]) == (0.95, 0.85, 0.95)
