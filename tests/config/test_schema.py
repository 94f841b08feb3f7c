"""The JSON Schema of run files."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mxtrain.config import MODELS, DataConfig, FitConfig, RunConfig, json_schema
from mxtrain.config.introspection import allowed_models
from mxtrain.loss_config import LOSS_NAMES
from mxtrain.minimization.method_configs import AnyOptimizer
from mxtrain.names import LETTERS, ascii_names, display_name, normalize
from mxtrain.optim.rules import RULES
from mxtrain.optim.schedules import LearningRateSchedule, momentum
from mxtrain.types import Config

SCHEDULES = (
    *allowed_models(LearningRateSchedule),
    *(momentum.Null, momentum.Fixed, momentum.Nadam),
)
EVERY_MODEL = (RunConfig, DataConfig, FitConfig, *MODELS, *RULES, *SCHEDULES)
SCHEMA = json_schema()


def _schema_of(model: type[Config]) -> dict[str, Any]:
    if model is RunConfig:
        return SCHEMA
    long = f"{model.__module__}.{model.__name__}".replace(".", "__")
    return SCHEMA["$defs"].get(model.__name__) or SCHEMA["$defs"][long]  # type: ignore[no-any-return]


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _dicts(item)


def test_it_is_a_json_schema_of_the_current_draft() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("model", EVERY_MODEL, ids=lambda model: f"{model.__module__}.{model.__name__}")
def test_every_field_is_listed_under_all_of_its_names(model: type[Config]) -> None:
    schema = _schema_of(model)
    spelled = {field: info.validation_alias or field for field, info in model.model_fields.items()}
    accepted = {name for field in spelled for name in (display_name(field), spelled[field], *ascii_names(field))}
    micro = {name.replace("μ", "\N{MICRO SIGN}") for name in accepted}
    assert set(schema["properties"]) - {"extends", "sweep"} == accepted | micro
    assert schema["additionalProperties"] is False
    assert "ϵ" not in normalize("ϵ")
    assert ("ϵ" in schema["properties"]) == ("ε" in model.model_fields)


@pytest.mark.parametrize("model", EVERY_MODEL, ids=lambda model: f"{model.__module__}.{model.__name__}")
def test_every_field_is_described_by_its_docstring(model: type[Config]) -> None:
    schema = _schema_of(model)
    assert schema["description"]
    for name, field in schema["properties"].items():
        assert name == "kind" or field["description"], name


def test_bounds_defaults_and_choices_are_stated() -> None:
    adam = SCHEMA["$defs"]["Adam"]["properties"]
    assert adam["β1"] == {
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.9,
        "description": "decay of the first moment, at least 0 and below 1.",
    }
    assert adam["beta1"] == adam["β1"] | {"description": "another name of β1"}
    assert adam["kind"]["const"] == "adam"
    assert SCHEMA["properties"]["loss"]["anyOf"][0]["enum"] == list(LOSS_NAMES)
    assert SCHEMA["$defs"]["HuberConfig"]["properties"]["delta"]["exclusiveMinimum"] == 0
    assert len(SCHEMA["properties"]["optimizer"]["anyOf"]) == len(allowed_models(AnyOptimizer))
    assert SCHEMA["$defs"]["Null"]["properties"]["kind"]["enum"] == ["null", None]


def test_methods_have_no_fields_of_rules() -> None:
    fields = {name: set(SCHEMA["$defs"][name]["properties"]) for name in ("LBFGSConfig", "CGConfig")}
    assert fields == {
        "LBFGSConfig": {"kind", "scale", "memory", "max_line_search"},
        "CGConfig": {"kind", "scale", "max_line_search"},
    }


def test_fields_are_required_only_in_files_that_extend_none() -> None:
    assert SCHEMA["properties"]["extends"]["type"] == "string"
    assert "required" not in SCHEMA
    assert SCHEMA["if"] == {"not": {"required": ["extends"]}}
    assert SCHEMA["then"]["required"] == ["data", "model", "loss", "optimizer"]
    assert SCHEMA["then"]["properties"]["optimizer"] == {"required": ["kind"]}
    assert SCHEMA["then"]["properties"]["data"] == {"required": ["source"]}


def test_every_reference_has_a_definition() -> None:
    targets = {schema["$ref"] for schema in _dicts(SCHEMA) if "$ref" in schema}
    assert targets == {f"#/$defs/{name}" for name in SCHEMA["$defs"]}


def test_no_field_has_the_name_of_an_alias() -> None:
    for model in EVERY_MODEL:
        assert not model.model_fields.keys() & LETTERS.keys()


def _schemas(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield a schema and all that it contains."""
    if isinstance(schema, dict):
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _schemas(part)


def test_lengths_of_lists_are_numbers_of_items() -> None:
    lists = [schema for schema in _schemas(SCHEMA) if schema.get("type") == "array"]
    assert not [schema for schema in lists if {"minLength", "maxLength"} & set(schema)]
    data, fit = (SCHEMA["$defs"][name]["properties"] for name in ("DataConfig", "FitConfig"))
    assert data["features"]["anyOf"][0]["minItems"] == 1
    assert fit["loggers"]["maxItems"] == 2


def test_separators_have_a_character_and_quotes_at_most_one() -> None:
    data = SCHEMA["$defs"]["DataConfig"]["properties"]
    assert data["separator"]["anyOf"][0] == {"type": "string", "minLength": 1}
    assert data["quote"]["anyOf"][0] == {"type": "string", "maxLength": 1}
