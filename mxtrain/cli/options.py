"""Arguments and options shared by several commands, shell completion, and loading of `--plugin` modules."""

import os
from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

if TYPE_CHECKING:
    from mxtrain.training.model_factory import ModelFactory

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
_OPTIONS = ("--install-completion", "--show-completion")
_CONFIGS = (".yaml", ".yml")
_BASH_RETURN = "    return 0\n"
_BASH_NO_SPACE = "    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null\n"
"""Bash appends a space to the only match; after a folder the path may continue. Bash before 4 has no `compopt`."""


def accept_shell_name(arguments: Sequence[str]) -> None:
    """Let `--install-completion` and `--show-completion` accept the name of a shell as the next argument.

    Typer detects the shell from the parent process, or takes a name, but not both. Its script for bash is amended, so
    that no space follows a folder.
    """
    if any(option in _OPTIONS for option in arguments):
        from typer import _completion_shared

        script = _completion_shared.COMPLETION_SCRIPT_BASH
        amended = script.replace(_BASH_RETURN, _BASH_NO_SPACE + _BASH_RETURN)
        _completion_shared._completion_scripts["bash"] = amended
    if any(option in _OPTIONS and shell in SHELLS for option, shell in pairwise(arguments)):
        os.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"


def complete_config(incomplete: str) -> list[str]:
    """Complete the path of a run file."""
    return _paths(incomplete, lambda path: path.suffix in _CONFIGS)


def complete_file(incomplete: str) -> list[str]:
    """Complete the path of a file."""
    return _paths(incomplete, lambda path: True)


def complete_rule_or_config(incomplete: str) -> list[str]:
    """Complete the name of an optimizer, or the path of a config file."""
    from mxtrain.minimization.method_configs import METHODS
    from mxtrain.optim.rules import RULES

    kinds = [each.model_fields["kind"].default for each in (*RULES, *METHODS)]
    return [*(kind for kind in kinds if kind.startswith(incomplete)), *complete_config(incomplete)]


def complete_folder(incomplete: str) -> list[str]:
    """Complete the path of a folder, such as that of a run."""
    return _paths(incomplete, lambda path: False)


def _paths(incomplete: str, is_wanted: Callable[[Path], bool]) -> list[str]:
    head, slash, start = incomplete.rpartition("/")
    folder = Path(os.path.expanduser(head + slash) or ".")  # noqa: PTH111 - keeps the spelling
    try:
        found = sorted(path for path in folder.iterdir() if path.name.startswith(start))
        return [
            f"{head}{slash}{path.name}{'/' if path.is_dir() else ''}"
            for path in found
            if (path.is_dir() or is_wanted(path)) and (start.startswith(".") or not path.name.startswith("."))
        ]
    except OSError:
        return []


def choice_option(choices: type[StrEnum], help: str, *, show_default: bool = True) -> Any:
    """Return an option whose value is one of several names, with the nearest name in the error message."""

    def parse(value: str) -> StrEnum:
        from mxtrain.types import choice_message

        names = list(choices)
        if value not in names:
            raise typer.BadParameter(choice_message(names, value))
        return choices(value)

    return typer.Option(
        parser=parse,
        metavar=f"[{'|'.join(choices)}]",
        autocompletion=lambda incomplete: [name for name in choices if name.startswith(incomplete)],
        help=help,
        show_default=show_default,
    )


def count_option(help: str, *, show_default: bool = True) -> Any:
    """Return an option whose value is a whole number at least 1."""

    def parse(value: str | int) -> int:
        try:
            number = int(value)
        except ValueError:
            raise typer.BadParameter(f"must be a whole number at least 1, got {str(value)!r}") from None
        if number < 1:
            raise typer.BadParameter(f"must be at least 1, got {number}")
        return number

    return typer.Option(parser=parse, metavar="N", help=help, show_default=show_default)


def override_hint(option: str, arguments: Sequence[str]) -> str:
    """Return a hint for an unknown option that is the name of a config field: the override that sets it.

    Args:
        option: the option.
        arguments: the command line, which may hold the value of the option.

    >>> override_hint("--batch-size", ["fit", "a.yaml", "--batch-size", "64"])
    '; a value of the file is set with --set data.batch_size=64'
    """
    from mxtrain.config.introspection import find_override_path
    from mxtrain.config.run_section import RunConfig

    path = find_override_path(RunConfig, option.lstrip("-").replace("-", "_"))
    if path is None:
        return ""
    joined = (word.partition("=")[2] for word in arguments if word.startswith(f"{option}="))
    separate = (after for word, after in pairwise(arguments) if word == option and not after.startswith("--"))
    value = next(chain(joined, separate), "VALUE")
    return f"; a value of the file is set with --set {path}={value}"


RunFile: TypeAlias = Annotated[
    str, typer.Argument(metavar="FILE", help="A run file.", show_default=False, autocompletion=complete_config)
]


def mark_overrides(values: list[str] | None) -> list[str] | None:
    """Mark overrides as given with `--set`, so that error messages name the option."""
    if not values:
        return values
    from mxtrain.config.overrides import SetOption

    return [SetOption(value) for value in values]


Overrides: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        callback=mark_overrides,
        help="Override a value of the file, such as optimizer.η=0.01; may be repeated.",
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
FACTORY = "model"


def import_plugins(names: list[str] | None) -> None:
    """Import plugins, and list the kinds of their rules and schedules in messages, tables and the schema."""
    for name in names or ():
        _import_plugin(name)


def _import_plugin(name: str) -> None:
    from mxtrain.kinds import list_plugin
    from mxtrain.optim.rules import AnyRule  # noqa: F401 - a plugin's classes are found below the bases of rules
    from mxtrain.processes import import_user_module

    if not name.endswith(".py") and (not name.strip() or name.startswith(".") or "/" in name):
        raise _plugin_error(f"{name!r} is no name of a module; the path of a file ends in .py")
    try:
        module = import_user_module(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module of a user's can raise anything
        lines = str(error).splitlines() or [""]
        raise _plugin_error(f"{name} cannot be imported: {type(error).__name__}: {lines[0]}") from error
    try:
        has_classes = list_plugin(name, module)
    except ValueError as error:
        raise _plugin_error(str(error)) from None
    if not has_classes and not callable(getattr(module, FACTORY, None)):
        signature = f"{FACTORY}(config, n_features, n_outputs, xp)"
        raise _plugin_error(f"{name} defines no function {signature}, and no rule or schedule")


def find_factory(names: list[str] | None) -> str | None:
    """Import plugins, and return the one whose function `model` creates custom models; None if there is none."""
    from mxtrain.processes import import_user_module

    import_plugins(names)
    found = [name for name in names or () if callable(getattr(import_user_module(name), FACTORY, None))]
    if len(found) > 1:
        raise _plugin_error(f"{' and '.join(found)} define a function {FACTORY}; keep one")
    return found[0] if found else None


def load_factory(names: list[str] | None) -> "ModelFactory | None":
    """Import plugins, and return their function `model`; None if there is none."""
    from mxtrain.processes import import_user_module

    name = find_factory(names)
    return None if name is None else getattr(import_user_module(name), FACTORY)


def _plugin_error(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--plugin")


Plugin: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="MODULE",
        help="A Python module, in the current folder or on PYTHONPATH, or the path of a .py file, that defines rules, "
        "schedules, or a function `model` that creates a custom model; may be repeated.",
        show_default=False,
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
