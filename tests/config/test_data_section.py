"""`data.source: in_memory`, and `handed_over`, its spelling in files of earlier versions."""

from collections.abc import Callable
from typing import Any

import pytest

from mxtrain.config import DataConfig, json_schema, read_run, run_from_dict, sweep_from_dict, to_yaml
from mxtrain.errors import ConfigError

RUN: dict[str, Any] = {"model": {"kind": "linear"}, "loss": "squared_error", "optimizer": {"kind": "adam"}}


@pytest.mark.parametrize("spelling", ["in_memory", "handed_over"])
def test_both_spellings_are_read_and_resolve_to_in_memory(spelling: str, write: Callable[..., str]) -> None:
    file = write(f"data: {{source: {spelling}, target: y}}\nloss: squared_error")
    runs = [
        read_run(file, in_memory=True),
        read_run(write("loss: squared_error"), [f"data.source={spelling}", "data.target=y"]),
        read_run(write("loss: squared_error"), [f"data={{source: {spelling}, target: y}}"]),
        run_from_dict({**RUN, "data": {"source": spelling, "target": "y"}}),
        run_from_dict({**RUN, "data": DataConfig(source=spelling, target="y")}),
    ]
    for run in runs:
        assert run.data == DataConfig(source="in_memory", target="y")
        assert run.data.is_in_memory
        assert run.data.is_table
        assert run.to_dict()["data"]["source"] == "in_memory"
        assert "\n  source: in_memory\n" in to_yaml(run.resolve())


@pytest.mark.parametrize("spelling", ["in_memory", "handed_over"])
def test_the_schema_accepts_both_spellings(spelling: str) -> None:
    source = json_schema()["$defs"]["DataConfig"]["properties"]["source"]
    assert source["type"] == "string"
    assert not {"enum", "const", "pattern"} & source.keys(), spelling
    assert "`in_memory`" in source["description"]


@pytest.mark.parametrize("spelling", ["in_memory", "handed_over"])
def test_a_sweep_refuses_data_in_memory(spelling: str) -> None:
    sweep = {"search": {"optimizer.η": {"log": [1e-4, 1e-1]}}, "objective": {"minimize": "val_loss"}, "trials": 3}
    with pytest.raises(ConfigError, match=r"^data\.source: .*; name a file"):
        sweep_from_dict({**RUN, "data": {"source": spelling}, "sweep": sweep})


def test_a_source_that_contradicts_the_arguments_is_a_problem() -> None:
    assert DataConfig(source="digits").source_problem(in_memory=False) is None
    assert DataConfig(source="handed_over").source_problem(in_memory=True) is None
    assert DataConfig(source="handed_over").source_problem(in_memory=False)
    assert DataConfig(source="digits").source_problem(in_memory=True)
