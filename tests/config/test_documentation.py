"""`docs/configuration.md` matches the code."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from mxtrain.config import MODELS, DataConfig, FitConfig, RunConfig, read_run
from mxtrain.config.data_section import ColumnKind
from mxtrain.config.fit_section import CheckpointConfig, EarlyStopping
from mxtrain.config.introspection import allowed_models
from mxtrain.config.overrides import SetOption
from mxtrain.config.yaml.dump import to_yaml
from mxtrain.config.yaml.merge import MAX_CHAIN
from mxtrain.config.yaml.nodes import MAX_DEPTH, MAX_NODES
from mxtrain.config.yaml.parser import MAX_NUMBER
from mxtrain.config.yaml.source_text import MAX_BYTES, MAX_PROBLEMS
from mxtrain.errors import ConfigError
from mxtrain.loss_config import LOSS_CONFIGS, LOSS_NAMES
from mxtrain.names import LETTERS, normalize
from mxtrain.optim.rules import RULES
from mxtrain.optim.schedules import LearningRateSchedule, learning_rate, momentum
from mxtrain.types import METRIC_INFO, Config

PAGE, TRAINING = (
    (Path(__file__).parents[2] / f"docs/{name}.md").read_text(encoding="utf-8")
    for name in ("configuration", "training")
)


def _rows(first_cell: str, heading: str = "") -> list[list[str]]:
    """Return the rows of the first table with this first cell after a heading."""
    page = PAGE.partition(f"\n{heading}\n")[2] if heading else PAGE
    table = re.search(rf"^\| {first_cell} \|.*\n\|[- |]*\|\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert table
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table[1].splitlines()]


def _section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _lines(config: Config, *without: str) -> set[str]:
    """Return the fields of a config as `field: value`."""
    return {line for line in to_yaml(config).splitlines() if line.split(":")[0] not in {"kind", *without}}


PARTS = {
    "data": DataConfig,
    "fit": FitConfig,
    "fit.checkpoint": CheckpointConfig,
    "fit.early_stopping": EarlyStopping,
}


@pytest.mark.parametrize(("title", "model"), PARTS.items())
def test_every_field_of_a_section_is_documented_with_its_default(title: str, model: type[Config]) -> None:
    section = PAGE.partition(f"### `{title}`\n")[2].partition("\n### ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))
    assert list(rows) == list(model.model_fields)
    config = model(**({"source": "digits"} if model is DataConfig else {}))
    stated = {
        f"{field}: {default.strip('`')}" for field, default in rows.items() if default not in ("required", "below")
    }
    hidden = {
        f"{name}: {'null' if (value := getattr(config, name)) is None else value}" for name in model.hidden_defaults
    }
    assert stated == hidden | {line for line in _lines(config, "source") if line[0] != " " and line[-1] != ":"}


def test_every_field_of_a_run_is_documented() -> None:
    section = PAGE.partition("### The run\n")[2].partition("\n### ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(RunConfig.model_fields)


def test_every_metric_is_documented() -> None:
    section = TRAINING.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(METRIC_INFO) - {"loss"}


def test_every_kind_of_column_is_documented() -> None:
    assert [row[0].strip("`") for row in _rows("Kind", "### Kinds of columns")] == list(get_args(ColumnKind))


def test_every_model_is_documented_with_its_defaults() -> None:
    section = PAGE.partition("### `model`\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(.*?)` \|", section, re.MULTILINE)
    for model in MODELS:
        config: Config = model()
        stated = {f"{field}: {default}" for name, field, default in rows if name == config.to_dict()["kind"]}
        assert stated == _lines(config)


def test_every_loss_is_documented_with_its_defaults() -> None:
    section = PAGE.partition("### `loss`\n")[2].partition("\n### ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) ?\|", section, re.MULTILINE))
    assert list(rows) == list(LOSS_NAMES)
    for loss in LOSS_CONFIGS:
        config = loss()  # type: ignore[call-arg]
        assert set(re.findall(r"`(.*?)`", rows[config.kind])) == _lines(config)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_documented_with_its_defaults(rule: type[Config]) -> None:
    config = rule()
    row = re.search(rf"^\| `{config.to_dict()['kind']}` \| (.*) \|$", PAGE, re.MULTILINE)
    assert row
    lines = {line for line in _lines(config, "clip", "scale", "η_sched", "groups") if line[0] != " "}
    if "otherwise:" in lines:  # a rule with its defaults
        otherwise = getattr(config, "otherwise")  # noqa: B009 - only some rules have it
        assert otherwise == type(otherwise)()
        lines = lines - {"otherwise:"} | {f"otherwise: {{kind: {otherwise.kind}}}"}
    assert set(re.findall(r"`(.*?)`", row[1])) == lines


@pytest.mark.parametrize(
    ("field", "schedule"),
    [("η_sched", model) for model in allowed_models(LearningRateSchedule)]
    + [("μ_sched", model) for model in (momentum.Null, momentum.Fixed, momentum.Nadam)],
)
def test_every_schedule_is_documented_with_its_defaults(field: str, schedule: type[Config]) -> None:
    required = [name for name, field in schedule.model_fields.items() if field.is_required()]
    lists = {"milestones": [1], "times": [1], "boundaries": [1], "parts": [{"kind": "fixed"}, {"kind": "fixed"}]}
    values = {"values": [1.0]} if "times" in required else {}
    config = schedule(**{name: lists.get(name, 1) for name in required}, **values)
    row = re.search(rf"^\| `{field}: {{kind: {config.to_dict()['kind']}}}` \| ?(.*?) ?\|", PAGE, re.MULTILINE)
    assert row
    shared = ("per", "warmup") if field == "η_sched" else ()
    required_rows = {f"{name}: required" for name in required}
    optional = {"values: null"} if values else set()
    lines = {line for line in _lines(config, *shared, *required, *values) if line[0] not in " -"}
    assert set(re.findall(r"`(.*?)`", row[1])) == lines | required_rows | optional


def test_common_fields_of_learning_rate_schedules_are_documented_with_their_defaults() -> None:
    row = re.search(r"^\| every `η_sched` \| (.*?) \|", PAGE, re.MULTILINE)
    assert row
    own = {name for model in allowed_models(LearningRateSchedule) for name in model.model_fields}
    without = own - {"per", "warmup"}
    assert set(re.findall(r"`(.*?)`", row[1])) == _lines(learning_rate.Fixed(), *without)


def test_every_ascii_name_is_documented() -> None:
    stated = {
        word: normalize(letter.strip("`"))
        for letter, words in _rows("Letter")
        for word in re.findall(r"`(.*?)`", words)
    }
    assert stated == LETTERS


def test_documented_limits_match_the_constants() -> None:
    limits = [row[1] for row in _rows("Limit")]
    assert limits == [
        f"{MAX_BYTES // 1024} KiB, a regular file",
        f"{MAX_NODES:,}",
        str(MAX_DEPTH),
        str(MAX_NUMBER),
        str(MAX_CHAIN),
        f"{MAX_PROBLEMS}, the rest are counted",
    ]


def test_the_first_example_is_a_run(here: Path) -> None:
    example = PAGE.split("```yaml\n")[1].split("```")[0]
    Path("run.yaml").write_text(example, encoding="utf-8")
    assert read_run("run.yaml").fit.epochs == 20


def test_documented_errors_match_the_messages(here: Path, write: Callable[..., str]) -> None:
    text = (
        "seed: 7\ndata: {source: digits, batch_size: 32}\nmodel: {kind: mlp, hidden: [64, 0]}\nloss: softmax\n"
        "optimizer:\n  kind: adam\n  β2: 1.2\n  beta4: 0.9\nfit: {epochs: ten}\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_run(write(text, "configs/adam.yaml"))
    shown = _section("Errors").split("```console\n")[1].split("```")[0]
    assert shown == f"$ mxtrain validate configs/adam.yaml\n{caught.value}\n"

    with pytest.raises(ConfigError) as caught:
        read_run(write("seed: 1"), [SetOption("optimizer.η=fast")])
    assert f"`{caught.value}`" in _section("Errors")
