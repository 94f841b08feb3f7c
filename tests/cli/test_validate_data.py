"""`mxtrain validate` reads the data of a run, and config.yaml records what was found."""

import json
from pathlib import Path

import pytest
import yaml

RUN = """\
data: {source: wine.csv, target: grade, batch_size: 8}
model: {kind: linear}
loss: softmax_cross_entropy
optimizer: {kind: adam}
fit: {epochs: 2}
"""
ROWS = [f"{i};{i % 7 + 0.5};{['Nord', 'Süd'][i % 2]};{['low', 'high'][i % 2]}" for i in range(40)]


@pytest.fixture
def wine(folder):
    """A table with a decimal comma, in Windows-1252, and its run."""
    text = "\n".join([";acid;cellar;grade", *ROWS]).replace(".", ",")
    Path("wine.csv").write_bytes(text.encode("cp1252"))
    Path("wine.yaml").write_text(RUN)


def test_validate_prints_a_line_a_column(mxtrain, wine):
    status, out, err = mxtrain("validate", "wine.yaml")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["wine.yaml:", "ok"]
    assert lines[1] == [
        "40",
        "rows;",
        "samples:",
        "32",
        "training,",
        "8",
        "validation;",
        "3",
        "inputs",
        "of",
        "the",
        "model",
    ]
    assert lines[4][1:2] == ["index"]
    assert lines[5] == ["acid", "number", "0", "7", "0.5", "to", "6.5", "scaled"]
    assert lines[6] == ["cellar", "category", "0", "2", "Nord,", "Süd", "an", "input", "for", "each", "category"]
    assert lines[7] == ["grade", "category", "0", "2", "high,", "low", "target,", "2", "classes"]


def test_validate_prints_json(mxtrain, wine):
    summary = json.loads(mxtrain("validate", "wine.yaml", "--json").out)["wine.yaml"]
    assert (summary["rows"], summary["training"], summary["inputs"]) == (40, 32, 3)
    assert [column["kind"] for column in summary["columns"]] == ["index", "number", "category", "category"]


def test_validate_refuses_what_fit_refuses(mxtrain, wine):
    lines = Path("wine.csv").read_text("cp1252").splitlines()
    lines[20] = "19;strong;Nord;low"
    Path("wine.csv").write_text("\n".join(lines), "cp1252")
    settings = ("--set", "data.columns={acid: number}")
    checked = mxtrain("validate", "wine.yaml", *settings)
    trained = mxtrain("fit", "wine.yaml", *settings)
    assert checked.status == trained.status == 2
    assert checked.err == trained.err
    assert "wine.csv:21: column 'acid': must be a number, got 'strong'" in checked.err
    assert mxtrain("validate", "wine.yaml", *settings, "--no-data") == (0, "wine.yaml: ok\n", "")


def test_config_records_what_was_found_and_trains_the_same_run(mxtrain, wine):
    assert mxtrain("fit", "wine.yaml", "--run-dir", "first", "--set", "data.columns={acid: category}").status == 0
    data = yaml.safe_load(Path("first/config.yaml").read_text())["data"]
    assert list(data["columns"].values()) == ["index", "category", "category"]
    assert (data["separator"], data["decimal"], data["encoding"], data["header"]) == (";", ",", "cp1252", True)
    assert mxtrain("fit", "first/config.yaml", "--run-dir", "second").status == 0
    for name in ("config.yaml", "metrics.jsonl", "model.safetensors", "preprocessing.json"):
        assert Path("first", name).read_bytes() == Path("second", name).read_bytes()
    assert mxtrain("resume", "first", "--set", "fit.epochs=3").status == 0
    resumed = yaml.safe_load(Path("first/config.yaml").read_text())["data"]
    assert resumed == data


def test_run_of_an_earlier_version_is_continued_with_its_kinds(mxtrain, wine, monkeypatch):
    code = Path("wine.csv").read_text("cp1252").replace("\n", "\nW", 40).replace(";acid", "code;acid", 1)
    Path("wine.csv").write_text(code, "cp1252")  # an identifier, which was a category
    kinds = {"code": "category", "acid": "number", "cellar": "category"}
    settings = "--set", f"data.columns={json.dumps(kinds)}", "--set", "data.max_categories=1000"
    with monkeypatch.context() as patched:
        patched.setattr("mxtrain.training.loop.resolve_with_data", _without_columns)
        assert mxtrain("fit", "wine.yaml", "--run-dir", "old", *settings).status == 0
    assert yaml.safe_load(Path("old/config.yaml").read_text())["data"]["columns"] is None
    before = Path("old/preprocessing.json").read_bytes()
    assert b'"W3"' in before
    result = mxtrain("resume", "old", "--set", "fit.epochs=4")
    assert result.status == 0, result.err
    assert Path("old/preprocessing.json").read_bytes() == before
    assert yaml.safe_load(Path("old/config.yaml").read_text())["data"]["columns"] is None
    assert mxtrain("fit", "wine.yaml", "--run-dir", "new", *settings, "--set", "fit.epochs=4").status == 0
    assert Path("old/model.safetensors").read_bytes() == Path("new/model.safetensors").read_bytes()


def _without_columns(config, *_):
    """Return the config as earlier versions recorded it."""
    return config.model_copy(update={"data": config.data.model_copy(update={"columns": None})})


def _rows(row, n=30):
    return "w,a,y\n" + "".join(",".join(map(str, row(i))) + "\n" for i in range(n))


NUMBERS = _rows(lambda i: (1, i % 7, i % 5))
CLASSES = _rows(lambda i: (1, i % 7, "pq"[i % 2]))
LARGE = _rows(lambda i: (1, f"{i}e30", f"{i % 5}e30"))
SQUARED, CROSS_ENTROPY = {"loss": "squared_error"}, {"loss": "softmax_cross_entropy"}


@pytest.mark.parametrize(
    ("content", "data", "parts", "message"),
    [
        (NUMBERS, {}, {**SQUARED, "class_weight": "balanced"}, "class_weight"),
        (CLASSES, {}, {**CROSS_ENTROPY, "class_weight": {"p": 1}}, "class_weight: lacks the class 'q'; add {q: 1.0}"),
        (
            CLASSES,
            {},
            {**CROSS_ENTROPY, "class_weight": {"p": 1, "x": 2, "z": 3}},
            "class_weight.x: is not a class of the data; the classes are p, q\nclass_weight.z: is not a class",
        ),
        (
            _rows(lambda i: (int(i == 0), i % 7, i % 5)),
            {"weight": "w"},
            SQUARED,
            "data.weight: the weights of all validation samples are 0; use another seed, or other weights",
        ),
        (
            _rows(lambda i: (1e300 if i == 5 else 1e-300, i % 7, i % 5)),
            {"weight": "w"},
            SQUARED,
            "data.weight: the weights of all validation samples are 0; use another seed, or other weights",
        ),
        (
            LARGE,
            {"standardize": "none"},
            SQUARED,
            "'a' has values too large to compute with in float32; set dtype: float64",
        ),
        (
            LARGE,
            {"standardize_target": False},
            SQUARED,
            "'y' has values too large to compute with in float32; set dtype",
        ),
        (
            _rows(lambda i: (1, i % 7, f"{i}e300")),
            {},
            {"loss": "poisson"},
            "'y' has values too large to compute with in float32; scale it down",
        ),
        (
            NUMBERS,
            {"batch_size": 100, "last_batch": "drop"},
            SQUARED,
            "data.batch_size: must be at most 24, the number",
        ),
        (_rows(lambda i: (1, i % 7, i % 5), 3), {"validation": 0.01}, SQUARED, None),
        (_rows(lambda i: ("x", i % 7, i % 5)), {"groups": "w"}, SQUARED, "group"),
        (_rows(lambda i: (1, i % 7, "p")), {}, CROSS_ENTROPY, "class"),
        (_rows(lambda i: (1, i % 7, f"c{i}")), {}, CROSS_ENTROPY, "class"),
        (NUMBERS, {"target": "Y"}, SQUARED, "data.target: there is no column 'Y'; did you mean 'y'?"),
        (NUMBERS.replace("3,3", "3,1e400"), {}, SQUARED, "column 'y': must be a number, got '1e400'"),
        (NUMBERS.replace("3,3", "3,\0"), {}, SQUARED, "NUL byte"),
    ],
)
def test_validate_and_fit_refuse_the_same_data(mxtrain, folder, content, data, parts, message):
    Path("t.csv").write_text(content)
    config = {"data": {"source": "t.csv", "target": "y", **data}, "model": {"kind": "linear"}, "fit": {"epochs": 1}}
    Path("t.yaml").write_text(yaml.safe_dump({**config, "optimizer": {"kind": "sgd", "η": 0.01}, **parts}))
    validated, fitted = mxtrain("validate", "t.yaml"), mxtrain("fit", "t.yaml", "-q")
    assert (validated.status, fitted.status) == ((0, 0) if message is None else (2, 2))
    if message is not None:
        assert message in validated.err
        assert validated.err.splitlines()[-1] == fitted.err.splitlines()[-1]
