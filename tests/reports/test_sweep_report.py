"""The report of a sweep shows which value mattered, and every trial."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest

import mxtrain
from mxtrain.cli.main import main
from mxtrain.reports.sweep_data import importances, inferred_dimensions, read_sweep_data
from mxtrain.reports.sweep_report import summary

BASE = """\
name: made
data: {source: digits}
model: {kind: mlp}
loss: softmax_cross_entropy
optimizer: {kind: adam}
fit: {epochs: 4, metrics: [accuracy]}
sweep:
  search:
    optimizer.η: {log: [1.0e-4, 1.0]}
    optimizer.β1: {uniform: [0.5, 0.9]}
    data.batch_size: {choice: [16, 32]}
    model.hidden: {choice: [[32], [64, 64]]}
  objective: {maximize: val_accuracy}
  sampler: {kind: random}
  trials: 30
"""


def row(number, state="complete", value=0.5, error="", epochs=4, **params):
    drawn = {path.replace("__", "."): it for path, it in params.items()}
    return {
        "number": number, "params": {path: json.loads(it) if path == "model.hidden" else it for path, it in drawn.items()},
        "value": value, "state": state, "run_dir": f"/was/here/trials/{number:04}", "epochs": epochs,
        "seconds": 0.1 * epochs, "drawn": drawn, **({"error": error} if error else {}),
    }  # fmt: skip


def write_sweep(rows, text=BASE, total=None, objectives=(("val_accuracy", True),)):
    """Write a sweep with the given rows, whose runs have a few epochs, and return its folder."""
    folder = Path("made")
    folder.mkdir()
    for each in rows:
        run_dir = folder / "trials" / f"{each['number']:04}"
        run_dir.mkdir(parents=True)
        lines = [
            json.dumps({"epoch": it + 1, "iteration": it + 1, "loss": 1.0, "val_accuracy": 0.1 * it})
            for it in range(each["epochs"])
        ]
        (run_dir / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (folder / "sweep.yaml").write_text(text, encoding="utf-8")
    results = {
        "name": "made", "run_dir": "/was/here", "total": total or len(rows),
        "objectives": [{"metric": metric, "maximize": maximize} for metric, maximize in objectives], "trials": rows,
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


def thirty_trials():
    """Return trials whose accuracy follows from η alone; some are pruned, one fails."""
    rows = []
    for it in range(30):
        η = 10 ** (-4 + 4 * (it * 0.618 % 1))
        value = 1 - abs(math.log10(η) + 2) / 4
        params = {
            "optimizer.η": η, "optimizer.β1": 0.5 + 0.4 * (it * 0.414 % 1), "data.batch_size": (16, 32)[it % 2],
            "model.hidden": ("[32]", "[64, 64]")[it // 2 % 2],
        }  # fmt: skip
        state = "failed" if it == 9 else "pruned" if value < 0.7 else "complete"
        rows.append(row(it, state, None if state == "failed" else value, "it diverged" if it == 9 else "",
                        2 if state == "pruned" else 4, **params))  # fmt: skip
    return rows


def conditional_sweep(trials=20):
    """Write a sweep in which the optimizer is a choice with hyperparameters inside, and return its folder."""
    text = re.sub(
        r"    optimizer\.η.*\n.*β1.*\n",
        "    optimizer: {choice: [{kind: sgd, μ: {uniform: [0, 0.9]}}, {kind: adam, β1: {uniform: [0.8, 0.99]}}]}\n",
        BASE,
    )
    rows = []
    for number in range(trials):
        kind, name = (("sgd", "μ"), ("adam", "β1"))[number % 2]
        drawn = {"optimizer": kind, f"optimizer[{kind}].{name}": 0.8 + number / 400}
        rows.append(row(number, value=number / 40, **drawn) | {"params": {"optimizer": {"kind": kind}}})
    return write_sweep(rows, text)


def named(figure):
    return {trace["name"]: trace for trace in figure["data"]}


def slices(figures):
    """Return the slice plots by the hyperparameter on their x axes."""
    return {figure["layout"]["xaxis"]["title"]["text"]: figure for key, figure in figures.items() if key[:5] == "slice"}


def axis_names(figure):
    return [text.replace("<br>", "") for text in figure["layout"]["xaxis"]["ticktext"]]


@pytest.fixture
def page(report):
    """The page of a sweep of thirty trials."""
    return report(write_sweep(thirty_trials()))


def test_what_mattered_is_found_and_said(page):
    sweep = read_sweep_data(Path("made"))
    [bars] = page.figures["importance"]["data"]
    assert bars["y"][0] == "optimizer.η"
    assert bars["x"][0] > 60
    assert sum(bars["x"]) == pytest.approx(100)
    assert bars["x"] == [100 * share for share in importances(sweep).values()]
    assert "For val_accuracy, optimizer.η mattered most" in page.text
    best = max((it for it in thirty_trials() if it["state"] == "complete"), key=lambda it: it["value"])
    assert f"The best is trial {best['number']}, with val_accuracy {best['value']:.4f}" in page.text


def test_the_history_has_each_trial_and_the_best_so_far(page):
    rows = thirty_trials()
    history = named(page.figures["history"])
    complete = [it for it in rows if it["state"] == "complete"]
    assert history["complete"]["x"] == [it["number"] for it in complete]
    assert history["complete"]["y"] == [it["value"] for it in complete]
    line = history["best so far"]
    assert line["y"] == sorted(line["y"])
    assert line["y"][-1] == max(it["value"] for it in complete)
    assert len(history["pruned"]["x"]) == sum(it["state"] == "pruned" for it in rows)


def test_each_value_has_its_slice_on_the_scale_that_it_is_drawn_on(page):
    figures = page.figures
    scales = {name: figure["layout"]["xaxis"] for name, figure in slices(figures).items()}
    assert set(scales) == {"optimizer.η", "optimizer.β1", "data.batch_size", "model.hidden"}
    assert scales["optimizer.η"]["type"] == "log"
    assert "type" not in scales["optimizer.β1"]
    assert scales["data.batch_size"]["ticktext"] == ["16", "32"]
    assert scales["model.hidden"]["ticktext"] == ["[32]", "[64, 64]"]
    drawn = sum(len(trace["x"]) for trace in figures["slice-1"]["data"])
    assert drawn == 29, "all but the one that failed"


def test_parallel_coordinates_and_curves_have_a_line_for_each_trial(page):
    figures = page.figures
    lines = [point for trace in figures["parallel"]["data"] for point in [*trace["y"], None]]
    assert lines.count(None) >= 29
    assert axis_names(figures["parallel"])[-1] == "val_accuracy"
    assert all(it is None or 0 <= it <= 1 for it in lines)
    curves = named(figures["curves"])
    assert [it for it in curves["best"]["y"] if it is not None] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert {"pruned", "complete", "failed", "best"} == set(curves)
    assert sum(len([it for it in trace["x"] if it == 1]) for trace in curves.values()) == 30


def test_every_trial_is_in_the_table_with_its_error(page):
    assert page.source.count("<tr data-state=") == 30
    assert page.source.count('data-state="failed"') == 1
    assert "it diverged" in page.text
    assert page.source.count('class="best"') == 1
    assert "Failed trials" in page.text


def test_what_pruning_saved_is_told(report):
    rows = thirty_trials()
    pruned = [it for it in rows if it["state"] == "pruned"]
    spent = sum(it["seconds"] for it in rows)
    saved = len(pruned) * 0.2
    assert (
        f"Pruning ended {len(pruned)} trials early and saved about {saved / (saved + spent):.0%} of the "
        in report(write_sweep(rows)).text
    )


def test_two_objectives_have_a_front(report):
    rows = [row(it, value=[0.1 * it, float(100 * (it % 4))], **{"optimizer.η": 0.001 * (it + 1)}) for it in range(8)]
    text = BASE.replace("{maximize: val_accuracy}", "[{maximize: val_accuracy}, {minimize: parameters}]")
    page = report(write_sweep(rows, text, objectives=(("val_accuracy", True), ("parameters", False))))
    front = named(page.figures["front"])["on the front"]
    assert list(zip(front["x"], front["y"], strict=True)) == [
        (pytest.approx(0.4), 0), (pytest.approx(0.5), 100), (pytest.approx(0.6), 200), (pytest.approx(0.7), 300),
    ]  # fmt: skip
    assert "On the Pareto front: trials 4, 5, 6, 7." in page.text
    assert page.figures.keys() >= {"history-1", "history-2", "parallel"}


def test_choices_with_values_of_their_own_are_kept_apart(report):
    figures = report(conditional_sweep()).figures
    assert axis_names(figures["parallel"]) == [
        "optimizer", "optimizer[sgd].μ", "optimizer[adam].β1", "val_accuracy",
    ]  # fmt: skip
    assert sum(len(trace["x"]) for trace in figures["choice-1-2"]["data"]) == 10
    assert "optimizer[adam].β1" in figures["importance"]["data"][0]["y"]


def test_without_a_file_that_can_be_read_scales_are_guessed(report):
    page = report(write_sweep(thirty_trials(), "sweep: {search: {gone.η: {of: [another, version]}}}"))
    assert page.figures["slice-1"]["layout"]["xaxis"]["type"] == "log"
    assert page.figures.keys() >= {"importance", "parallel", "curves", "slice-4"}


def test_guessed_choices_are_told_without_what_is_searched_inside():
    rows = [
        {"number": 0, "params": {"optimizer": {"kind": "sgd", "μ": 0.5}, "optimizer.μ": 0.5}},
        {"number": 1, "params": {"optimizer": {"kind": "adam", "η": 0.1}}},
    ]
    kind, momentum = inferred_dimensions(rows)
    assert kind.values == {0: "sgd", 1: "{kind: adam, η: 0.1}"}
    assert momentum.values == {0: 0.5}


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_sweep_that_has_only_begun(number, report):
    page = report(write_sweep(thirty_trials()[:number], total=30))
    assert "<code>mxtrain resume made</code>" in page.source
    assert "importance" not in page.figures
    assert (f"{number} of 30 trials have ended" in page.text) == (number > 0)


def test_a_sweep_in_which_all_fails(report):
    rows = [row(it, "failed", None, "no", 0, **{"optimizer.η": 0.1 * (it + 1)}) for it in range(12)]
    page = report(write_sweep(rows))
    assert "12 trials: 12 failed. None is complete." in page.text
    assert page.figures == {}


def test_values_that_are_all_alike_matter_to_nobody(report):
    rows = [row(it, value=0.5, **{"optimizer.η": 0.1, "optimizer.β1": 0.5 + it / 100}) for it in range(20)]
    page = report(write_sweep(rows))
    assert "slice-2" not in page.figures


def test_a_few_numbers_that_are_drawn_again_and_again_are_a_choice(report):
    rows = thirty_trials()
    page = report(write_sweep(rows, "no sweep"))
    assert page.figures["importance"]["data"][0]["y"][0] == "optimizer.η"


def test_failures_that_are_alike_are_told_once(report):
    rows = thirty_trials()
    for each in rows[10:14]:
        each |= {"state": "failed", "value": None, "error": f"loss is nan in epoch {each['number']}"}
    page = report(write_sweep(rows))
    assert "trials 10, 11, 12, 13 loss is nan in epoch 10" in page.text.replace("13loss", "13 loss")
    assert page.text.count("it diverged") == 2, "there, and in the table"


def test_several_seeds_show_their_spread(report):
    rows = thirty_trials()
    for each in rows:
        if each["state"] == "complete":
            each |= {"spread": 0.0123, "values_by_seed": [0.1, 0.1174]}
    page = report(write_sweep(rows))
    assert "± 0.0123 over the seeds" in page.text
    assert "that of its first seed" in page.text


def test_what_would_be_markup_is_text(report):
    rows = thirty_trials()
    rows[9]["error"] = "</script><script>alert(1)</script>"
    for each in rows:
        each["drawn"]["model.hidden"] = each["params"]["model.hidden"] = "<img src=x onerror=alert(2)>" * (
            each["number"] % 2
        )
    page = report(write_sweep(rows, "# <script>alert(3)</script>"))
    assert page.tags.count("script") == len(page.figures) + 2
    assert "img" not in page.tags
    assert "alert(1)" in page.text
    assert "alert(3)" in page.text
    assert "<script>alert" not in page.source
    assert "<img" not in page.source


def test_long_sweeps_have_figures_of_bounded_size(report):
    rows = [row(it, value=it % 97 / 100, epochs=400, **{"optimizer.η": 1e-4 * (1 + it % 89)}) for it in range(300)]
    figures = report(write_sweep(rows)).figures
    assert sum(len(trace["x"]) for trace in figures["curves"]["data"]) < 60_000


def test_a_real_sweep_is_reported(report):
    text = (
        re.sub(r"    optimizer.β1.*\n", "", BASE).replace("trials: 30", "trials: 3").replace("epochs: 4", "epochs: 2")
    )
    Path("sweep.yaml").write_text(text, encoding="utf-8")
    result = mxtrain.sweep("sweep.yaml", run_dir="real", workers=1)
    page = report("real")
    assert f"The best is trial {result.best['number']}" in page.text
    assert "mxtrain fit real/best.yaml" in page.text
    assert page.figures.keys() >= {"history", "parallel", "curves", "slice-1"}
    shutil.move("real", "moved")
    assert "curves" in report("moved").figures, "runs are found where the folder is now"
    assert main(["resume", "moved", "-q"]) == 0


def test_a_sweep_without_results_is_one_line(capsys):
    Path("empty").mkdir()
    Path("empty/sweep.yaml").write_text(BASE, encoding="utf-8")
    assert main(["report", "empty"]) == 2
    assert "there is no sweep in" in capsys.readouterr().err


def test_the_summary_is_plain():
    sweep = read_sweep_data(write_sweep(thirty_trials()))
    first, mattered, saved = summary(sweep, [{"optimizer.η": 0.97, "optimizer.β1": 0.03}])
    assert first.startswith("30 trials: ")
    assert mattered == (
        "For val_accuracy, optimizer.η mattered most, with 97% of the importance; nothing else mattered much."
    )
    assert saved.startswith("Pruning ended")


def test_lines_of_a_conditional_sweep_have_no_gaps(report):
    figure = report(conditional_sweep()).figures["parallel"]
    axes = len(figure["layout"]["xaxis"]["ticktext"])
    for trace in figure["data"]:
        assert trace["y"].count(None) == len(trace["y"]) // (axes + 1), "only between trials"
    best = named(figure)["best"]
    assert best["line"]["width"] > 2 * named(figure)["complete, best quarter"]["line"]["width"]
    assert 0.0 in best["y"]
    assert [it["text"] for it in figure["layout"]["annotations"]].count("not used") == 2


def test_the_importance_of_a_choice_includes_the_values_inside(report):
    page = report(conditional_sweep())
    shares = importances(read_sweep_data(Path("made")))
    total = sum(share for name, share in shares.items() if name.startswith("optimizer"))
    assert f"{total:.0%} (alone {shares['optimizer']:.0%})" in page.text
    assert "Hyperparameters inside of optimizer have their own bars" in page.text


def test_the_two_most_important_numbers_are_plotted_by_rank(page):
    [points] = page.figures["rank"]["data"]
    colors = points["marker"]["color"]
    assert len(points["x"]) == len(colors) == 30
    assert colors == sorted(colors, reverse=True), "the best is in front"
    best = max(trial["value"] for trial in thirty_trials() if trial["state"] == "complete")
    assert f"val_accuracy {best:.4f}" in points["text"][-1]
    assert [text for text in points["text"] if "trial 9, failed" in text]
    assert points["marker"]["colorbar"]["ticktext"] == ["best", "pruned or failed"]


def test_each_state_has_one_color_in_all_charts(page):
    colors = {}
    for key in ("history", "curves", "parallel", "slice-1"):
        for trace in page.figures[key]["data"]:
            color = (trace["marker"] if trace["mode"] == "markers" else trace["line"])["color"]
            colors.setdefault(trace["name"].partition(",")[0], set()).add(color)
    colors["best"] |= colors.pop("best so far")
    assert colors.keys() == {"best", "complete", "pruned", "failed"}
    assert [len(found) for found in colors.values()] == [1] * 4, colors
    assert len(set.union(*colors.values())) == 4


def test_trials_of_one_epoch_are_visible_as_dots(report):
    rows = thirty_trials()
    for each in rows:
        if each["state"] == "pruned":
            each["epochs"] = 1 if each["number"] % 2 else 2
    pruned = [
        trace for trace in report(write_sweep(rows)).figures["curves"]["data"] if trace["legendgroup"] == "pruned"
    ]
    assert [(trace["mode"], trace["showlegend"]) for trace in pruned] == [("lines", True), ("markers", False)]
    assert len(pruned[1]["x"]) == sum(each["epochs"] == 1 for each in rows)


def test_no_line_runs_through_a_label_of_the_parallel_coordinates(report):
    figure = report(conditional_sweep()).figures["parallel"]
    assert all(label["bgcolor"] for label in figure["layout"]["annotations"])
    assert ".plot .annotation .bg { fill: var(--paper) !important; }" in Path("made/report.html").read_text("utf-8")
    numbers = [label["text"] for label in figure["layout"]["annotations"] if label["text"][0].isdigit()]
    assert numbers, numbers
    assert all(len(number) <= 5 for number in numbers), "round numbers"


def test_the_table_of_trials_is_one_line_a_trial_and_aligned(page):
    assert (
        '<th scope="col" class="number" aria-sort="ascending"><button type="button">trial</button></th>' in page.source
    )
    assert '<th scope="col" class="number"><button type="button">val_accuracy</button></th>' in page.source
    assert page.source.count('<th scope=row class="number"') == 30
    assert ".trials td { white-space: nowrap; }" in page.source


def test_rows_of_a_wide_table_have_the_names_of_its_columns(page):
    [table] = re.findall(r'<table role="table" class="stacked">(.*?)</table>', page.source, re.DOTALL)
    names = ["importance", "all trials", "best quarter", "best trial"]
    assert re.findall(r'data-column="(.*?)"', table) == names * 4
