"""`mxtrain validate` and `mxtrain schema`: what a config may say."""

from typing import Annotated

import typer

from mxtrain.cli.options import Overrides
from mxtrain.cli.streams import write_json
from mxtrain.errors import ConfigError, printable


def validate(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Run files, with or without a sweep, or files with an optimizer and nothing else.",
            show_default=False,
        ),
    ],
    sets: Overrides = None,
) -> None:
    """Check files: every problem of each, and where it is written.

    Nothing is trained; the data that a file names must exist, but are not read. Of a sweep, the runs at the ends of
    what is searched and with each choice are checked.
    """
    from mxtrain.config import read_config

    status = 0
    for file in files:
        try:
            read_config(file, sets or ())
        except ConfigError as error:
            from mxtrain.cli.complaints import complain

            status = complain(error)
        else:
            typer.echo(f"{printable(file)}: ok")
    raise typer.Exit(status)


def schema() -> None:
    """Print the JSON Schema of run files, for editors."""
    from mxtrain.config import json_schema

    write_json(json_schema(), indent=2)
