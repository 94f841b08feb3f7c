"""`mxtrain predict`: kept columns, rows that cannot be predicted, standard input, and chunks."""

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import mxtrain as library
from mxtrain.data import prediction_chunks as chunks_module
from mxtrain.data.readers import table_files

PETS = "age,size,species\n" + "1,small,cat\n2,small,cat\n8,big,dog\n9,big,dog\n" * 15
RUN = """\
data: {source: pets.csv, target: species, missing: error, unseen: error}
model: {kind: linear}
loss: softmax_cross_entropy
optimizer: {kind: adam, η: 0.05}
fit: {epochs: 3}
"""


@pytest.fixture
def pets(mxtrain):
    Path("pets.csv").write_text(PETS)
    Path("pets.yaml").write_text(RUN, encoding="utf-8")
    assert mxtrain("fit", "pets.yaml", "--quiet", "--run-dir", "pets") == (0, "", "")
    return "pets"


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_kept_columns_come_first_with_their_original_text(mxtrain, pets):
    Path("new.csv").write_text('id,size,age,"a, note"\n007,small,1.50,x\n1e3,big,8,"say ""hi"", twice"\nNA,small,2,\n')
    status, out, err = mxtrain("predict", pets, "new.csv", "--keep", "id", "--keep", "a, note", "--keep", "age")
    assert (status, err) == (0, "")
    found = rows(out)
    assert list(found[0]) == ["id", "a, note", "age", "prediction", "probability_cat", "probability_dog"]
    assert [row["id"] for row in found] == ["007", "1e3", "NA"]
    assert [row["a, note"] for row in found] == ["x", 'say "hi", twice', ""]
    assert [row["age"] for row in found] == ["1.50", "8", "2"]
    assert [row["prediction"] for row in found] == library.load_run(pets).predict("new.csv").tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "out.parquet"), "error: out.parquet: predictions are written as CSV; name a file that ends in .csv with --output"),
        (("-o", "OUT.csv.gz"), "error: OUT.csv.gz: predictions are written as CSV; name a file that ends in .csv with --output"),
        (("--keep", "ids", "--keep", "x"), "error: new.csv:1: there are no columns 'ids', 'x'; there are: 'id', 'size', 'age'"),
        (("--keep", "idd"), "error: new.csv:1: there is no column 'idd'; did you mean 'id'?"),
        (("--keep", "prediction"), "Error: --keep: 'prediction' is the name of a column of predictions"),
        (("--keep", "probability_cat"), "Error: --keep: 'probability_cat' is the name of a column of predictions"),
        (("--keep", "id", "--keep", "id"), "Error: --keep: a column is named twice"),
    ],
)  # fmt: skip
def test_columns_and_files_that_do_not_suit_are_refused(arguments, message, mxtrain, pets):
    Path("new.csv").write_text("id,size,age\n7,small,1\n")
    status, out, err = mxtrain("predict", pets, "new.csv", *arguments)
    assert (status, out, err.splitlines()[-1]) == (2, "", message)


def test_arrays_have_no_columns_to_keep(mxtrain):
    mxtrain("fit", "run.yaml", "-q", "--run-dir", "run")
    status, out, err = mxtrain("predict", "run", "digits", "--keep", "id")
    message = "error: digits: has no columns to keep, which only a table has; leave out 'id'\n"
    assert (status, out, err) == (2, "", message)


BAD = "id,age,size\na,1,small\nb,x,small\nc,8\nd,8,huge\ne,,big\nf,9,big\ng,9,big,1\n"


def test_rows_that_cannot_be_predicted_are_reported_with_their_line_and_stay_empty(mxtrain, pets):
    Path("new.csv").write_text(BAD)
    status, out, err = mxtrain("predict", pets, "new.csv", "--keep", "id")
    assert status == 0
    found = rows(out)
    assert [row["prediction"] for row in found] == ["cat", "", "", "", "", "dog", ""]
    assert [row["probability_cat"] == "" for row in found] == [False, True, True, True, True, False, True]
    assert [row["id"] for row in found if row["id"]][:2] == ["a", "b"]
    lines = err.splitlines()
    for line, (number, part) in zip(
        lines[:-1],
        [
            (3, "got 'x'; correct it, or leave it blank if it is missing"),
            (4, "must have 3 values"),
            (5, "'huge' does not occur"),
            (6, "missing"),
            (8, "got 4"),
        ],
        strict=True,
    ):
        assert line.startswith(f"new.csv:{number}: ")
        assert part in line
    assert lines[-1] == "5 of 7 rows cannot be predicted and have an empty prediction"
    valid = "id,age,size\na,1,small\nf,9,big\n"
    Path("valid.csv").write_text(valid)
    assert [row for row in found if row["prediction"]] == rows(
        mxtrain("predict", pets, "valid.csv", "--keep", "id").out
    )


def test_strict_stops_at_a_row_that_cannot_be_predicted(mxtrain, pets):
    Path("out.csv").write_text("precious")
    for content, message in (
        (BAD, "new.csv:4: must have 3 values"),
        ("age,size\nx,big\n", "new.csv:2: column 'age': "),
    ):
        Path("new.csv").write_text(content)
        status, out, err = mxtrain("predict", pets, "new.csv", "--strict", "-o", "out.csv")
        assert (status, out) == (2, "")
        assert message in err
        assert Path("out.csv").read_text() == "precious"
        assert not list(Path().glob(".*"))


def test_the_problems_of_a_table_are_listed_one_a_line(mxtrain, pets):
    Path("new.csv").write_text("age,size\n1\n2,small,7\n")
    status, out, err = mxtrain("predict", pets, "new.csv", "--strict")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 2
    assert err.startswith("error: new.csv:2: must have 2 values")
    assert err.splitlines()[1].startswith("new.csv:3: must have 2 values")


def test_each_quantile_has_a_column(mxtrain):
    Path("prices.csv").write_text("age,price\n" + "".join(f"{i % 10},{3 * (i % 10) + i % 3}\n" for i in range(200)))
    settings = RUN.replace("pets.csv", "prices.csv").replace("species", "price")
    settings = settings.replace("softmax_cross_entropy", "{kind: quantile, q: [0.1, 0.5, 0.9]}")
    Path("prices.yaml").write_text(settings, encoding="utf-8")
    assert mxtrain("fit", "prices.yaml", "--quiet", "--run-dir", "prices").status == 0
    Path("new.csv").write_text("age\n3\nx\n7\n")
    found = rows(mxtrain("predict", "prices", "new.csv", "--keep", "age").out)
    assert list(found[0]) == ["age", "prediction_0.1", "prediction_0.5", "prediction_0.9"]
    run = library.load_run("prices")
    predicted = run.predict({"age": [3, 7]})
    assert (predicted.shape, run.prediction_names) == ((2, 3), ("0.1", "0.5", "0.9"))
    numbers = np.array([[float(row[f"prediction_{q}"]) for q in run.prediction_names] for row in found[::2]])
    assert (numbers.astype(predicted.dtype) == predicted).all()
    assert found[1] == {"age": "x", "prediction_0.1": "", "prediction_0.5": "", "prediction_0.9": ""}
    assert {"loss", "mae"} <= run.evaluate().keys()


def test_many_invalid_rows_are_counted(mxtrain, pets):
    Path("new.csv").write_text("age,size\n" + "x,big\n3,small\n" * 50)
    status, out, err = mxtrain("predict", pets, "new.csv")
    assert (status, len(rows(out)), len(err.splitlines())) == (0, 100, 21)
    last = "50 of 100 rows cannot be predicted and have an empty prediction; the first 20 are listed"
    assert err.splitlines()[-1] == last
    Path("new.csv").write_text("age,size\nx,big\n")
    status, out, err = mxtrain("predict", pets, "new.csv")
    assert (status, out.splitlines()[1:]) == (0, [",,"])
    assert err.splitlines()[-1] == "1 of 1 row cannot be predicted and have an empty prediction"


def test_standard_input_is_a_table(mxtrain, pets, monkeypatch):
    content = b"id,age,size\n1,1,small\n2,8,big\n3,x,big\n"
    Path("new.csv").write_bytes(content)
    expected = mxtrain("predict", pets, "new.csv", "--keep", "id")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    found = mxtrain("predict", pets, "-", "--keep", "id")
    assert (found.status, found.out) == (0, expected.out), found.err
    assert [row["prediction"] for row in rows(found.out)] == ["cat", "dog", ""]
    assert found.err == expected.err.replace("new.csv", "standard input")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"age,size\n")))
    assert mxtrain("predict", pets, "-") == (2, "", "error: standard input: has a header but no samples\n")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_chunks_give_what_the_whole_table_gives(suffix, mxtrain, pets, monkeypatch):
    import polars

    n = 60_000
    generator = np.random.default_rng(0)
    sizes = np.where(generator.random(n) < 0.5, "small", "big")
    padding = ["x" * 60] * n
    frame = polars.DataFrame({"age": generator.uniform(0, 10, n), "size": sizes, "id": np.arange(n), "note": padding})
    writers = {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}
    writers[suffix](f"new.{suffix}")
    monkeypatch.setattr(table_files, "_CHUNK_ROWS", 7_000)
    found = list(
        chunks_module.prediction_chunks(
            f"new.{suffix}", library.load_run(pets).preprocessing, library.load_run(pets).config.data, ["id"]
        )
    )
    assert len(found) > 1
    assert mxtrain("predict", pets, f"new.{suffix}", "--keep", "id", "-o", "out.csv") == (0, "", "")
    lines = rows(Path("out.csv").read_text())
    assert [row["id"] for row in lines] == [str(i) for i in range(n)]
    run = library.load_run(pets)
    expected = run.predict(frame.to_dict(as_series=False))
    assert [row["prediction"] for row in lines] == expected.tolist()
