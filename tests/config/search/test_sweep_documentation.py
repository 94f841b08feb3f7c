"""`docs/sweeps.md` agrees with the code of the sweep section."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mxtrain.config import PRUNERS, SAMPLERS, SweepConfig, read_sweep, to_yaml
from mxtrain.config.search.distributions import KEYWORDS
from mxtrain.config.search.search_paths import why_not_searchable
from mxtrain.config.search.validation import ALL_COMBINATIONS, MAX_GRID
from mxtrain.errors import ConfigError
from mxtrain.types import Config

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")


def _lines(config: Config) -> list[str]:
    return [line for line in to_yaml(config).splitlines() if not line.startswith("kind:")]


def test_every_field_is_documented_with_its_default() -> None:
    table = PAGE.partition("| Field | Default | Values |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| `?(.*?)`? \|", table, re.MULTILINE))
    assert list(rows) == list(SweepConfig.model_fields)
    defaults = SweepConfig.model_validate({"objective": {"minimize": "val_loss"}}).to_dict()
    for name, stated in rows.items():
        match defaults[name]:
            case {"kind": kind}:
                assert stated == f"{{kind: {kind}}}"
            case value if name != "objective":
                assert stated == {None: "null"}.get(value, str(value))


@pytest.mark.parametrize("model", [*SAMPLERS, *PRUNERS], ids=lambda model: model.__name__)
def test_every_sampler_and_pruner_is_documented_with_its_defaults(model: type[Config]) -> None:
    config = model()
    row = re.search(rf"^\| `{config.to_dict()['kind']}` \| ?(.*?) ?\|", PAGE, re.MULTILINE)
    assert row
    assert re.findall(r"`(.*?)`", row[1]) == _lines(config)


def test_every_distribution_is_documented() -> None:
    table = PAGE.partition("| Written | Samples |")[2].partition("\n\n")[0]
    assert list(dict.fromkeys(re.findall(r"^\| `{(\w+):", table, re.MULTILINE))) == list(KEYWORDS)


def test_fields_documented_as_not_searchable_are_refused() -> None:
    sentence = PAGE.partition("Settings that do not affect results cannot be searched (")[2].partition(")")[0]
    paths = re.findall(r"`(.*?)`", sentence)
    assert len(paths) == 7
    assert all("changes no result" in str(why_not_searchable(tuple(path.split(".")))) for path in paths)


def test_the_documented_limits_are_those_of_the_code() -> None:
    assert f"all combinations up to {ALL_COMBINATIONS};" in PAGE
    assert f"up to {MAX_GRID:,}." in PAGE


def test_the_examples_are_valid_sweeps(here: Path, write: Callable[..., str]) -> None:
    shutil.copytree(ROOT / "configs", "configs")
    first, branches = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert first == (ROOT / "configs" / "sweep.yaml").read_text(encoding="utf-8").partition("\n")[2].replace(
        "# any run file", "# any run file; or write the whole run here"
    )
    branches += "  objective: {minimize: val_loss}\n  trials: 3\n"
    names = read_sweep(write(branches, "configs/branches.yaml")).space.names
    assert {"optimizer", "optimizer[sgd].μ", "optimizer[adam].β1"} <= set(names)


def test_the_documented_errors_are_those_of_the_code(here: Path) -> None:
    shutil.copytree(ROOT / "configs", "configs")
    text = Path("configs/sweep.yaml").read_text(encoding="utf-8")
    for old, new in (("1.0e-4", "0"), ("16, 32", "16, -32"), ("val_accuracy}  ", "val_r2}")):
        text = text.replace(old, new)
    Path("configs/sweep.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_sweep("configs/sweep.yaml")
    shown = PAGE.partition("```console\n$ mxtrain validate configs/sweep.yaml\n")[2].partition("```")[0]
    assert [line.strip() for line in shown.splitlines()] == [line.strip() for line in str(caught.value).splitlines()]
