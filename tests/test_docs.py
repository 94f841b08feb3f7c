"""Tests of the documentation: examples run, configs are valid, links and names exist, and tables match the code."""

import doctest
import re
import shlex
import shutil
import tomllib
import typing
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer.main

import mxtrain
from mxtrain.cli.main import app
from mxtrain.config import read_optimizer, read_run, read_sweep
from mxtrain.config.introspection import allowed_models
from mxtrain.names import ascii_names, display_name, normalize
from mxtrain.optim.ir import MatrixProgram, Program
from mxtrain.optim.rules import AGC, EMA, RULES, Lookahead
from mxtrain.optim.rules.wrappers import Box
from mxtrain.optim.schedules import LearningRateSchedule, learning_rate, momentum
from mxtrain.optim.schedules.base import Schedule
from mxtrain.types import Bounds, Monitor

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.relative_to(DOCS).parts),
]
WITH_FRAMEWORKS = ("pytorch", "jax")
"""Pages whose examples need PyTorch or JAX; tests/frameworks runs them."""
FRAMEWORK_MODULES = ("torch", "jax")
OPTIMIZERS, MXNET = DOCS / "optimizers.md", DOCS / "mxnet.md"
RATE_SCHEDULES = allowed_models(LearningRateSchedule)
SCHEDULES = (*RATE_SCHEDULES, momentum.Null, momentum.Fixed, momentum.Nadam)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """Return the fenced blocks of a language, each with its line number."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]


def tables(page: Path) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Yield the head and the rows of every table, as lists of cells."""
    for match in re.finditer(r"(?:^\|.*\|\n)+", page.read_text(encoding="utf-8"), re.MULTILINE):
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in match[0].splitlines()]
        yield lines[0], lines[2:]


def code(cell: str) -> list[str]:
    """Return the code spans of a text."""
    return re.findall(r"`([^`]*)`", cell)


def run_examples(page: Path) -> None:
    """Run the Python examples of a page, in one namespace, and compare their output."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for line, text in blocks(page, "python"):
        if ">>>" not in text:
            exec(compile("\n" * line + text, str(page), "exec"), names)
            continue
        example = doctest.DocTestParser().get_doctest(text, names, page.name, str(page), line)
        report: list[str] = []
        doctest.DocTestRunner(optionflags=FLAGS).run(example, out=report.append, clear_globs=False)
        assert not report, "".join(report)
        names = example.globs


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.stem not in WITH_FRAMEWORKS],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_python_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    run_examples(page)


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of every `mxtrain` command line in the shell examples of a page."""
    for language in ("sh", "console"):
        for _, text in blocks(page, language):
            for line in text.splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words[:1] == ["mxtrain"] and (language == "sh" or line.startswith("$ ")):
                    yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_of_examples_exist_with_their_options(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    application = typer.main.get_command(app)
    for name, *arguments in commands(page):
        command = application.get_command(typer.Context(application), name)  # type: ignore[attr-defined]
        assert command, name
        command.make_context(name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_extras_of_pip_commands_exist(page: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = re.findall(r"(?:mxtrain|\.)\[([a-z\d,]+)\]'", page.read_text(encoding="utf-8"))
    assert {extra for names in named for extra in names.split(",")} <= set(extras)


def test_the_readme_lists_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    [rows] = [rows for head, rows in tables(ROOT / "README.md") if head[-1] == "for"]
    assert {extra for row in rows for extra in code(row[0])} == set(extras)


@pytest.mark.parametrize("page", sorted((DOCS / "how-to").glob("*.md")), ids=lambda page: page.stem)
def test_complete_configs_of_guides_are_valid(page: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for line, text in blocks(page, "yaml"):
        if text.startswith("extends:"):
            path = tmp_path / "configs" / f"line_{line}.yaml"
            path.write_text(text, encoding="utf-8")
            assert (read_sweep if "\nsweep:" in text else read_run)(path)


def test_configs_in_the_readme_and_the_tutorial_are_the_files() -> None:
    for page in (ROOT / "README.md", DOCS / "tutorial.md"):
        for _, text in blocks(page, "yaml"):
            name = "sweep" if text.startswith("extends:") else "adam"
            _, _, content = (ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")
            assert text == content


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub forms them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_within_the_project_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            linked = page.parent / path if path else page
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


def test_every_public_name_is_in_the_reference() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    documented = set(re.findall(r"^\.\. auto\w+:: (\w+)", pages, re.MULTILINE))
    modules = {"learning_rate", "momentum"}
    assert documented >= set(mxtrain.__all__) - modules
    assert all(f"currentmodule:: mxtrain.{module}" in pages for module in modules)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_names_and_paths_in_code_spans_exist(page: Path) -> None:
    for span in code(re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)):
        if re.fullmatch(r"(mxtrain|tests|configs|docs)/[\w/.-]+", span) and "NAME" not in span and "_build" not in span:
            assert (ROOT / span).exists(), span
        if re.fullmatch(r"mxtrain(\.\w+)+", span) and span.split(".")[1] not in FRAMEWORK_MODULES:
            resolve(span)
        if re.fullmatch(r"(\w+/)*\w+\.py", span) and "NAME" not in span and not span.startswith("json"):
            assert any(any(ROOT.glob(pattern)) for pattern in (span, f"mxtrain/**/{span}", f"tests/**/{span}")), span


def test_sections_of_reports_exist() -> None:
    reports = ROOT / "mxtrain" / "reports"
    source = "".join(path.read_text(encoding="utf-8") for path in (*reports.rglob("*.html"), *reports.glob("*.py")))
    sections = [rows for head, rows in tables(DOCS / "reports.md") if head == ["Section", "Contents"]]
    assert len(sections) == 2
    for name in (row[0] for rows in sections for row in rows if row[0] != "head"):
        assert f"<h2>{name}</h2>" in source or f'"{name}": ' in source, name


def test_every_environment_variable_is_documented() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "mxtrain").rglob("*.py"))
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    read = set(re.findall(r"environ(?:\.get\(|\[)\"(MXTRAIN_\w+)\"", sources))
    assert read == set(re.findall(r"^\| `(MXTRAIN_\w+)` \|", page, re.MULTILINE))


def test_momentum_in_the_comment_of_the_sgd_config() -> None:
    path = ROOT / "configs" / "sgd.yaml"
    rule = read_optimizer(path)
    first, last = map(float, re.findall(r"\d\.\d+", path.read_text(encoding="utf-8").splitlines()[0]))
    assert rule.momentum_at(1) == pytest.approx(first, abs=0.005)
    assert rule.momentum_at(900) == pytest.approx(last, abs=0.005)


@pytest.mark.parametrize(("line", "text"), blocks(OPTIMIZERS, "yaml"))
def test_yaml_examples_are_optimizers(line: int, text: str, tmp_path: Path) -> None:
    path = tmp_path / "optimizer.yaml"
    path.write_text(text, encoding="utf-8")
    assert isinstance(read_optimizer(path), RULES)


def test_every_rule_has_a_yaml_example() -> None:
    shown = {kind for _, text in blocks(OPTIMIZERS, "yaml") for kind in re.findall(r"^kind: (\w+)", text, re.MULTILINE)}
    assert shown == {rule.model_fields["kind"].default for rule in RULES}


def test_costs_in_the_table_of_optimizers() -> None:
    """Slots and bytes are those of the programs with default settings; every rule is in one row."""
    [rows] = [rows for head, rows in tables(OPTIMIZERS) if head[0] == "family"]
    rules = {rule.model_fields["kind"].default: rule() for rule in RULES}
    assert sorted(kind for row in rows for kind in code(row[1])) == sorted(rules)
    for _, kinds, _, cost, _ in rows:
        for kind in code(kinds):
            _, named, text = cost.partition(f"`{kind}` ")
            stated = re.match(r"(\d|no) slots?, (\d+) bytes", text if named else cost)
            program = rules[kind].program()
            if isinstance(program, MatrixProgram):
                continue
            assert stated, kind
            passes = [program] if isinstance(program, Program) else [each.program for each in program.passes]
            moved = 4 * sum(len(each.read) + len(each.outputs) for each in passes)
            assert stated.groups() == (str(len(rules[kind].active_slots()) or "no"), str(moved)), kind


WRAPPERS: set[Any] = {AGC, Lookahead, EMA}
"""Settings of wrappers, which are mappings."""


def display_names(model: Any) -> set[str]:
    """Return the names of the fields of a model as the documentation prints them."""
    return set(map(display_name, model.model_fields))


def leaves(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and all its parts."""
    yield annotation
    for part in typing.get_args(annotation):
        yield from leaves(part)


def bounds(field: Any) -> str:
    """Return the bounds of a field as the documentation words them."""
    if field.annotation == Monitor:
        return "a reported metric, with or without the prefix `val_`"
    if typing.get_origin(field.annotation) is dict:
        return "a mapping"
    if field.annotation is bool:
        return "`true` or `false`"
    if typing.get_origin(field.annotation) is tuple and allowed_models(field.annotation):
        return "a list of schedules"
    if set(allowed_models(field.annotation)) & WRAPPERS:
        return "a mapping"
    if field.annotation == Box | None:
        return "`[low, high]`"
    if any(issubclass(model, learning_rate.RateSchedule) for model in allowed_models(field.annotation)):
        return "a schedule"
    parts = [*field.metadata, *leaves(field.annotation)]
    stated = [str(part) for part in parts if isinstance(part, Bounds)]
    if any(isinstance(part, type) and issubclass(part, mxtrain.Rule) for part in parts):
        return "a rule that is not a matrix rule"
    choices = [part for part in parts if isinstance(part, str)]
    kinds = [
        part.model_fields["kind"].default for part in parts if isinstance(part, type) and issubclass(part, Schedule)
    ]
    *first, last = [f"`{choice}`" for choice in kinds or choices] or [""]
    return stated[0] if stated else " or ".join([", ".join(first), last])


def default(field: Any) -> str:
    """Return the default of a field as the documentation writes it: a number, a word, `none` or `required`."""
    if field.is_required():
        return "required"
    if isinstance(field.default, bool):
        return str(field.default).lower()
    if isinstance(field.default, mxtrain.Rule):
        return f"{{kind: {field.default.kind}}}"
    if isinstance(field.default, tuple):
        return str(list(field.default))
    return "none" if field.default is None else normalize_default(str(field.default))


def normalize_default(cell: str) -> str:
    """Return a documented default in the form of `default`."""
    word = code(cell)[0] if code(cell) else cell
    return str(float(word)) if re.match(r"\d", word) else word


def documented_models() -> dict[Any, dict[str, tuple[str, str]]]:
    """Return the default and the bounds of each field of each model in docs/optimizers.md."""
    return {
        resolve(code(head[0])[0]): {code(row[0])[0]: (normalize_default(row[1]), row[2]) for row in rows}
        for head, rows in tables(OPTIMIZERS)
        if head[1:3] == ["default", "bounds"]
    }


def actual_fields(model: Any, names: typing.Container[str] | None = None) -> dict[str, tuple[str, str]]:
    """Return the default and the bounds of each field of a model."""
    return {
        display_name(name): (default(field), bounds(field))
        for name, field in model.model_fields.items()
        if name != "kind" and (names is None or name in names)
    }


def test_documented_defaults_and_bounds_match_the_models() -> None:
    documented = documented_models()
    shared: dict[Any, dict[str, Any]] = {}
    for base, family in ((mxtrain.Rule, RULES), (learning_rate.RateSchedule, RATE_SCHEDULES)):
        stated = documented.pop(base)
        assert stated == actual_fields(base, stated)
        shared |= dict.fromkeys(family, stated)
    assert set(documented) == {*RULES, *SCHEDULES, *WRAPPERS} - {momentum.Null, learning_rate.Fixed}
    for model in {*RULES, *SCHEDULES, *WRAPPERS}:
        # Some rules have a class variable in place of the fields decoupled and corrected.
        common = {name: cells for name, cells in shared.get(model, {}).items() if name in display_names(model)}
        assert common | documented.get(model, {}) == actual_fields(model), model


def test_documented_ascii_names_match_the_code() -> None:
    [rows] = [rows for head, rows in tables(OPTIMIZERS) if head == ["letter", "words"]]
    assert {code(letter)[0]: tuple(code(cell)) for letter, cell in rows} == {
        display_name(letter): ascii_names(letter) for letter in {normalize(code(row[0])[0]) for row in rows}
    }
    fields = {name for model in (*RULES, *SCHEDULES) for name in model.model_fields}
    assert {normalize(code(row[0])[0]) for row in rows} == {name for name in fields if ascii_names(name)}


def resolve(path: str) -> Any:
    """Import the object with a dotted name; raises AttributeError or ModuleNotFoundError if it does not exist."""
    package, *names = path.split(".")
    found = import_module(package)
    for name in names:
        found = getattr(found, name) if hasattr(found, name) else import_module(f"{found.__name__}.{name}")
    return found


def test_counterparts_of_mxnet_names_exist() -> None:
    columns = [[row[head.index("mxtrain")] for row in rows] for head, rows in tables(MXNET) if head[-1] != "mxtrain"]
    paths = [path for column in columns for cell in column for path in code(cell) if path.startswith("mxtrain.")]
    assert len(paths) > 30
    for path in paths:
        resolve(path)


def test_counterparts_of_mxnet_options_exist() -> None:
    fields = {name for model in (*RULES, *SCHEDULES) for name in model.model_fields}
    [rows] = [rows for head, rows in tables(MXNET) if head == ["stable", "latest", "mxtrain"]]
    for old, _, new in rows:
        assert {normalize(name) for name in code(new)} <= fields
        if "*" not in old and code(old):
            assert all(old_name in ascii_names(name) for old_name, name in zip(code(old), code(new), strict=True))
