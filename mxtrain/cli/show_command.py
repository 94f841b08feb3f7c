"""`mxtrain show`: what a run file comes to, and what a rule is compiled to."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxtrain.cli.options import Overrides
from mxtrain.cli.streams import write_file_text

if TYPE_CHECKING:
    from mxtrain.config import RunConfig, Sweep
    from mxtrain.kernel import Program
    from mxtrain.optimizers import Rule


class Language(StrEnum):
    """What a program is printed for."""

    numpy = "numpy"
    compiled = "compiled"
    cupy = "cupy"


def show(
    target: Annotated[
        str, typer.Argument(metavar="FILE|RULE", help="A config file, or a rule's name.", show_default=False)
    ],
    backend: Annotated[
        Language | None,
        typer.Option(help="Print the optimizer's program as this backend runs it.", show_default=False),
    ] = None,
    sets: Overrides = None,
) -> None:
    """Print a file's resolved config, or a rule's program.

    A file becomes YAML with every default filled in, which runs again unchanged. A rule, such as adam, becomes its
    formula and the program that every backend runs; with --set its fields are set, as in: mxtrain show sgd --set μ=0.9
    """
    from mxtrain.config import RunConfig, Sweep, to_yaml
    from mxtrain.config.writer import yaml_text

    config = _config(target, sets or ())
    if isinstance(config, Sweep):
        if backend is not None:
            raise typer.BadParameter("a sweep has many optimizers, and no one program", param_hint="--backend")
        write_file_text(yaml_text(config.shown()))
        return
    if isinstance(config, RunConfig):
        config = config.resolve()
    if backend is None and not _is_rule(target):
        write_file_text(to_yaml(config))
        return
    rule = config.optimizer if isinstance(config, RunConfig) else config
    if backend is None:
        typer.echo(f"{_formula(rule)}\n")
    typer.echo(_printed(rule.program(), backend).rstrip("\n"))


def _config(target: str, sets: list[str] | tuple[()]) -> "RunConfig | Sweep | Rule":
    from mxtrain.config import optimizer_from_dict, read_config

    if _is_rule(target):
        return optimizer_from_dict({"kind": target}, sets)
    if not Path(target).suffix and not Path(target).exists():
        raise typer.BadParameter(_unknown(target), param_hint="FILE|RULE")
    return read_config(target, sets)


def _is_rule(target: str) -> bool:
    return target in _rules()


def _rules() -> tuple[str, ...]:
    from mxtrain.config.shape import kinds
    from mxtrain.optimizers import AnyRule

    return kinds(AnyRule)


def _unknown(target: str) -> str:
    from mxtrain.names import nearest
    from mxtrain.types import describe

    guess = nearest(target, _rules())
    remedy = f"did you mean {guess}?" if guess else f"the rules are {', '.join(_rules())}"
    return f"there is no file and no rule {describe(target)}; {remedy}"


def _formula(rule: "Rule") -> str:
    """What a rule's documentation says of its formula, and of the coefficients that its program takes."""
    from inspect import cleandoc

    parts = [cleandoc(type(rule).__doc__ or "").split("\n\nArgs:")[0]]
    if about := type(rule).coefficients.__doc__:
        parts.append(f"Coefficients: {cleandoc(about)}")
    return "\n\n".join(parts).replace("`", "")


def _printed(program: "Program", backend: Language | None) -> str:
    match backend:
        case Language.compiled:
            from mxtrain.backends.loop import print_loop

            return print_loop(program)
        case Language.cupy:
            from mxtrain.backends.cuda_source import print_body

            return print_body(program)
    return str(program)
