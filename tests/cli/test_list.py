"""`mxtrain list` and `mxtrain schema`."""

import json
from typing import get_args

import pytest

from mxtrain.config import CLASS_SOURCES, MODELS, json_schema
from mxtrain.config.introspection import allowed_models, model_kind
from mxtrain.config.search.sweep_section import PRUNERS, SAMPLERS
from mxtrain.loss_config import LOSS_CONFIGS
from mxtrain.names import display_name
from mxtrain.optim.backends import BackendName
from mxtrain.optim.rules import Adam, AnyRule
from mxtrain.optim.schedules import LearningRateSchedule, MomentumSchedule
from mxtrain.types import MetricName

EXPECTED = {
    "optimizers": set(map(model_kind, allowed_models(AnyRule))),
    "full_batch_optimizers": {"lbfgs", "cg"},
    "learning_rate_schedules": set(map(model_kind, allowed_models(LearningRateSchedule))),
    "momentum_schedules": set(map(model_kind, allowed_models(MomentumSchedule))),
    "models": set(map(model_kind, MODELS)),
    "losses": {*map(model_kind, LOSS_CONFIGS)},
    "metrics": set(get_args(MetricName)),
    "data_sources": {
        *CLASS_SOURCES,
        "in_memory",
        *(f"PATH.{kind}" for kind in ("csv", "json", "parquet", "xlsx", "npz", "npy")),
        "FOLDER/",
    },
    "data": {"data"},
    "backends": set(get_args(BackendName)),
    "samplers": set(map(model_kind, SAMPLERS)),
    "pruners": set(map(model_kind, PRUNERS)),
}


def test_json_lists_every_component(mxtrain):
    status, out, err = mxtrain("list", "--json")
    listed = json.loads(out)
    assert (status, err) == (0, "")
    assert {title: {entry["name"] for entry in entries} for title, entries in listed.items()} == EXPECTED
    assert all(entry["about"] for entries in listed.values() for entry in entries)


def test_each_field_has_its_default_bounds_and_other_names(mxtrain):
    (adam,) = [each for each in json.loads(mxtrain("list", "--json").out)["optimizers"] if each["name"] == "adam"]
    assert adam["fields"][0] == {
        "name": "η",
        "also": ["lr", "learning_rate", "eta"],
        "required": False,
        "default": 0.001,
        "allowed": "above 0",
    }
    names = [display_name(name) for name in Adam.model_fields if name != "kind"]
    assert [field["name"] for field in adam["fields"]] == names
    assert {"η", "λ", "clip", "scale", "η_sched", "schedules", "groups", "β1", "β2", "ϵ", "amsgrad"} <= set(names)


def test_methods_have_only_their_own_fields(mxtrain):
    listed = json.loads(mxtrain("list", "optimizers", "--json").out)["full_batch_optimizers"]
    fields = {entry["name"]: [field["name"] for field in entry["fields"]] for entry in listed}
    assert fields == {"lbfgs": ["memory", "max_line_search"], "cg": ["max_line_search"]}


def test_the_tables_show_every_name_and_field(mxtrain):
    out = mxtrain("list").out
    lines = [line.split() for line in out.splitlines()]
    assert set().union(*EXPECTED.values()) <= {line[0] for line in lines if line}
    assert ["β2", "0.999", "at", "least", "0", "and", "below", "1", "beta2,", "beta_2"] in lines
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_on_a_narrow_terminal_each_field_is_a_line_and_no_word_is_cut(mxtrain, monkeypatch):
    monkeypatch.setattr("mxtrain.cli.streams.PIPED_WIDTH", 40)
    out = mxtrain("list", "schedules").out
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 40
    assert "  cosine\n    T: required; a whole number at least\n    1, run or run/N\n" in out
    assert "    γ: default 0.9; above 0 and below 1\n    (also gamma)\n" in out
    assert out.count("    warmup: default 0; a whole number at\n    least 0\n") == 1


@pytest.mark.parametrize(("what", "titles"), [("schedules", 2), ("models", 1), ("data", 2), ("momentum", 1)])
def test_one_section_of_the_list(mxtrain, what, titles):
    assert len(json.loads(mxtrain("list", what, "--json").out)) == titles


@pytest.mark.parametrize(
    ("name", "titles"), [("adam", ["optimizers"]), ("nadam", ["optimizers", "momentum_schedules"])]
)
def test_one_component_by_name(mxtrain, name, titles):
    listed = json.loads(mxtrain("list", name, "--json").out)
    assert list(listed) == titles
    assert {entry["name"] for entries in listed.values() for entry in entries} == {name}


def test_an_unknown_name_gets_a_suggestion(mxtrain):
    status, out, err = mxtrain("list", "adma")
    assert (status, out) == (2, "")
    assert "got 'adma'; did you mean adam?" in " ".join(err.split())


def test_the_schema_is_json_on_stdout(mxtrain):
    status, out, err = mxtrain("schema")
    assert (status, err) == (0, "")
    assert json.loads(out) == json.loads(json.dumps(json_schema()))


def test_list_notes_that_weight_decay_is_on_by_default(mxtrain):
    _, out, _ = mxtrain("list")
    assert "λ (weight_decay) is on where its default is above 0; λ: 0 switches it off" in " ".join(out.split())
