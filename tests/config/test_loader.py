"""Reading of run files: names, encodings, and missing or unreadable files."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mxtrain.config import RunConfig, read_config, read_optimizer, read_run
from mxtrain.config.loader import build
from mxtrain.optim.rules import SGD, Adam
from mxtrain.optim.schedules.learning_rate import Exp
from tests.tables import OPTIMIZERS

ErrorLines = Callable[..., list[str]]
Write = Callable[..., str]

_RUN = "data: {source: digits}\nmodel: {kind: linear}\nloss: softmax_cross_entropy\noptimizer: {kind: sgd}\n"


def test_a_run_file_is_read_with_every_default(yaml_loader: str, write: Write) -> None:
    run = read_run(write("seed: 3\noptimizer: {kind: adam, lr: 1e-2, η_sched: {kind: exp, gamma: .5}}"))

    assert isinstance(run, RunConfig)
    assert (run.seed, run.backend, run.data.batch_size, run.fit.epochs) == (3, "auto", 32, 10)
    assert run.optimizer == Adam(η=0.01, η_sched=Exp(γ=0.5))


def test_letters_and_ascii_names_are_aliases(yaml_loader: str, write: Write) -> None:
    spellings = ["ϵ: 0.5", "ε: 0.5", "eps: 0.5", "epsilon: 0.5", "\N{GREEK LUNATE EPSILON SYMBOL}: 0.5"]
    for spelling in spellings:
        run = read_run(write(f"optimizer: {{kind: adam, {spelling}}}"))
        assert run.optimizer == Adam(ϵ=0.5)
    for spelling in ("μ: 0.9", "\N{MICRO SIGN}: 0.9", "momentum: 0.9", "mu: 0.9"):
        run = read_run(write(f"optimizer: {{kind: sgd, {spelling}}}"))
        assert run.optimizer == SGD(μ=0.9)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("adam.yaml", "adam"),
        ("adam-wide.v2.yaml", "adam-wide.v2"),
        ("my run (2).yaml", "my-run--2-"),
        (".hidden.yaml", "hidden"),
        ("βeta.yaml", "βeta"),
        ("---.yaml", "run"),
        ("x" * 200 + ".yaml", "x" * 100),
        ("m².yaml", "m-"),
    ],
)
def test_a_run_without_a_name_is_named_after_its_file(file: str, name: str, write: Write) -> None:
    assert read_run(write("seed: 1", file)).name == name
    assert read_run(write("name: own", file)).name == "own"


def test_common_encodings_and_line_breaks_are_read(here: Path, yaml_loader: str, error_lines: ErrorLines) -> None:
    plain = _RUN.encode()
    for content in (
        plain,
        b"\xef\xbb\xbf" + plain,
        plain.replace(b"\n", b"\r\n"),
        plain.replace(b"\n", b"\r"),
        plain[:-1],
    ):
        Path("run.yaml").write_bytes(content)
        assert read_run("run.yaml").optimizer == SGD()

    Path("run.yaml").write_bytes(b"\xef\xbb\xbf" + b"# \xce\xb7\r\nseed: -1\r\n" + plain)
    assert [line[:17] for line in error_lines(read_run, "run.yaml")] == ["run.yaml:2:7: see"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "run.yaml: the file is empty"),
        (b"\n\n# only a comment\n", "run.yaml: the file is empty"),
        (b"---\n...\n", "run.yaml: the file is empty"),
        (b"\xef\xbb\xbf", "run.yaml: the file is empty"),
        (b"null", "run.yaml:1:1: the file must hold a mapping, as in `seed: 1`, got null"),
        (b"- seed: 1", "run.yaml:1:1: the file must hold a mapping, as in `seed: 1`, got a list"),
        (b"# adam\nadam", "run.yaml:2:1: the file must hold a mapping, as in `seed: 1`, got 'adam'"),
        ("seed: 1".encode("utf-16"), "run.yaml: is UTF-16, must be UTF-8; save it as UTF-8"),
        ("seed: 1".encode("utf-16-be"), "run.yaml:1:1: the character U+0000 is not allowed here; remove it, or write an escape for it"),
        (b"seed: 1\nname: caf\xe9\n", "run.yaml:2:10: must be UTF-8, got the byte 0xe9; save it as UTF-8"),
        (b"name: \xce\xb7\xff", "run.yaml:1:8: must be UTF-8, got the byte 0xff; save it as UTF-8"),
        (b"name: a\x00b", "run.yaml:1:8: the character U+0000 is not allowed here; remove it, or write an escape for it"),
        (b"seed: 1\nname: '\x1b[31m'", "run.yaml:2:8: the character U+001B is not allowed here; remove it, or write an escape for it"),
        ("name: a\u2028b".encode(), "run.yaml:1:8: the character U+2028 is not allowed here; remove it, or write an escape for it"),
        ("name: a\ufeffb".encode(), "run.yaml:1:8: the character U+FEFF is not allowed here; remove it, or write an escape for it"),
    ],
)  # fmt: skip
def test_files_that_are_not_plain_utf8_are_rejected(
    content: bytes, message: str, here: Path, yaml_loader: str, error_lines: ErrorLines
) -> None:
    Path("run.yaml").write_bytes(content)
    assert error_lines(read_run, "run.yaml") == [message]


def test_a_missing_file_is_reported_as_typed(here: Path, error_lines: ErrorLines) -> None:
    Path("folder").mkdir()
    Path("file").touch()
    assert error_lines(read_run, "absent.yaml") == ["absent.yaml: no such file"]
    assert error_lines(read_run, Path("a/b.yaml")) == ["a/b.yaml: no such file"]
    assert error_lines(read_run, "file/run.yaml") == ["file/run.yaml: no such file"]
    assert error_lines(read_run, "./folder") == ["./folder: is a directory, must be a file"]
    Path("folder/config.yaml").touch()
    assert error_lines(read_run, "folder") == [
        "folder: is a directory, must be a file; did you mean folder/config.yaml?"
    ]
    assert error_lines(read_run, "a\0b") == ["a\\x00b: is not a valid file name"]
    assert error_lines(read_run, "a\x1b[2Jb") == ["a\\x1b[2Jb: no such file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to the administrator")
def test_an_unreadable_file_is_reported(write: Write, error_lines: ErrorLines) -> None:
    path = write("seed: 1")
    Path(path).chmod(0)
    assert error_lines(read_run, path) == ["run.yaml: cannot be read: Permission denied"]


def test_data_paths_are_relative_to_the_file_that_sets_them(here: Path, write: Write, error_lines: ErrorLines) -> None:
    data = Path("data/table.csv")
    data.parent.mkdir()
    data.write_text("x,y\n1,2\n")

    path = write("data: {source: ../data/table.csv, target: y}", "configs/run.yaml")
    assert Path(read_run(path).data.source).samefile(data)
    assert Path(read_run(path).data.source).is_absolute()

    path = write("data: {source: data/table.csv, target: y}", "configs/run.yaml")
    missing = here / "configs/data/table.csv"
    assert error_lines(read_run, path) == [f"configs/run.yaml:1:16: data.source: no such file: {missing}"]


def test_an_optimizer_is_read_from_its_own_file_or_from_a_run(
    yaml_loader: str, write: Write, error_lines: ErrorLines
) -> None:
    assert read_optimizer(write("kind: sgd\nlr: 0.5", complete=False)) == SGD(η=0.5)
    assert read_optimizer(write("optimizer: {kind: sgd, lr: 0.5}")) == SGD(η=0.5)

    assert error_lines(read_optimizer, write("kind: sgd\nlr: -1\nbta: 1", complete=False)) == [
        "run.yaml:2:5: optimizer.lr: must be above 0, got -1",
        "run.yaml:3:1: optimizer.bta: unknown field; did you mean eta?",
    ]
    assert error_lines(read_optimizer, write("η: 1", complete=False)) == [
        f"run.yaml:1:1: optimizer.kind: required; one of {OPTIMIZERS}"
    ]
    assert error_lines(read_optimizer, write("optimizer: {kind: sgd}\nfit: {epochs: 0}")) == [
        "run.yaml:2:15: fit.epochs: must be a whole number at least 1, got 0"
    ]


def test_read_run_rejects_a_file_with_only_an_optimizer(write: Write, error_lines: ErrorLines) -> None:
    alone = write("kind: adam\nη: 0.1\nβ9: 1\n", "optimizer.yaml", complete=False)
    assert error_lines(read_run, alone, ["fit.epochs=0"]) == [
        "optimizer.yaml: this file holds only an optimizer; a run file is needed, with data, model, loss, optimizer"
    ]


@pytest.mark.parametrize("name", ["adam", "Adam", "ADAM"])
def test_build_suggests_a_dict_for_the_name_of_a_rule(name: str, here: Path, error_lines: ErrorLines) -> None:
    assert error_lines(build, name) == [
        f'config: there is no file \'{name}\'; to build a rule by its name, pass {{"kind": "adam"}}'
    ]
    Path(name).write_text("kind: sgd\n")
    assert build(name).rule == SGD()


@pytest.mark.parametrize("name", ["lbfgs", "CG"])
def test_build_names_minimize_for_the_name_of_a_method(name: str, here: Path, error_lines: ErrorLines) -> None:
    kind = name.lower()
    assert error_lines(build, name) == [
        f"config: {kind} is a method of mxtrain.minimize; call mxtrain.minimize(fun, x0, '{kind}')"
    ]
    Path(name).write_text("kind: sgd\n")
    assert build(name).rule == SGD()


def test_paths_of_problems_are_the_same_in_an_optimizer_file_and_a_run(write: Write, error_lines: ErrorLines) -> None:
    path = write("kind: adam\nη: .inf\n1: 2\nβ1: !!int 1\nβ2: 2", complete=False)
    assert error_lines(read_optimizer, path) == [
        "run.yaml:2:4: optimizer.η: must be a finite number, got .inf",
        "run.yaml:3:1: optimizer: a key must be a string, got 1; put it in quotes",
        "run.yaml:4:5: optimizer.β1: tags are not supported; remove !!int",
        "run.yaml:5:5: optimizer.β2: must be at least 0 and below 1, got 2",
    ]


def test_read_config_applies_overrides_to_runs_and_optimizers(write: Write, error_lines: ErrorLines) -> None:
    run = read_config(write("seed: 1"), ["optimizer.η=0.25"])
    assert isinstance(run, RunConfig)
    assert run.optimizer == Adam(η=0.25)
    alone = write("kind: sgd", complete=False)
    assert read_config(alone, ["η=0.25"]) == SGD(η=0.25)
    assert error_lines(read_config, alone, ["η=-1"]) == ["overrides: η=-1: optimizer.η: must be above 0, got -1"]
