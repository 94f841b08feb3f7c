"""`mxtrain validate`: every problem of every file at once, each where it is written."""

from pathlib import Path

import pytest

from tests.cli.conftest import CONFIGS

BAD = "kind: adam\nβ2: 1.2\nlearning_rat: [bold]\n"


@pytest.fixture
def bad(folder: Path) -> Path:
    (folder / "bad.yaml").write_text(BAD, encoding="utf-8")
    return folder


def test_good_files_are_ok_on_stdout(mxtrain):
    files = [str(CONFIGS / f"{name}.yaml") for name in ("adam", "adam-wide", "regression")]
    assert mxtrain("validate", *files) == (0, "".join(f"{file}: ok\n" for file in files), "")


def test_an_optimizer_alone_is_a_config_too(mxtrain, folder):
    (folder / "optimizer.yaml").write_text("kind: sgd\nμ: 0.9\n", encoding="utf-8")
    assert mxtrain("validate", "optimizer.yaml") == (0, "optimizer.yaml: ok\n", "")
    assert mxtrain("validate", "optimizer.yaml", "--set", "μ=-1").status == 2


def test_good_and_bad_files_are_all_told(mxtrain, bad):
    status, out, err = mxtrain("validate", "bad.yaml", "run.yaml", "missing.yaml")
    assert (status, out) == (2, "run.yaml: ok\n")
    assert "bad.yaml:2:" in err
    assert "bad.yaml:3:" in err
    assert "missing.yaml: no such file" in err


def test_a_problem_is_its_place_what_is_wrong_and_the_line_with_a_caret(mxtrain, folder):
    (folder / "bad.yaml").write_text("kind: adam\nβ2: 1.2\n", encoding="utf-8")
    _, _, err = mxtrain("validate", "bad.yaml")
    assert err.splitlines() == [
        "bad.yaml:2:5: optimizer.β2: must be at least 0 and below 1, got 1.2",
        "    β2: 1.2",
        "        ^^^",
    ]


def test_what_a_user_wrote_is_never_taken_for_markup(mxtrain, bad):
    assert "    learning_rat: [bold]\n" in mxtrain("validate", "bad.yaml").err


def test_long_lines_are_not_wrapped(mxtrain, folder):
    (folder / "bad.yaml").write_text(f"kind: adam\n{'x' * 300}: 1\n", encoding="utf-8")
    assert len(mxtrain("validate", "bad.yaml").err.splitlines()) == 3


def test_set_is_laid_over_every_file(mxtrain):
    status, out, err = mxtrain("validate", "run.yaml", "run.yaml", "--set", "fit.epochs=many")
    assert (status, out) == (2, "")
    assert err.count("--set fit.epochs=many: fit.epochs: ") == 2


def test_files_that_a_config_names_must_exist(mxtrain, folder):
    text = (folder / "run.yaml").read_text(encoding="utf-8")
    source = "data: {source: missing.csv, target: y}"
    (folder / "table.yaml").write_text(
        text.replace("data: {source: digits, validation: 0.2}", source), encoding="utf-8"
    )
    (folder / "child.yaml").write_text("extends: missing.yaml\n", encoding="utf-8")
    status, out, err = mxtrain("validate", "table.yaml", "child.yaml")
    assert (status, out) == (2, "")
    assert "table.yaml:1:16: data.source: no such file" in err
    assert "child.yaml:1:10: extends: missing.yaml: no such file" in err
