"""The report of a sweep ranks the options of conditional parameters."""

import json
import shutil
from pathlib import Path

import pytest

import mxtrain
from mxtrain.cli.main import main
from tests.reports.test_sweep_report import BASE, conditional_sweep, named, slices


def with_seeds(folder, spread=0.01):
    """Give each trial of a sweep the values of three seeds, of which the runs of the best trials have files."""
    path = folder / "results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    for each in results["trials"]:
        each["values_by_seed"] = [each["value"] + it * spread for it in (-1, 0, 1)]
        run = folder / "trials" / f"{each['number']:04}"
        each["run_dir"] = f"{each['run_dir']}/seed-0"
        for seed in range(3):
            (run / f"seed-{seed}").mkdir()
            shutil.copy(run / "metrics.jsonl", run / f"seed-{seed}")
    path.write_text(json.dumps(results), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("spread", "within"), [(0.03, "yes"), (0.001, "no")])
def test_the_options_of_a_conditional_choice_are_ranked_with_their_spread(spread, within, report):
    page = report(with_seeds(conditional_sweep(), spread))
    assert "RankingValues of optimizer" in page.text.replace(" V", "V")
    assert f"adam0.4750 ± {spread:.4f}190.2500––sgd0.4500 ± {spread:.4f}180.22500.0250, 3 of 3 seeds{within}" in (
        page.text.replace(" ", "").replace("±", " ± ").replace(",3of3seeds", ", 3 of 3 seeds")
    )
    assert "not a test of significance" in page.text
    assert "about 29% of comparisons with 3 seeds, and this table makes 1 comparison." in page.text
    assert "Each choice has 10 trials." in page.text
    close = "within the spread over the seeds: sgd." if within == "yes" else "behind by more than the spread"
    assert close in page.text
    assert {trace["name"] for trace in page.figures["choice-1-curves"]["data"]} == {"adam", "sgd"}
    assert page.figures["choice-1"]["layout"]["yaxis"]["ticktext"] == ["adam", "sgd"]
    panels = [page.figures[f"choice-1-{i}"]["layout"] for i in (1, 2)]
    assert [panel["xaxis"]["title"]["text"] for panel in panels] == ["β1", "μ"]
    assert panels[0]["yaxis"]["range"] == panels[1]["yaxis"]["range"]
    assert not slices(page.figures).keys() & {"optimizer", "optimizer[adam].β1", "optimizer[sgd].μ"}
    assert {"choice-1.png", "choice-1-curves.png", "choice-1-2.png"} <= {
        path.name for path in Path("made/report").iterdir()
    }


def test_with_one_seed_no_difference_is_judged(report):
    page = report(conditional_sweep())
    assert "With one seed the spread is not known" in page.text
    assert "within the spread" not in page.text
    assert "3 of 3 seeds" not in page.text


def test_a_tiny_tournament(report, capsys):
    text = BASE[: BASE.index("  search:")].replace("optimizer: {kind: adam}\n", "").replace("epochs: 4", "epochs: 2")
    text += """\
  search:
    optimizer:
      choice:
        - {kind: sgd, η: {log: [1.0e-2, 1.0]}}
        - {kind: adam, η: {log: [1.0e-3, 1.0e-1]}}
  objective: {minimize: val_loss}
  sampler: {kind: random}
  stratify: optimizer
  trials: 4
  seeds: 2
"""
    Path("tiny.yaml").write_text(text, encoding="utf-8")
    result = mxtrain.sweep("tiny.yaml", run_dir="tiny", workers=1)
    assert [each["drawn"]["optimizer"] for each in result] == ["sgd", "adam"] * 2
    [ranking] = result.rankings
    entries = json.loads(Path("tiny/results.json").read_text(encoding="utf-8"))["rankings"]["optimizer"]
    assert [each["choice"] for each in entries] == [option.label for option in ranking.options]
    assert [(each["trials"], each["complete"]) for each in entries] == [(2, 2)] * 2
    assert entries[0]["best"] == result.best["number"]
    assert entries[1]["within_spread"] is ranking.options[1].comparison.is_within_spread
    page = report("tiny")
    assert page.figures["choice-1-1"]["layout"]["xaxis"]["type"] == "log"
    curve = named(page.figures["choice-1-curves"])[entries[0]["choice"]]
    assert curve["y"][-1] == pytest.approx(entries[0]["value"])
    capsys.readouterr()
    assert main(["sweep", "tiny", "--status"]) == 0
    shown = capsys.readouterr().out
    assert "best val_loss" in shown
    assert "no test of significance" in shown
