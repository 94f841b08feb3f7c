"""Catalogue of what a config may contain, read from the Pydantic models, and its tables for `mxtrain list`."""

from collections.abc import Iterable
from dataclasses import dataclass
from inspect import getdoc
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from mxtrain.cli.rich_output import plain_table, table_or_lines
from mxtrain.cli.streams import print_results
from mxtrain.config import MODELS, DataConfig
from mxtrain.config.introspection import (
    allowed_kinds,
    allowed_models,
    is_list_of_models,
    is_mapping_of_models,
    model_kind,
)
from mxtrain.config.search.sweep_section import PRUNERS, SAMPLERS
from mxtrain.formatting import format_value
from mxtrain.loss_config import LOSS_CONFIGS
from mxtrain.minimization.method_configs import METHODS, MethodConfig
from mxtrain.names import ascii_names, display_name
from mxtrain.nn import build_metric
from mxtrain.optim.backends import BackendName
from mxtrain.optim.rules import AnyRule, Group, Rule
from mxtrain.optim.schedules import LearningRateSchedule, MomentumSchedule
from mxtrain.types import METRIC_INFO, Bounds, Config, LossName, MetricName

_BACKENDS: dict[BackendName, str] = {
    "auto": "The default: whichever of the others runs fastest on the arrays at hand.",
    "numpy": "NumPy, block by block in the processor's cache.",
    "compiled": "Loops on the CPU, compiled by Numba.",
    "cupy": "Kernels on the GPU, compiled by CuPy.",
}
_SOURCES = {
    "digits": "In the package: 1,797 images of 8 × 8 pixels, in ten classes.",
    "diabetes": "In the package: 442 patients, ten measurements each, and a number to predict.",
    "in_memory": "Arrays or columns in memory, which Python passes: mxtrain.fit(config, data=(X, y)).",
    "PATH.csv": "A text table, as are .tsv and .txt; data.target names the column to predict.",
    "PATH.json": "An array of objects; with .jsonl, an object on each line. data.target names the key to predict.",
    "PATH.parquet": "A table whose columns have types, as are .arrow and .feather.",
    "PATH.xlsx": "The first sheet of a spreadsheet, as are .xls, .xlsb and .ods; needs mxtrain[excel].",
    "PATH.npz": "NumPy arrays; data.target names the one to predict.",
    "PATH.npy": "One array, which stays on the disk; data.target is the path of another, the targets.",
    "FOLDER/": "Files inputs-*.npy and targets-*.npy, which stay on the disk.",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a config: its name, its ASCII names, its default and its allowed values."""

    name: str
    also: tuple[str, ...]
    required: bool
    default: Any
    allowed: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A choice of a config: its name, its description and its fields."""

    name: str
    about: str
    fields: tuple[Field, ...] = ()


Catalogue = dict[str, list[Entry]]


def catalogue() -> Catalogue:
    """Return everything that a config may choose from, by category."""
    return {
        "optimizers": _entries(allowed_models(AnyRule)),
        "full_batch_optimizers": _entries(METHODS),
        "learning_rate_schedules": _entries(allowed_models(LearningRateSchedule)),
        "momentum_schedules": _entries(allowed_models(MomentumSchedule)),
        "models": _entries(MODELS),
        "losses": [Entry(str(model_kind(loss)), _first_line(loss), _fields(loss)) for loss in LOSS_CONFIGS],
        "metrics": [Entry(name, _metric(name)) for name in get_args(MetricName)],
        "data_sources": [Entry(name, about) for name, about in _SOURCES.items()],
        "data": [Entry("data", _first_line(DataConfig), _fields(DataConfig))],
        "backends": [Entry(name, _BACKENDS[name]) for name in get_args(BackendName)],
        "samplers": _entries(SAMPLERS),
        "pruners": _entries(PRUNERS),
    }


def _entries(choices: Iterable[type[Config]]) -> list[Entry]:
    return [Entry(model_kind(model) or "", _first_line(model), _fields(model)) for model in choices]


def _fields(model: type[Config]) -> tuple[Field, ...]:
    return tuple(
        Field(
            name=display_name(name),
            also=ascii_names(name),
            required=field.is_required(),
            default=None if field.is_required() else _plain(field.get_default()),
            allowed=_allowed(field.annotation, field.metadata),
        )
        for name, field in model.model_fields.items()
        if name != "kind" and (name in model.listed_fields() or not issubclass(model, MethodConfig))
    )


def _plain(default: Any) -> Any:
    return default.to_dict() if isinstance(default, Config) else default


def _allowed(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """Describe the allowed values of a type.

    >>> _allowed(tuple[Annotated[int, Bounds(ge=1, whole=True)], ...] | None)
    'a list, each a whole number at least 1'
    """
    for each in metadata:
        if isinstance(each, Bounds):
            return str(each)
    if is_mapping_of_models(annotation) and allowed_kinds(annotation):
        return "a mapping of numbers of the rule, such as β2, to schedules"
    if is_list_of_models(annotation):
        return f"a list, each {_allowed(get_args(annotation)[0])}"
    if names := allowed_kinds(annotation):
        is_rule = any(issubclass(model, Rule) for model in allowed_models(annotation))
        return "a rule that is not a matrix rule" if is_rule else f"a schedule: {', '.join(names)}"
    arguments = get_args(annotation)
    match get_origin(annotation):
        case origin if origin is Annotated:
            return _allowed(arguments[0], arguments[1:])
        case origin if origin is Literal:
            return " | ".join(map(str, arguments))
        case origin if origin in (Union, UnionType):
            return " | ".join(_allowed(part) for part in arguments if part is not NoneType)
        case origin if origin is dict:
            return "a mapping of selectors to settings" if arguments[1] is Group else "a mapping of plain values"
        case origin if origin is tuple:
            return f"a list, each {_allowed(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return f"a mapping of {', '.join(map(display_name, annotation.model_fields))}"
    return {bool: "true | false", float: "a number", str: "a string"}[annotation]


def _metric(name: MetricName) -> str:
    info = METRIC_INFO[name]
    loss: LossName = "softmax_cross_entropy" if info.targets == "classes" else "squared_error"
    return (
        f"{info.title}, on the validation part." if info.is_collected else _first_line(type(build_metric(name, loss)))
    )


def _first_line(documented: Any) -> str:
    return (getdoc(documented) or "").split("\n\n")[0].replace("\n", " ").replace("`", "")


_DECAY = "λ (weight_decay) is on where its default is above 0; λ: 0 switches it off"


def print_tables(catalogue: Catalogue) -> None:
    """Print one table for each category."""
    for number, (title, entries) in enumerate(catalogue.items()):
        heading = Text(("\n" if number else "") + title.replace("_", " "), style="bold")
        has_fields = any(entry.fields for entry in entries)
        print_results(heading, _fields_table_or_lines(entries) if has_fields else _names_table(entries))
        if title == "optimizers":
            print_results(Padding(_DECAY, (0, 0, 0, 2)))


def _names_table(entries: list[Entry]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    for entry in entries:
        table.add_row(f"  {entry.name}", entry.about)
    return table


def _fields_table_or_lines(entries: list[Entry]) -> Table:
    """Return a table of fields, or one line for each field on a narrow terminal."""
    return table_or_lines(_table(entries), lambda: _lines(entries))


def _lines(entries: list[Entry]) -> Table:
    lines = Table.grid()
    lines.add_column(overflow="fold")
    shared = _shared(entries)
    blocks = [(entry.name, [field for field in entry.fields if field not in shared]) for entry in entries]
    for name, fields in [*blocks, ("all", shared)] if shared else blocks:
        lines.add_row(Padding(Text(name, style="cyan"), (0, 0, 0, 2)))
        for field in fields:
            also = f" (also {', '.join(field.also)})" if field.also else ""
            default = "required" if field.required else f"default {_format_default(field.default)}"
            lines.add_row(Padding(f"{field.name}: {default}; {field.allowed}{also}", (0, 0, 0, 4)))
    return lines


def _table(entries: list[Entry]) -> Table:
    """Create a table with a block for each entry; fields that all entries share are listed once, at the end."""
    shared = _shared(entries)
    table = plain_table(
        Column("", style="cyan", no_wrap=True),
        Column("field", no_wrap=True),
        Column("default", no_wrap=True),
        "allowed",
        Column("also called", style="dim"),
    )
    for entry in entries:
        _add_rows(table, entry.name, [field for field in entry.fields if field not in shared])
    if shared:
        _add_rows(table, "all", shared)
    return table


def _shared(entries: list[Entry]) -> list[Field]:
    if len(entries) < 2:
        return []
    return [field for field in entries[0].fields if all(field in entry.fields for entry in entries)]


def _add_rows(table: Table, name: str, fields: list[Field]) -> None:
    if not fields:
        table.add_row(f"  {name}")
    for number, field in enumerate(fields):
        default = "required" if field.required else _format_default(field.default)
        table.add_row("" if number else f"  {name}", field.name, default, field.allowed, ", ".join(field.also))


def _format_default(value: object) -> str:
    if isinstance(value, dict) and "kind" in value:
        return f"{{kind: {value['kind']}}}"
    return "-" if value is None or value == {} else format_value(value)
