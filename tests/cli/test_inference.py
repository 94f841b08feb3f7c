"""`mxtrain evaluate`, `mxtrain predict` and `mxtrain runs`."""

import csv
import errno
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

import mxtrain as library

PETS = "age,size,species\n" + '1,small,cat\n2,small,cat\n8,big,dog\n9,big,"dog, the"\n' * 15
TABLE = """\
data: {source: pets.csv, target: species, test: 0.2}
model: {kind: linear}
loss: softmax_cross_entropy
optimizer: {kind: adam, η: 0.05}
fit: {epochs: 3, metrics: [accuracy]}
"""


@pytest.fixture
def pets(mxtrain):
    """A run on a table with text labels and a categorical column."""
    Path("pets.csv").write_text(PETS)
    Path("pets.yaml").write_text(TABLE.replace("test: 0.2", "test: 0.2, unseen: error"), encoding="utf-8")
    assert mxtrain("fit", "pets.yaml", "--quiet", "--run-dir", "pets") == (0, "", "")
    return "pets"


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_evaluate_prints_the_validation_metrics(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet", "--run-dir", "run")
    last = json.loads(Path("run/metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    found = json.loads(mxtrain("evaluate", "run", "--json").out)
    assert list(found) == ["run_dir", "part", "epoch", "metrics", "classes", "averages", "confusion_matrix"]
    assert (found["run_dir"], found["part"], found["epoch"]) == ("run", "validation", 2)
    assert found["metrics"] == {"loss": last["val_loss"], "accuracy": last["val_accuracy"]}
    status, out, err = mxtrain("evaluate", "run")
    assert (status, err) == (0, "")
    assert [line.split() for line in out.splitlines()[:4]] == [
        ["epoch", "2", "validation"],
        ["loss", f"{last['val_loss']:.4f}"],
        ["accuracy", f"{last['val_accuracy']:.4f}"],
        [],
    ]


def test_evaluate_prints_a_confusion_matrix_and_a_table_by_class(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet", "--run-dir", "run")
    run = library.load_run("run")
    comparison = run.compare("validation")
    expected = confusion_matrix(comparison.targets, comparison.predicted)
    names = list(run.class_names)
    precision, recall, f1, support = precision_recall_fscore_support(comparison.targets, comparison.predicted)
    found = json.loads(mxtrain("evaluate", "run", "--json").out)
    assert found["confusion_matrix"] == expected.tolist()
    assert [row["class"] for row in found["classes"]] == names
    assert [row["precision"] for row in found["classes"]] == pytest.approx(precision, abs=1e-12)
    assert [row["support"] for row in found["classes"]] == support.tolist()
    assert found["averages"]["macro"]["f1"] == pytest.approx(f1.mean(), abs=1e-12)
    _, matrix, table = mxtrain("evaluate", "run").out.split("\n\n")
    assert [line.split() for line in matrix.splitlines()] == [
        ["class", *(word for name in names for word in ("as", name))],
        *([name, *map(str, row)] for name, row in zip(names, expected.tolist(), strict=True)),
    ]
    lines = [line.split() for line in table.splitlines()]
    assert lines[0] == ["class", "precision", "recall", "f1", "support"]
    assert lines[4] == ["3", f"{precision[3]:.4f}", f"{recall[3]:.4f}", f"{f1[3]:.4f}", str(support[3])]
    assert [line[:2] for line in lines[11:]] == [["macro", "mean"], ["weighted", "mean"]]


@pytest.mark.parametrize("k", [13, 21, 101])
def test_the_output_for_many_classes_is_cut(k, mxtrain):
    cells = "".join(f"{i * 7 % k},class {i % k:03}\n" for i in range(4 * k))
    Path("many.csv").write_text(f"x,kind\n{cells}")
    settings = TABLE.replace("pets.csv", "many.csv").replace("species", "kind")
    Path("many.yaml").write_text(settings, encoding="utf-8")
    assert mxtrain("fit", "many.yaml", "--quiet", "--run-dir", "many").status == 0
    _, confusions, table = mxtrain("evaluate", "many", "many.csv").out.split("\n\n")
    assert confusions.splitlines()[0].split() == ["class", "predicted", "as", "samples"]
    rows_of_classes = [line for line in table.splitlines() if line.startswith(("class 0", "class 1"))]
    assert len(rows_of_classes) == min(k, 20)
    assert ("with a higher f1, or without samples, left out; see --json" in table) == (k > 20)
    assert max(map(len, table.splitlines())) <= 80
    found = json.loads(mxtrain("evaluate", "many", "many.csv", "--json").out)
    assert len(found["classes"]) == k
    assert ("confusion_matrix" in found, "confusions" in found) == (k <= 100, k > 100)
    if k > 100:
        assert found["confusions"][0].keys() == {"class", "predicted", "samples"}
        errors = sum(row["samples"] for row in found["confusions"])
        assert errors == round((1 - found["metrics"]["accuracy"]) * 4 * k)


def test_a_narrow_terminal_gets_the_most_frequent_errors(mxtrain, monkeypatch):
    monkeypatch.setattr("mxtrain.cli.streams.PIPED_WIDTH", 40)
    mxtrain("fit", "run.yaml", "--quiet", "--run-dir", "run")
    _, confusions, table = mxtrain("evaluate", "run").out.split("\n\n")
    assert confusions.splitlines()[0].split() == ["class", "predicted", "as", "samples"]
    assert 1 < len(confusions.splitlines()) <= 12
    assert max(map(len, table.splitlines())) <= 60


def test_a_regression_has_no_confusion_matrix(mxtrain):
    numbers = ["--set", "data.source=diabetes", "--set", "loss=squared_error", "--set", "fit.metrics=[]"]
    mxtrain("fit", "run.yaml", "--quiet", "--run-dir", "run", *numbers)
    assert set(json.loads(mxtrain("evaluate", "run", "--json").out)) == {"run_dir", "part", "epoch", "metrics"}
    assert "class" not in mxtrain("evaluate", "run").out


def test_evaluate_uses_the_test_set_another_set_or_a_file(mxtrain, pets):
    run = library.load_run(pets)
    for arguments, where, metrics in (
        ((), {"part": "test"}, run.evaluate(part="test")),
        (("--part", "training"), {"part": "training"}, run.evaluate(part="training")),
        (("--data", "pets.csv"), {"data": "pets.csv"}, run.evaluate("pets.csv")),
        (("pets.csv",), {"data": "pets.csv"}, run.evaluate("pets.csv")),
    ):
        found = json.loads(mxtrain("evaluate", pets, "--json", *arguments).out)
        assert found.items() >= {"run_dir": pets, **where, "epoch": 3, "metrics": metrics}.items()
    assert mxtrain("evaluate", pets, "--data", "pets.csv", "--part", "test").status == 2
    assert mxtrain("evaluate", pets, "pets.csv", "--part", "test").status == 2
    assert mxtrain("evaluate", pets, "pets.csv", "--data", "pets.csv").status == 2


def test_predict_writes_a_row_for_each_row_with_names_and_probabilities(mxtrain, pets):
    Path("new.csv").write_text("size,age\nsmall,1\nbig,8\nsmall,2\n")
    assert mxtrain("predict", pets, "new.csv", "-o", "out.csv") == (0, "", "")
    text = Path("out.csv").read_text(encoding="utf-8")
    assert text.splitlines()[0] == 'prediction,probability_cat,probability_dog,"probability_dog, the"'
    run = library.load_run(pets)
    assert [row["prediction"] for row in rows(text)] == run.predict("new.csv").tolist()
    found = np.array([[float(row[f"probability_{name}"]) for name in run.class_names] for row in rows(text)], "f4")
    assert (found == run.probabilities("new.csv")).all()
    for arguments in ((), ("-o", "-")):
        assert mxtrain("predict", pets, "new.csv", *arguments) == (0, text, "")


@pytest.fixture
def rain(mxtrain):
    """A run of two classes, of which the second is rare."""
    generator = np.random.default_rng(0)
    humidity = generator.random(300)
    wet = humidity + generator.random(300) > 1.5
    lines = "".join(f"{h:.3f},{'yes' if w else 'no'}\n" for h, w in zip(humidity, wet, strict=True))
    Path("rain.csv").write_text(f"humidity,rain\n{lines}")
    settings = (
        TABLE.replace("pets.csv", "rain.csv").replace("species", "rain").replace("softmax_cross_entropy", "logistic")
    )
    Path("rain.yaml").write_text(settings, encoding="utf-8")
    assert mxtrain("fit", "rain.yaml", "--quiet", "--run-dir", "rain") == (0, "", "")
    return "rain"


def test_evaluate_and_predict_use_a_threshold(mxtrain, rain):
    run = library.load_run(rain)
    found = json.loads(mxtrain("evaluate", rain, "--threshold", "0.2", "--json").out)
    assert (found["threshold"], found["metrics"]) == (0.2, run.evaluate(threshold=0.2))
    assert mxtrain("evaluate", rain, "--threshold", "0.2").out.splitlines()[1].split() == ["threshold", "0.2000"]
    fitted = run.fit_threshold("f1")
    status, out, err = mxtrain("evaluate", rain, "--threshold", "f1", "--json")
    assert (status, json.loads(out)["threshold"]) == (0, fitted)
    assert err == f"threshold {fitted!r} maximizes f1 on the validation data\n"
    for text, number in (("0.2", 0.2), ("fitted", run.fit_threshold())):
        out = mxtrain("predict", rain, "rain.csv", "--threshold", text).out
        assert [row["prediction"] for row in rows(out)] == run.predict("rain.csv", threshold=number).tolist()
    for wrong in ("1.5", "nan", "f2"):
        status, out, err = mxtrain("predict", rain, "rain.csv", "--threshold", wrong)
        assert (status, out) == (2, "")
        assert "--threshold: must be" in err


def test_evaluate_reports_the_samples_that_missing_drop_leaves_out(mxtrain):
    Path("pets.csv").write_text(PETS + ",big,dog\n7,big,\n")
    Path("pets.yaml").write_text(TABLE.replace("test: 0.2", "missing: drop"), encoding="utf-8")
    assert mxtrain("fit", "pets.yaml", "--quiet", "--run-dir", "pets").status == 0
    status, out, err = mxtrain("evaluate", "pets", "pets.csv", "--json")
    assert (status, json.loads(out)["data"]) == (0, "pets.csv")
    assert err.splitlines() == [
        "pets.csv: left out 1 sample without the target 'species'",
        "pets.csv: left out 1 sample that lack a value (data.missing: drop)",
    ]


def test_predict_and_evaluate_use_the_original_unit_of_a_standardized_target(mxtrain):
    ages = np.arange(40) % 10
    lines = "\n".join(f"{age},{1e9 + 5 * age}" for age in ages)
    Path("prices.csv").write_text(f"age,price\n{lines}\n")
    Path("prices.yaml").write_text(
        "data: {source: prices.csv, target: price, standardize_target: true}\nmodel: {kind: linear}\n"
        "loss: squared_error\noptimizer: {kind: adam, η: 0.1}\nfit: {epochs: 60, metrics: [mae]}\n",
        encoding="utf-8",
    )
    assert mxtrain("fit", "prices.yaml", "--quiet", "--run-dir", "prices") == (0, "", "")
    Path("new.csv").write_text("age\n3\n12\n")
    found = [float(row["prediction"]) for row in rows(mxtrain("predict", "prices", "new.csv").out)]
    assert found == library.load_run("prices").predict("new.csv").tolist()
    assert [value - 1e9 for value in found] == pytest.approx([15, 60], abs=5)
    metrics = json.loads(mxtrain("evaluate", "prices", "--data", "prices.csv", "--json").out)["metrics"]
    predicted = library.load_run("prices").predict("prices.csv")
    assert metrics["mae"] == pytest.approx(np.abs(predicted - 1e9 - 5 * ages).mean(), rel=1e-3)


def test_predict_keeps_the_old_output_if_the_new_one_cannot_be_written(mxtrain, pets, monkeypatch):
    Path("out.csv").write_text("precious")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert mxtrain("predict", pets, "pets.csv", "-o", "out.csv") == (1, "", "error: out.csv: No space left on device\n")
    assert Path("out.csv").read_text() == "precious"
    assert not list(Path().glob(".*"))


def test_predict_does_not_overwrite_its_input(mxtrain, pets):
    before = Path("pets.csv").read_bytes()
    Path("link.csv").symlink_to("pets.csv")
    for output in ("pets.csv", "./pets.csv", "link.csv"):
        status, _, err = mxtrain("predict", pets, "pets.csv", "-o", output)
        assert (status, err) == (2, f"error: {output}: is the file to predict for; name another file with --output\n")
    assert Path("pets.csv").read_bytes() == before


def test_predict_writes_numbers_that_read_back_exactly(mxtrain):
    numbers = ["--set", "data.source=diabetes", "--set", "loss=squared_error", "--set", "fit.metrics=[]"]
    mxtrain("fit", "run.yaml", "--quiet", "--run-dir", "run", *numbers)
    found = rows(mxtrain("predict", "run", "diabetes").out)
    assert list(found[0]) == ["prediction"]
    expected = library.load_run("run").predict("diabetes")
    assert (np.array([row["prediction"] for row in found]).astype("f4") == expected).all()


def test_with_strict_an_invalid_input_is_one_line_and_keeps_the_old_output(mxtrain, pets):
    Path("new.csv").write_text("size,age\nsmall,1\nhuge,8\n")
    Path("out.csv").write_text("precious")
    status, out, err = mxtrain("predict", pets, "new.csv", "-o", "out.csv", "--strict")
    assert (status, out) == (2, "")
    assert err.startswith("error: new.csv:3: column 'size': the category 'huge' does not occur")
    assert len(err.splitlines()) == 1
    assert Path("out.csv").read_text() == "precious"


def test_an_output_that_cannot_be_written_is_one_line(mxtrain, pets):
    status, _, err = mxtrain("predict", pets, "pets.csv", "-o", "no/such/out.csv")
    assert (status, err) == (2, "error: no/such/out.csv: No such file or directory\n")


def test_an_unfinished_run_is_evaluated_with_a_note(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet", "--run-dir", "run")
    Path("run/status.json").unlink()
    Path("run/model.safetensors").unlink()
    status, _, err = mxtrain("evaluate", "run")
    assert (status, err) == (0, "the run is unfinished: this is its model after 2 of 2 epochs\n")


def test_runs_shows_differing_settings_and_states(mxtrain):
    for eta in ("0.1", "0.001"):
        mxtrain("fit", "run.yaml", "--quiet", "--set", f"optimizer.η={eta}")
    divergent = ["--set", "data.source=diabetes", "--set", "loss=squared_error", "--set", "fit.metrics=[]"]
    mxtrain(
        "fit", "run.yaml", "--quiet", *divergent, "--set", "optimizer={kind: sgd, η: 1e30}", "--run-dir", "runs/wild"
    )
    Path("runs/damaged").mkdir()
    Path("runs/damaged/config.yaml").write_text("seed: [")
    Path("runs/notes").mkdir()
    status, out, err = mxtrain("runs", "--json")
    first, second, third = json.loads(out)
    assert status == 0
    assert err.startswith("runs/damaged is damaged and was skipped: ")
    assert len(err.splitlines()) == 1
    assert [it["run_dir"] for it in (first, second, third)] == ["runs/run-1", "runs/run-2", "runs/wild"]
    assert [it["state"] for it in (first, second, third)] == ["finished", "finished", "failed"]
    assert "the run has diverged" in third["reason"]
    assert [it["differing"]["optimizer.η"] for it in (first, second, third)] == [0.1, 0.001, 1e30]
    assert "seed" not in first["differing"]
    assert first["metrics"].keys() == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert (first["epochs"], first["planned"], third["epochs"], third["metrics"]) == (2, 2, 0, {})
    table = mxtrain("runs").out.splitlines()
    assert table[0].split()[:3] == ["run", "state", "epochs"]
    assert table[0].split()[-2:] == ["differs", "in"]
    assert table[1].split()[:3] == ["run-1", "finished", "2/2"]
    assert "optimizer.η=0.1," in "".join(table)


def test_runs_differ_only_in_settings_that_were_chosen(mxtrain):
    for number, size in enumerate((16, 64)):
        chosen = [f"data.batch_size={size}", f"threads={number + 1}", f"optimizer.η={0.1 / (number + 3)}"]
        mxtrain("fit", "run.yaml", "--quiet", *(part for each in chosen for part in ("--set", each)))
    first, _ = json.loads(mxtrain("runs", "--json").out)
    assert first["differing"] == {"data.batch_size": 16, "optimizer.η": 0.1 / 3}
    assert mxtrain("runs").out.splitlines()[1].endswith("  data.batch_size=16, optimizer.η=0.0333333")
    mxtrain("fit", "run.yaml", "--quiet", "--set", "optimizer.scale=1")
    assert json.loads(mxtrain("runs", "--json").out)[2]["differing"]["optimizer.scale"] == 1


def test_runs_leave_out_the_formats_of_different_files(mxtrain):
    for name, separator in (("a", ","), ("b", ";")):
        lines = [
            separator.join(map(str, row)) for row in (["x", f"x{name}", "y"], *((i, i % 7, i % 3) for i in range(30)))
        ]
        Path(f"{name}.csv").write_text("\n".join(lines))
        data = f"data={{source: {name}.csv, target: y}}"
        assert mxtrain("fit", "run.yaml", "--quiet", "--set", data).status == 0
    assert json.loads(mxtrain("runs", "--json").out)[0]["differing"].keys() == {"data.source"}


def test_runs_on_a_narrow_terminal_uses_a_few_lines_for_each_run(mxtrain, monkeypatch):
    monkeypatch.setattr("mxtrain.cli.streams.PIPED_WIDTH", 80)
    for eta in ("0.1", "0.001"):
        chosen = ("--set", f"optimizer.η={eta}", "--run-dir", f"runs/a-rather-long-name-of-a-run-with-{eta}")
        mxtrain("fit", "run.yaml", "--quiet", *chosen)
    lines = mxtrain("runs").out.splitlines()
    assert lines[0] == "a-rather-long-name-of-a-run-with-0.1  finished 2/2"
    assert lines[1].startswith("  loss 0.")
    assert lines[2] == "  optimizer.η=0.1"
    assert len(lines) == 6


def test_runs_are_sorted_by_name_or_by_a_metric_best_first(mxtrain):
    for number in (1, 2, 10):
        mxtrain("fit", "run.yaml", "-q", "--run-dir", f"runs/run-{number}", "--set", f"optimizer.η={0.0001 * number}")
    by_name = [it["run_dir"] for it in json.loads(mxtrain("runs", "--json").out)]
    assert by_name == ["runs/run-1", "runs/run-2", "runs/run-10"]
    for metric in ("val_loss", "val_accuracy"):
        assert [it["run_dir"] for it in json.loads(mxtrain("runs", "--json", "--sort", metric).out)] == by_name[::-1]
    assert mxtrain("runs", "--sort", "f1").status == 2


def test_runs_in_a_folder_without_runs(mxtrain):
    Path("empty").mkdir()
    assert mxtrain("runs", "empty") == (0, "", "there are no runs in empty\n")
    assert mxtrain("runs", "empty", "--json").out == "[]\n"
    assert mxtrain("runs", "nowhere").status == 2


def test_several_targets_have_a_column_and_a_line_each(mxtrain):
    lines = [f"{i / 40},{i % 7},{int(i % 7 > 3)},{str(i > 20).lower()}" for i in range(40)]
    Path("t.csv").write_text("a,b,high,late\n" + "\n".join(lines) + "\n")
    for loss, target in (("logistic", ["high", "late"]), ("squared_error", ["high", "b"])):
        config = {"data": {"source": "t.csv", "target": target}, "loss": loss, "fit": {"epochs": 1}}
        library.fit(config | {"model": {"kind": "linear"}, "optimizer": {"kind": "adam"}}, run_dir=loss)
    header, *table = csv.reader(mxtrain("predict", "logistic", "t.csv", "--keep", "high").out.splitlines())
    assert header == ["high", "prediction_high", "prediction_late", "probability_high", "probability_late"]
    assert len(table) == 40
    assert all((row[1] in ("1", "True")) == (float(row[3]) > 0.5) for row in table)
    assert mxtrain("predict", "squared_error", "t.csv").out.splitlines()[0] == "prediction_high,prediction_b"
    shown = mxtrain("evaluate", "squared_error", "t.csv").out
    assert [line.split()[0] for line in shown.splitlines()[-2:]] == ["high", "b"]
    found = json.loads(mxtrain("evaluate", "logistic", "t.csv", "--json").out)
    assert list(found["targets"]) == ["high", "late"]
    assert found["targets"]["late"].keys() == found["metrics"].keys()
    assert mxtrain("validate", "logistic/config.yaml").out.count("one of 2 targets") == 2
