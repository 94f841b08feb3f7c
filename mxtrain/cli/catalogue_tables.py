"""The catalogue as tables."""

from rich.table import Table
from rich.text import Text

from mxtrain.cli.catalogue import Catalogue, Entry, Field
from mxtrain.cli.streams import print_results
from mxtrain.types import describe


def print_tables(catalogue: Catalogue) -> None:
    """Print a table for each kind of thing."""
    for number, (title, entries) in enumerate(catalogue.items()):
        heading = Text(("\n" if number else "") + title.replace("_", " "), style="bold")
        has_fields = any(entry.fields for entry in entries)
        print_results(heading, _table(entries) if has_fields else _names(entries))


def _names(entries: list[Entry]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    for entry in entries:
        table.add_row(f"  {entry.name}", entry.about)
    return table


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
