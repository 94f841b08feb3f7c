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
            help="optimizers, schedules, models, losses, metrics, data, backends, samplers or pruners, or one by its "
            "name, such as adam; left out, all of them.",
            show_default=False,
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List what a config may choose from.

    Optimizers, schedules, models, losses, metrics, data sources, backends, and the samplers and pruners of sweeps, each
    with its fields, their defaults and their bounds.
    """
    from mxtrain.cli.catalogue import catalogue
    from mxtrain.cli.catalogue_tables import print_tables

    chosen = _chosen(catalogue(), what)
    if as_json:
        write_json({title: [asdict(entry) for entry in entries] for title, entries in chosen.items()}, indent=2)
    else:
        print_tables(chosen)


def _chosen(whole: "Catalogue", what: str) -> "Catalogue":
    parts = {title: entries for title, entries in whole.items() if what.replace("-", "_") in title}
    named = {title: [entry for entry in entries if entry.name == what] for title, entries in whole.items()}
    chosen = parts or {title: entries for title, entries in named.items() if entries}
    if not chosen:
        raise typer.BadParameter(_unknown(whole, what), param_hint="WHAT")
    return chosen


def _unknown(whole: "Catalogue", what: str) -> str:
    from mxtrain.names import nearest

    guess = nearest(what, [*whole, *(entry.name for entries in whole.values() for entry in entries)])
    remedy = f"did you mean {guess}?" if guess else "mxtrain list prints them all"
    return f"must be one of {', '.join(whole)}, or a name in one of them, got {what!r}; {remedy}"
