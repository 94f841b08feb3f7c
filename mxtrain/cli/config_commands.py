"""Commands about config files: `mxtrain validate`, `mxtrain show`, `mxtrain list` and `mxtrain schema`."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxtrain.cli.options import (
    AsJson,
    Overrides,
    Plugin,
    choice_option,
    complete_rule_or_config,
    import_plugins,
    load_factory,
)
from mxtrain.cli.streams import write_file_text, write_json
from mxtrain.errors import MxtrainError, escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mxtrain.cli.catalogue import Catalogue
    from mxtrain.config import RunConfig, Sweep
    from mxtrain.optim.ir import AnyProgram
    from mxtrain.optim.rules import Rule


def validate(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Run files, sweep files, or files with an optimizer only.",
            show_default=False,
        ),
    ],
    sets: Overrides = None,
    plugin: Plugin = None,
    no_data: Annotated[
        bool, typer.Option("--no-data", help="Check the files only; the data must exist, but are not read.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check config files and their data; print every problem.

    Each problem has its line and column. Nothing is trained. The data of a run that are files are read as `mxtrain fit`
    reads them; a line for each column of a table says what it holds and what is done with it. A sweep is checked at the
    bounds of its distributions and with each choice.
    """
    from mxtrain.config import RunConfig, read_config

    import_plugins(plugin)
    status, summaries = 0, {}
    for file in files:
        try:
            config = read_config(file, sets or ())
            summary = None
            if not no_data and isinstance(config, RunConfig) and config.data.is_file:
                from mxtrain.cli.data_summary import summarize_data

                summary = summarize_data(config)
        except MxtrainError as error:
            from mxtrain.cli.rich_output import print_error

            status = max(status, print_error(error))
            continue
        if as_json:
            summaries[file] = None if summary is None else asdict(summary)
        else:
            typer.echo(f"{escape_unprintable(file)}: ok")
            if summary is not None:
                from mxtrain.cli.data_summary import print_data_summary

                print_data_summary(summary)
    if as_json:
        write_json(summaries, indent=2)
    raise typer.Exit(status)


def schema(plugin: Plugin = None) -> None:
    """Print the JSON Schema of run files, for editors."""
    from mxtrain.config import json_schema

    import_plugins(plugin)
    write_json(json_schema(), indent=2)


def list_all(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A category (optimizers, schedules, models, losses, metrics, data, backends, samplers, pruners) or a "
            "name, such as adam; default: all.",
            show_default=False,
        ),
    ] = "",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """List the choices of a config.

    Prints optimizers, schedules, models, losses, metrics, data sources, backends, and the samplers and pruners of
    sweeps, with their fields, defaults and bounds.
    """
    from mxtrain.cli.catalogue import catalogue, print_tables

    import_plugins(plugin)
    chosen = _select_entries(catalogue(), what)
    if as_json:
        write_json({title: [asdict(entry) for entry in entries] for title, entries in chosen.items()}, indent=2)
    else:
        print_tables(chosen)


def _select_entries(whole: "Catalogue", what: str) -> "Catalogue":
    parts = {title: entries for title, entries in whole.items() if what.replace("-", "_") in title}
    named = {title: [entry for entry in entries if entry.name == what] for title, entries in whole.items()}
    chosen = parts or {title: entries for title, entries in named.items() if entries}
    if not chosen:
        raise typer.BadParameter(_unknown_name_message(whole, what), param_hint="WHAT")
    return chosen


def _unknown_name_message(whole: "Catalogue", what: str) -> str:
    from mxtrain.names import suggest

    names = [*whole, *(entry.name for entries in whole.values() for entry in entries)]
    remedy = suggest(what, names, otherwise="mxtrain list prints them all")
    return f"must be one of {', '.join(whole)}, or a name in one of them, got {what!r}; {remedy}"


class Language(StrEnum):
    """Backends whose program can be printed."""

    numpy = "numpy"
    compiled = "compiled"
    cupy = "cupy"


class Notation(StrEnum):
    """Forms in which a rule can be printed."""

    formula = "formula"


def show(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE|RULE",
            help="A config file, or the name of an optimizer.",
            show_default=False,
            autocompletion=complete_rule_or_config,
        ),
    ],
    backend: Annotated[
        Language | None,
        choice_option(Language, "Print the program of the optimizer for a backend.", show_default=False),
    ] = None,
    notation: Annotated[
        Notation | None,
        typer.Option("--as", help="Print a rule as a config of kind formula, with the same bits.", show_default=False),
    ] = None,
    parameters: Annotated[
        bool, typer.Option("--parameters", help="Print the rule and the values of each parameter of the model.")
    ] = False,
    sets: Overrides = None,
    plugin: Plugin = None,
) -> None:
    """Print the resolved config of a file or a rule's program.

    For a file: YAML with every default filled in, which runs again unchanged; with --parameters, the rule of each
    parameter, its values, and the group and the line that decided them. For a rule, such as adam: its formula and the
    program that every backend runs; --set sets its fields, as in: mxtrain show sgd --set μ=0.9
    With --as formula, the rule as text: a config of kind formula.
    """
    import_plugins(plugin)
    if target == "formula" and not any(each.startswith("update=") for each in sets or ()):
        typer.echo(_documentation_of_formula())
        return
    config = _read_target(target, sets or ())
    if parameters:
        from mxtrain.cli.parameters_table import print_parameters

        print_parameters(config, target, sets or (), load_factory(plugin))
    else:
        _show_config(config, backend, notation, is_kind=_is_optimizer(target))


def _show_config(
    config: "RunConfig | Sweep | Rule", backend: Language | None, notation: Notation | None, *, is_kind: bool
) -> None:
    """Print a config, its optimizer as a formula, or the programs of its optimizer."""
    from mxtrain.config import RunConfig, Sweep, to_yaml
    from mxtrain.config.yaml.dump import mapping_to_yaml

    if isinstance(config, Sweep):
        if backend is not None or notation is not None:
            hint = "--backend" if backend is not None else "--as"
            raise typer.BadParameter("a sweep has many optimizers; leave it out", param_hint=hint)
        write_file_text(mapping_to_yaml(config.redacted()))
        return
    if isinstance(config, RunConfig):
        config = config.resolve()
    rule = config.optimizer if isinstance(config, RunConfig) else config
    if rule.needs_values and (backend is not None or notation is not None):
        hint = "--backend" if backend is not None else "--as"
        raise typer.BadParameter(f"{rule.kind} is no rule, and has no program; leave it out", param_hint=hint)
    if notation is not None:
        write_file_text(_as_formula(rule))
    elif is_kind and rule.needs_values:
        typer.echo(_documentation_of_method(rule))
    elif is_kind:
        _print_rule(rule, backend)
    elif backend is not None:
        _print_programs(rule, backend)
    else:
        lines = _update_lines(rule.model_copy(update={"clip_norm": config.clip_norm}))
        write_file_text(to_yaml(config) + "".join(f"# {line}\n" for line in lines))


def _print_rule(rule: "Rule", backend: Language | None) -> None:
    """Print the program of a rule: of a backend, or for all of them with the formula and the order of an update."""
    from mxtrain.optim.ir import Program, describe_traffic
    from mxtrain.optim.rule_checks import checked_program
    from mxtrain.optim.update_summary import describe_update, describe_variants

    program = checked_program(rule)
    if backend is None:
        typer.echo(f"{_formula(rule)}\n")
        for lines in (describe_update(rule), describe_variants(rule)):
            if lines:
                typer.echo("\n".join(lines) + "\n")
        if isinstance(program, Program):
            typer.echo(f"One pass: {describe_traffic(program)}\n")
    typer.echo(_format_program(program, backend).rstrip("\n"))


def _print_programs(rule: "Rule", backend: Language) -> None:
    """Print the program of an optimizer for a backend, and those of groups with other programs after a comment."""
    from mxtrain.optim.rule_checks import checked_program

    mark = "//" if backend is Language.cupy else "#"
    first: dict[str, str] = {}
    for title, each in _titled_rules(rule):
        text = _format_program(checked_program(each), backend).rstrip("\n")
        same = first.setdefault(text, title)
        if title:
            what = each.kind if same == title else f"as {same or 'the optimizer'}"
            typer.echo(f"\n{mark} {title}: {what}")
        if same == title:
            typer.echo(text)


def _titled_rules(rule: "Rule") -> "Iterator[tuple[str, Rule]]":
    """Yield the rule of the optimizer, with an empty title, that of each group, and their rules for vectors."""
    from mxtrain.optim.param_groups import rules_of_groups

    for selector, each, vectors in rules_of_groups(rule):
        place = "" if selector is None else f"group {selector}"
        yield place, each.with_largest_numbers()
        if vectors is not each:
            yield f"vectors of {place or 'the optimizer'}", vectors.with_largest_numbers()


def _update_lines(rule: "Rule") -> list[str]:
    """Return the order of an update and its passes, of an optimizer with wrappers or with groups of other kinds."""
    has_kinds = any(group.rule is not None for group in rule.groups.values())
    lines: list[str] = []
    first: dict[tuple[str, ...], str] = {}
    for title, each in _titled_rules(rule):
        found = _lines_of_rule(each, always=has_kinds)
        same = first.setdefault((each.kind, *found), title)
        if found and same != title:
            lines.append(f"{title}: as {same or 'the optimizer'}")
        elif found:
            heading = title or ("the optimizer" if has_kinds else "")
            lines += [*([f"{heading}: {each.kind}"] if heading else []), *found]
    return lines


def _lines_of_rule(rule: "Rule", *, always: bool) -> list[str]:
    """Return the order of an update with wrappers, and the passes of its program; without, empty or what it moves."""
    from mxtrain.optim.ir import MatrixProgram, Program, describe_traffic
    from mxtrain.optim.update_summary import describe_total, describe_update, describe_variants

    lines = describe_update(rule)
    if not lines and not always:
        return []
    program = rule.program()
    passes = [program] if isinstance(program, Program) else []
    if not isinstance(program, Program | MatrixProgram):
        passes = [each.program for each in program.passes]
    each_pass = [f"pass {i} of {len(passes)}: {describe_traffic(each)}" for i, each in enumerate(passes, start=1)]
    return [*(lines or [describe_total(rule)]), *each_pass, *describe_variants(rule)]


def _as_formula(rule: "Rule") -> str:
    """Return the YAML text of a formula that is bit-for-bit equal to a rule."""
    from mxtrain.config.yaml.dump import mapping_to_yaml
    from mxtrain.optim.formula.printing import CannotPrintError, as_formula

    try:
        return mapping_to_yaml(as_formula(rule))
    except CannotPrintError as error:
        message = f"{rule.kind} cannot be written as a formula: {error}"
        raise typer.BadParameter(message, param_hint="--as") from None


def _documentation_of_formula() -> str:
    """Return the description of rules as text, with the fields."""
    from inspect import cleandoc

    from mxtrain.optim.rules import Formula

    return cleandoc(Formula.__doc__ or "").split("\n\nSource:")[0].replace("`", "")


def _documentation_of_method(method: "Rule") -> str:
    """Return the description of a method with a line search, its fields with their values, and its source."""
    from inspect import cleandoc

    from mxtrain.config import to_yaml

    about, _, rest = cleandoc(type(method).__doc__ or "").partition("\n\nArgs:\n")
    fields, _, source = rest.partition("\n\n")
    source = source[source.index("Source:") :]
    values = "\n".join(f"    {line}" for line in to_yaml(method).rstrip("\n").split("\n"))
    return f"{about}\n\nFields:\n{fields}\n\nConfig:\n{values}\n\n{source}"


def _read_target(target: str, sets: list[str] | tuple[()]) -> "RunConfig | Sweep | Rule":
    from mxtrain.config import optimizer_from_dict, read_config

    if _is_optimizer(target):
        return optimizer_from_dict({"kind": target}, sets)
    if not Path(target).suffix and not Path(target).exists():
        raise typer.BadParameter(_unknown_target_message(target), param_hint="FILE|RULE")
    return read_config(target, sets)


def _is_optimizer(target: str) -> bool:
    return target in _optimizers()


def _optimizers() -> tuple[str, ...]:
    from mxtrain.config.introspection import allowed_kinds
    from mxtrain.minimization.method_configs import AnyOptimizer

    return allowed_kinds(AnyOptimizer)


def _unknown_target_message(target: str) -> str:
    from mxtrain.names import suggest
    from mxtrain.types import describe

    remedy = suggest(target, _optimizers(), otherwise=f"the optimizers are {', '.join(_optimizers())}")
    return f"there is no file and no optimizer {describe(target)}; {remedy}"


def _formula(rule: "Rule") -> str:
    """Return the formula of a rule and the description of its coefficients, from its documentation."""
    from inspect import cleandoc

    parts = [cleandoc(type(rule).__doc__ or "").split("\n\nArgs:")[0]]
    if about := type(rule).coefficients.__doc__:
        parts.append(f"Coefficients: {cleandoc(about)}")
    return "\n\n".join(parts).replace("`", "")


def _format_program(program: "AnyProgram", backend: Language | None) -> str:
    from mxtrain.optim.ir import MatrixProgram, Program

    if isinstance(program, MatrixProgram):
        return str(program) if backend in (None, Language.numpy) else program.source()
    match backend:
        case Language.compiled:
            from mxtrain.optim.backends.compiled.codegen_numba import generate_numba_pass_source, generate_numba_source

            if isinstance(program, Program):
                return generate_numba_source(program)
            return "\n\n".join(generate_numba_pass_source(program, each, "float32") for each in program.passes)
        case Language.cupy:
            from mxtrain.optim.backends.codegen_cuda import generate_cuda_pass_source, generate_cuda_source

            if isinstance(program, Program):
                return generate_cuda_source(program)
            return "\n".join(generate_cuda_pass_source(program, each, "float") for each in program.passes)
    return str(program)
