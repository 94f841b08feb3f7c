"""The report of a run shows what happened in it, whatever that was."""

import json
import shutil
from pathlib import Path

import pytest

import mxtrain
from mxtrain.cli.main import main
from mxtrain.reports.charts import POINTS
from mxtrain.training import StopRequest

PNG = b"\x89PNG"


def ys(figure, trace=0):
    return figure["data"][trace]["y"]


def test_the_curves_are_those_of_the_run(run, report):
    page = report(run(fit={"epochs": 4}))
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert page.figures.keys() >= {"loss", "accuracy", "eta", "gradient", "updates", "confusion"}
    assert ys(page.figures["loss"]) == [row["loss"] for row in rows]
    assert ys(page.figures["accuracy"], 1) == [row["val_accuracy"] for row in rows]
    assert ys(page.figures["eta"]) == [row["η"] for row in rows]
    assert ys(page.figures["gradient"]) == [row["diagnostics"]["grad_norm"] for row in rows]
    assert [trace["name"] for trace in page.figures["updates"]["data"]] == ["W1", "b1"]
    [label] = page.figures["loss"]["layout"]["annotations"]
    assert (label["text"], label["xanchor"]) == ("best epoch: 4", "right"), "it does not stick out at the end"
    assert "Trained for 4 epochs" in page.text
    for path in Path("run/report").iterdir():
        assert path.read_bytes().startswith(PNG)
    assert {path.stem for path in Path("run/report").iterdir()} == page.figures.keys()


def test_the_matrix_counts_each_sample_of_the_test_part(run, report):
    page = report(run())
    loaded = mxtrain.load_run("run")
    told = loaded.compare()
    [cells] = page.figures["confusion"]["data"]
    counts = [[int(cell.replace(",", "") or 0) for cell in row] for row in cells["text"]]
    assert sum(map(sum, counts)) == len(told.targets) == 359
    right = sum(counts[it][it] for it in range(10))
    assert right / 359 == pytest.approx(loaded.evaluate()["accuracy"])
    assert "Confusion matrix of the test part" in page.text
    assert all(sum(row) == pytest.approx(1) for row in cells["z"])


def test_numbers_have_residuals(run, report):
    page = report(
        run(data={"source": "diabetes"}, loss="squared_error", fit={"metrics": ["mae", "r2"]}, optimizer={"η": 1.0})
    )
    told = mxtrain.load_run("run").compare()
    assert page.figures["predictions"]["data"][0]["x"] == told.targets.tolist()
    assert page.figures["predictions"]["data"][0]["y"] == told.predicted.tolist()
    assert sum(ys(page.figures["residuals"])) == len(told.targets)
    mean = float((told.predicted - told.targets).mean())
    assert f"On average, predictions are {abs(mean):.4g} too {'low' if mean < 0 else 'high'}." in page.text
    assert "linear, bias true" in page.text, "as in YAML"
    assert "confusion" not in page.figures


def test_numbers_that_were_standardized_are_shown_in_their_own_unit(run, report):
    data = {"source": "diabetes", "standardize_target": True}
    page = report(run(data=data, loss="squared_error", fit={"metrics": ["mae", "r2"]}))
    told = mxtrain.load_run("run").compare()
    [true, predicted] = (page.figures["predictions"]["data"][0][axis] for axis in "xy")
    assert (true, predicted) == (told.targets.tolist(), told.predicted.tolist())
    assert 20 < min(true) < 100 < max(true) < 350
    assert all(abs(value - round(value)) < 1e-4 for value in true), "the table has whole numbers"
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert ys(page.figures["mae"], 1) == [row["val_mae"] for row in rows]
    assert rows[-1]["val_mae"] > 20
    assert 'standardize_target: true<span class="was">  # default: false</span>' in page.source


def test_one_epoch_is_enough(run, report):
    assert len(ys(report(run(fit={"epochs": 1})).figures["loss"])) == 1


def test_what_differs_from_its_default_is_marked(run, report):
    source = report(run(data={"batch_size": 200})).source
    marked = [line for line in source.splitlines() if 'class="line set"' in line]
    assert len(marked) == 1, "the config is one line of the source"
    assert 'batch_size: 200<span class="was">  # default: 32</span>' in source
    assert '<span class="line">  validation: 0.2</span>' in source
    assert '<span class="line">  scale: 0.005</span>' in source, "it follows from the batch size"


def test_a_run_that_failed_says_why(run, report):
    with pytest.raises(mxtrain.TrainingError):
        run(optimizer={"kind": "sgd", "η": 1e30})
    page = report("run")
    assert "Failed in its first epoch." in page.text
    assert "the run has diverged" in page.text
    assert "The run has no usable model" in page.text
    assert page.figures == {}
    assert not Path("run/report").exists()


def test_a_run_that_is_not_finished_shows_what_there_is(report):
    class Stop(mxtrain.Callback):
        def on_epoch(self, state, row):
            request.signal = 2

    request = StopRequest()
    config = {
        "data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
        "optimizer": {"kind": "adam"}, "fit": {"epochs": 5},
    }  # fmt: skip
    with pytest.raises(mxtrain.RunInterrupted):
        mxtrain.fit(config, run_dir="run", callbacks=[Stop()], stop=request)
    page = report("run")
    assert "Not finished: 1 of 5 epochs" in page.text
    assert "mxtrain resume run" in page.text
    assert page.figures.keys() >= {"loss", "confusion"}


def test_early_stopping_restores_an_epoch_that_is_named(run, report):
    stopping = {"monitor": "val_accuracy", "patience": 2}
    page = report(run(fit={"epochs": 60, "early_stopping": stopping}, optimizer={"η": 0.1}))
    loaded = mxtrain.load_run("run")
    assert f"Stopped early, after {len(loaded.history)} of 60 epochs" in page.text
    assert f"The model is that of epoch {loaded.epoch}." in page.text
    best = max(row["val_accuracy"] for row in loaded.history)
    assert f"Validation accuracy was best in epoch {loaded.epoch}: {best:.4f}" in page.text


def test_a_very_long_run_is_thinned_out_and_says_so(run, report):
    run()
    [*_, line] = Path("run/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    row = json.loads(line)
    with Path("run/metrics.jsonl").open("w", encoding="utf-8") as file:
        for epoch in range(1, 20_001):
            loss = 100.0 if epoch == 7777 else 1 / epoch
            file.write(json.dumps(row | {"epoch": epoch, "loss": loss}, ensure_ascii=False) + "\n")
    page = report("run")
    assert "Of 20,000 epochs, each curve shows" in page.text
    assert len(ys(page.figures["loss"])) <= POINTS + 2
    assert max(ys(page.figures["loss"])) == 100.0, "no peak is lost"
    assert page.figures["loss"]["data"][0]["x"][-1] == 20_000


def table(path, rows=40, names=("cat", "dog")):
    lines = [f"{it % 7},{it % 3},{names[it % 2]}" for it in range(rows)]
    Path(path).write_text("\n".join(["age,size,kind", *lines]), encoding="utf-8")


def test_data_that_are_gone_or_changed_are_told_of(run, report, capsys):
    table("pets.csv")
    run(data={"source": "pets.csv", "target": "kind", "test": 0.2, "batch_size": 8})
    assert "confusion" in report("run").figures
    table("pets.csv", rows=44)
    assert "are not those that the run was trained on" in report("run").text
    Path("pets.csv").unlink()
    page = report("run")
    assert "predictions cannot be shown" in page.text
    assert "predictions cannot be shown" in capsys.readouterr().err
    assert page.figures.keys() >= {"loss", "updates"}
    assert "confusion" not in page.figures


def test_damage_is_told_of(run, report):
    run()
    Path("run/model.safetensors").write_bytes(b"?")
    Path("run/environment.json").write_bytes(b"{")
    Path("run/timings.jsonl").write_bytes(b"{")
    assert "model.safetensors is damaged" in report("run").text


def test_what_would_be_markup_is_text(run, report):
    names = ("<script>alert(1)</script>", "<img src=x onerror=alert(2)>")
    table("pets.csv", names=names)
    run(data={"source": "pets.csv", "target": "kind", "test": 0.2, "batch_size": 8})
    Path("run/status.json").write_text(json.dumps({"state": "failed", "reason": "</div><script>alert(3)</script>"}))
    page = report("run")
    assert page.tags.count("script") == len(page.figures) + 2
    assert "img" not in page.tags
    assert "alert(3)" in page.text
    ticks = page.figures["confusion"]["layout"]["xaxis"]["ticktext"]
    assert all("<" not in tick for tick in ticks), "Plotly takes them for markup otherwise"
    assert "<script>alert" not in page.source


class Squares:
    """A custom model, of two parameters."""

    def shapes(self):
        return {"w": (10, 1)}

    def init(self, seed, dtype):
        import numpy as np

        return {"w": np.zeros((10, 1), dtype)}

    def predict(self, params, inputs):
        return inputs @ params["w"]

    def loss_and_grad(self, params, inputs, targets, grads):
        outputs = self.predict(params, inputs)
        error = outputs - targets[:, None]
        grads["w"][...] = inputs.T @ error
        return (error * error).sum() / 2, outputs


PLUGIN = "from tests.reports.test_run_report import Squares\ndef model(*_):\n    return Squares()\n"


def test_a_custom_model_is_handed_over(report, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(Path.cwd()))
    monkeypatch.delitem(__import__("sys").modules, "squares", raising=False)
    Path("squares.py").write_text(PLUGIN)
    Path("run.yaml").write_text(
        "{data: {source: diabetes}, model: {kind: custom}, loss: squared_error, optimizer: {kind: adam}}"
    )
    assert main(["fit", "run.yaml", "-q", "--run-dir", "run", "--plugin", "squares"]) == 0
    assert main(["report", "run"]) == 2
    assert "pass it with --plugin" in capsys.readouterr().err
    assert "predictions" in report("run", "--plugin", "squares").figures


def test_where_it_is_written_and_what_is_said(run, capsys):
    run()
    shutil.copytree("run", "other")
    assert main(["report", "run", "--json", "-o", "page.html"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["report"] == "page.html"
    assert sorted(told["pictures"]) == sorted(str(path) for path in Path("page").iterdir())
    assert not Path("run/report.html").exists()
    assert main(["report", "other"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "written to other/report.html, with 6 pictures in other/report\n")
    assert main(["resume", "other", "-q", "--set", "fit.epochs=4"]) == 0, "a report is in nobody's way"


def test_what_cannot_be_reported_is_one_line(run, capsys):
    assert main(["report", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: there is no run in nowhere")
    run()
    assert main(["report", "run", "-o", "nowhere/page.html"]) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["plotly", "matplotlib", "jinja2"])
def test_a_package_that_is_missing_is_one_line(package, run, capsys, monkeypatch):
    import sys

    run()
    for name in [*sys.modules]:
        if name.split(".")[0] == package or name.startswith("mxtrain.reports"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["report", "run"]) == 2
    remedy = f"error: no report is written: {package} is not installed; pip install 'mxtrain[report]'\n"
    assert capsys.readouterr().err == remedy
