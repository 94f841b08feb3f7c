"""JSON Schema of run files and sweeps, for completion and validation in editors."""

import re
from inspect import getdoc
from typing import Any

from mxtrain.config.introspection import allowed_kinds
from mxtrain.config.run_section import RunConfig
from mxtrain.config.search.distributions import DISTRIBUTIONS, Choice, Distribution
from mxtrain.config.search.parser import SweepSection
from mxtrain.config.search.search_paths import searchable_paths
from mxtrain.config.search.sweep_section import SweepConfig
from mxtrain.config.yaml.nodes import format_path
from mxtrain.minimization.method_configs import METHODS, MethodConfig
from mxtrain.names import ascii_names, display_name
from mxtrain.optim.groups.group import STEP_FIELDS
from mxtrain.optim.rules.fields import RuleFields
from mxtrain.optim.schedules.learning_rate import RateSchedule

_Schema = dict[str, Any]

_ARGUMENTS = re.compile(r"^Args:\n((?:    .*\n?)*)", re.MULTILINE)
_ARGUMENT = re.compile(r"^    (\S.*?): (.*(?:\n     .*)*)", re.MULTILINE)
_SHARED_DESCRIPTIONS = ("as for every rule.", "as for every schedule.")
# The pattern of names contains \w, which matches fewer characters in editors than in Python.
_SEARCH = "    search: the search space: a distribution for the path of each value that is searched."
_OMITTED_KEYS = ("title", "discriminator", "pattern")


def json_schema() -> _Schema:
    """Return the JSON Schema (draft 2020-12) of a run file, with every accepted name of every field.

    Nothing is required in a file that extends another one, because the other file may set it.

    Example:
        >>> sorted(json_schema()["$defs"]["Exp"]["properties"])
        ['eta', 'gamma', 'kind', 'learning_rate', 'lr', 'per', 'warmup', 'γ', 'η']
    """
    raw = RunConfig.model_json_schema()
    section = SweepSection.model_json_schema()
    definitions = {name: _model(model) for name, model in (raw["$defs"] | section["$defs"]).items()}
    for method in METHODS:
        _keep_own_fields(definitions[method.__name__], method)
    root, sweep = _model(raw), _sweep(section)
    definitions |= _search_definitions() | {"Group": _group(definitions)}
    extends = {
        "type": "string",
        "description": "a file, relative to this one, that provides the values that this one does not set",
    }
    whole = {
        "required": raw["required"],
        "properties": {
            "data": {"required": raw["$defs"]["DataConfig"]["required"]},
            **{
                name: {"required": ["kind"]}
                for name, field in RunConfig.model_fields.items()
                if allowed_kinds(field.annotation)
            },
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mxtrain run file",
        **root,
        "properties": {"extends": extends, **root["properties"], "sweep": sweep},
        "if": {"not": {"required": ["extends"]}},
        "then": whole,
        "$defs": definitions,
    }


def _keep_own_fields(schema: _Schema, method: type[MethodConfig]) -> None:
    """Remove the fields of rules that do not apply to a method; `scale` remains, which `mxtrain show` prints."""
    kept = {"scale", *map(display_name, method.listed_fields())}
    schema["properties"] = {name: field for name, field in schema["properties"].items() if name in kept}


def _group(definitions: _Schema) -> _Schema:
    """Return the schema of a parameter group, which may have the fields of any rule; rules get a reference to it."""
    rules = [schema for schema in definitions.values() if {"groups", "kind"} <= schema["properties"].keys()]
    found: dict[str, list[Any]] = {}
    for rule in rules:
        rule["properties"]["groups"]["additionalProperties"] = {"$ref": "#/$defs/Group"}
        for name, schema in rule["properties"].items():
            plain = {key: value for key, value in schema.items() if key not in ("default", "description")}
            if name not in STEP_FIELDS and plain not in (choices := found.setdefault(name, [])):
                choices.append(plain)
    properties = {name: each[0] if len(each) == 1 else {"anyOf": each} for name, each in found.items()}
    rates = dict.fromkeys(("η", *ascii_names("η")), {"type": "number", "minimum": 0})
    kinds = {"kind": {"enum": [rule["properties"]["kind"]["const"] for rule in rules]}}
    about = "settings of a parameter group, or a rule of its own"
    return {
        "type": "object",
        "description": about,
        "properties": properties | rates | kinds,
        "additionalProperties": False,
    }


def _sweep(section: _Schema) -> _Schema:
    model = _model(section | {"description": f"{getdoc(SweepConfig)}\n{_SEARCH}"})
    described = {name: model["properties"][name] for name in ("search", *SweepConfig.model_fields)}
    return model | {"properties": described | {"search": described["search"] | {"$ref": "#/$defs/Search"}}}


def _search_definitions() -> _Schema:
    """Return the schema of `sweep.search`: distributions by the paths of values, dotted or nested."""
    models: tuple[type[Distribution | Choice], ...] = (*DISTRIBUTIONS, Choice)
    found: _Schema = {
        model.__name__: _model(model.model_json_schema()) | {"required": [model.keyword]} for model in models
    }
    found["Distribution"] = {"anyOf": [{"$ref": f"#/$defs/{model.__name__}"} for model in models] + [{"type": "null"}]}
    here, below = {"$ref": "#/$defs/Distribution"}, {"$ref": "#/$defs/Search"}
    found["Search"] = {
        "type": "object",
        "properties": {format_path(path): {"anyOf": [here, below]} for path in searchable_paths()},
        "additionalProperties": {"anyOf": [here, below]},
    }
    return found


def _model(raw: _Schema) -> _Schema:
    """Return the schema of one mapping: its fields under all their names, described by the docstring."""
    described = _descriptions(raw["description"])
    properties: _Schema = {}
    for field, schema in raw["properties"].items():
        letter, cleaned = display_name(field), _clean(schema)
        text = described.get(letter)
        properties[letter] = cleaned | ({"description": text} if text else {})
        for name in _aliases(field):
            properties[name] = cleaned | {"description": f"another name of {letter}"}
    return {
        "type": "object",
        "description": raw["description"].split("\n\n")[0],
        "properties": properties,
        "additionalProperties": False,
    }


def _aliases(field: str) -> list[str]:
    """Return the ASCII names of a field, and the variants of its letter that keyboards and Python produce."""
    letter = display_name(field)
    variants = (field, letter.replace("μ", "\N{MICRO SIGN}"))
    return [name for name in dict.fromkeys((*variants, *ascii_names(field))) if name != letter]


def _clean(schema: Any) -> Any:
    """Return a schema without the keys that editors do not use."""
    match schema:
        case {"const": "null"}:
            return {"enum": ["null", None]}  # without quotes, YAML reads null
        case {"type": "array", "minLength": length, **rest}:
            return _clean({"type": "array", "minItems": length, **rest})
        case {"oneOf": options, **rest}:
            return _clean({"anyOf": options, **rest})
        case {"type": "array", "minLength": least, **rest}:  # Pydantic's name after ListAsTuple
            return _clean({"type": "array", "minItems": least, **rest})
        case {"type": "array", "maxLength": most, **rest}:
            return _clean({"type": "array", "maxItems": most, **rest})
        case dict():
            return {key: _clean(value) for key, value in schema.items() if key not in _OMITTED_KEYS}
        case list():
            return [_clean(item) for item in schema]
    return schema


def _descriptions(docstring: str) -> dict[str, str]:
    """Return the descriptions of fields in the `Args` of a docstring, and of the bases of schedules and rules."""
    shared = _arguments(getdoc(RateSchedule) or "") | _arguments(getdoc(RuleFields) or "")
    return shared | _arguments(docstring)


def _arguments(docstring: str) -> dict[str, str]:
    section = _ARGUMENTS.search(docstring)
    found = _ARGUMENT.findall(section[1]) if section else []
    return {
        name: " ".join(text.split())
        for names, text in found
        for name in names.split(", ")
        if text not in _SHARED_DESCRIPTIONS
    }
