"""`mxtrain list`: what a config may choose from."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mxtrain.cli.options import AsJson
from mxtrain.cli.streams import write_json

if TYPE_CHECKING:
    from mxtrain.cli.catalogue import Catalogue


def list_all(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="optimizers, schedules, models, losses, metrics, data or backends; left out, all of them.",
            show_default=False,
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List what a config may choose from.

    Optimizers, schedules, models, losses, metrics, data sources and backends, each with its fields, their defaults
    and their bounds.
    """
    from mxtrain.cli.catalogue import catalogue
    from mxtrain.cli.catalogue_tables import print_tables

    chosen = _chosen(catalogue(), what)
    if as_json:
        write_json({title: [asdict(entry) for entry in entries] for title, entries in chosen.items()}, indent=2)
    else:
        print_tables(chosen)


def _chosen(whole: "Catalogue", what: str) -> "Catalogue":
    chosen = {title: entries for title, entries in whole.items() if what.replace("-", "_") in title}
    if not chosen:
        raise typer.BadParameter(f"must be in one of {', '.join(whole)}, got {what!r}", param_hint="WHAT")
    return chosen
