"""The arguments and options that several commands share."""

from typing import Annotated, TypeAlias

import typer

from mxtrain.cli.completion import complete_config, complete_folder

RunFile: TypeAlias = Annotated[
    str, typer.Argument(metavar="FILE", help="A run file.", show_default=False, autocompletion=complete_config)
]
Overrides: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override one value of the file, such as optimizer.η=0.01; may be repeated.",
        show_default=False,
    ),
]
RunOrSweepFolder: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="The folder of a run or of a sweep.", show_default=False, autocompletion=complete_folder
    ),
]
RunFolder: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False, autocompletion=complete_folder),
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Plugin: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--plugin",
        metavar="MODULE",
        help="A Python module, here or on PYTHONPATH, whose `model` makes the model of `model: {kind: custom}`.",
        show_default=False,
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
