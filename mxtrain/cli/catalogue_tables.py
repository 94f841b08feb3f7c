"""The catalogue as tables."""

import sys

from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mxtrain.cli.catalogue import Catalogue, Entry, Field
from mxtrain.cli.streams import print_results, results
from mxtrain.types import describe

_DECAY = "λ (weight_decay) is on by default in every rule; λ: 0 switches it off"


def print_tables(catalogue: Catalogue) -> None:
    """Print a table for each kind of thing."""
    for number, (title, entries) in enumerate(catalogue.items()):
        heading = Text(("\n" if number else "") + title.replace("_", " "), style="bold")
        has_fields = any(entry.fields for entry in entries)
        print_results(heading, _table_or_lines(entries) if has_fields else _names(entries))
        if title == "optimizers":
            print_results(Padding(_DECAY, (0, 0, 0, 2)))


def _names(entries: list[Entry]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    for entry in entries:
        table.add_row(f"  {entry.name}", entry.about)
    return table


def _table_or_lines(entries: list[Entry]) -> Table:
    """A table of fields; where its words would be cut, a line for each field."""
    console, table = results(), _table(entries)
    unbounded = console.options.update(max_width=sys.maxsize)
    return table if Measurement.get(console, unbounded, table).minimum <= console.width else _lines(entries)


def _lines(entries: list[Entry]) -> Table:
    lines = Table.grid()
    lines.add_column(overflow="fold")
    shared = _shared(entries)
    blocks = [(entry.name, [field for field in entry.fields if field not in shared]) for entry in entries]
    for name, fields in [*blocks, ("all", shared)] if shared else blocks:
        lines.add_row(Padding(Text(name, style="cyan"), (0, 0, 0, 2)))
        for field in fields:
            also = f" (also {', '.join(field.also)})" if field.also else ""
            default = "required" if field.required else f"default {_default(field.default)}"
            lines.add_row(Padding(f"{field.name}: {default}; {field.allowed}{also}", (0, 0, 0, 4)))
    return lines


def _table(entries: list[Entry]) -> Table:
    """A block for each entry; the fields that all have alike stand below, once."""
    shared = _shared(entries)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", style="cyan", no_wrap=True)
    table.add_column("field", no_wrap=True)
    table.add_column("default", no_wrap=True)
    table.add_column("allowed")
    table.add_column("also called", style="dim")
    for entry in entries:
        _add(table, entry.name, [field for field in entry.fields if field not in shared])
    if shared:
        _add(table, "all", shared)
    return table


def _shared(entries: list[Entry]) -> list[Field]:
    if len(entries) < 2:
        return []
    return [field for field in entries[0].fields if all(field in entry.fields for entry in entries)]


def _add(table: Table, name: str, fields: list[Field]) -> None:
    if not fields:
        table.add_row(f"  {name}")
    for number, field in enumerate(fields):
        default = "required" if field.required else _default(field.default)
        table.add_row("" if number else f"  {name}", field.name, default, field.allowed, ", ".join(field.also))


def _default(value: object) -> str:
    if value is None or value == {}:
        return "-"
    return f"[{', '.join(map(describe, value))}]" if isinstance(value, tuple) else str(describe(value)).strip("'")
