"""Paths: `~` is the home folder, a URL is reported as one, and the folder of runs may be missing."""

from pathlib import Path

import pytest

from tests.cli.conftest import RUN

REMEDY = "is a URL, and only local files are read; download it, and name the file"


@pytest.fixture(autouse=True)
def home(folder, monkeypatch):
    (folder / "home").mkdir()
    monkeypatch.setenv("HOME", str(folder / "home"))
    return folder / "home"


def test_runs_without_a_runs_folder_names_the_command_that_creates_one(mxtrain):
    message = "there is no folder runs here; `mxtrain fit FILE` trains a run, `mxtrain runs DIR` lists those in DIR\n"
    assert mxtrain("runs") == (0, "", message)
    assert mxtrain("runs", "--json") == (0, "[]\n", message)
    assert mxtrain("runs", "other") == (2, "", "error: other: no such folder; name the folder that holds the runs\n")


@pytest.mark.parametrize(
    "url", ["https://example.org/data.csv", "s3://bucket/data.parquet", "gs://bucket/shards/", "file:///data.csv"]
)
def test_urls_are_reported_as_urls(mxtrain, url):
    Path("url.yaml").write_text(
        RUN.replace("digits", f"{url}, target: y").replace(", target: y" if url.endswith("/") else "\0", ""),
        encoding="utf-8",
    )
    status, _, err = mxtrain("validate", "url.yaml")
    assert (status, err.splitlines()[0]) == (2, f"url.yaml:1:16: data.source: {REMEDY}")
    status, _, err = mxtrain("fit", url.replace("csv", "yaml"))
    assert status == 2
    assert REMEDY in err
    Path("extended.yaml").write_text(f"extends: {url}\n", encoding="utf-8")
    status, _, err = mxtrain("validate", "extended.yaml")
    assert (status, err.splitlines()[0]) == (2, f"extended.yaml:1:10: extends: {REMEDY}")


def test_a_url_without_a_known_extension_is_reported_as_a_url(mxtrain):
    Path("url.yaml").write_text(RUN.replace("digits", "https://example.org/data"), encoding="utf-8")
    assert mxtrain("validate", "url.yaml").err.splitlines()[0] == f"url.yaml:1:16: data.source: {REMEDY}"


def test_a_tilde_is_the_home_folder_in_every_command(mxtrain, home):
    (home / "data.csv").write_text("a,y\n" + "".join(f"{i},{2 * i}\n" for i in range(40)))
    text = RUN.replace("digits", "~/data.csv, target: y").replace("softmax_cross_entropy", "squared_error")
    (home / "run.yaml").write_text(text.replace(", metrics: [accuracy]", ""), encoding="utf-8")
    Path("own.yaml").write_text("extends: ~/run.yaml\n")
    for arguments in (
        ("validate", "~/run.yaml"),
        ("validate", "own.yaml"),
        ("fit", "~/run.yaml", "-q", "--run-dir=~/runs/a"),
        ("runs", "~/runs"),
        ("evaluate", "~/runs/a", "~/data.csv"),
        ("predict", "~/runs/a", "~/data.csv", "-o", "~/out.csv"),
        ("resume", "~/runs/a", "-q"),
    ):
        assert mxtrain(*arguments).status == 0, arguments
    assert (home / "out.csv").is_file()
    assert (home / "runs/a/config.yaml").is_file()
    assert not Path("~").exists()


def test_the_help_of_resume_gives_an_example_that_works(mxtrain):
    out = mxtrain("resume", "--help").out
    assert "fit.epochs=40" in out
    assert "optimizer.η" not in out
    mxtrain("fit", "run.yaml", "-q", "--run-dir", "r")
    assert mxtrain("resume", "r", "-q", "--set", "fit.epochs=3").status == 0


def test_runs_with_different_rules_show_only_chosen_settings(mxtrain):
    for i, optimizer in enumerate(("{kind: adam, η: 0.01}", "{kind: sgd, η: 0.02, μ: 0.9}", "{kind: adam, η: 0.01}")):
        Path("rule.yaml").write_text(RUN.replace("{kind: adam, η: 0.01}", optimizer), encoding="utf-8")
        mxtrain("fit", "rule.yaml", "-q", "--run-dir", f"runs/{i}")
    rows = mxtrain("runs").out.splitlines()
    shown = [row.partition("optimizer.")[2] for row in rows[1:]]
    adam, sgd = "kind=adam, optimizer.η=0.01", "kind=sgd, optimizer.η=0.02, optimizer.μ=0.9"
    assert shown == [adam, sgd, adam]


def test_a_url_is_not_a_folder_of_runs(mxtrain):
    status, out, err = mxtrain("runs", "https://example.org/runs")
    assert (status, out) == (2, "")
    assert "https://example.org/runs is a URL, not a folder" in " ".join(err.split())
