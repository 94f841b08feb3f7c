"""Table of the rules of a model's parameters, for `mxtrain show FILE --parameters`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.table import Column, Table

from mxtrain.cli.rich_output import plain_table, table_or_lines
from mxtrain.cli.streams import print_results
from mxtrain.config import RunConfig, Sweep
from mxtrain.config.loader import locate_optimizer
from mxtrain.data import read_data
from mxtrain.errors import escape_unprintable
from mxtrain.optim.explanation import Explanation, ParamExplanation, explain
from mxtrain.optim.rules import Rule

if TYPE_CHECKING:
    from mxtrain.training.model_factory import ModelFactory


def print_parameters(
    config: RunConfig | Sweep | Rule, target: str, overrides: Sequence[str], factory: "ModelFactory | None"
) -> None:
    """Print the rule and the values of each parameter, and the selector and the line that decided them.

    Args:
        config: the content of the file.
        target: the path of the file.
        overrides: the overrides that were applied to it.
        factory: makes the model if it is a custom one.

    Raises:
        BadParameter: the file holds no run, so that the parameters are unknown.
        ConfigError, DataError, ModelError: the data or the model do not suit the config.
    """
    if not isinstance(config, RunConfig):
        what = "a sweep has many optimizers" if isinstance(config, Sweep) else "an optimizer alone has no parameters"
        raise typer.BadParameter(
            f"{what}; pass a run file, or call optimizer.explain(params)", param_hint="--parameters"
        )
    found = explain_run(config.resolve(), factory, target, overrides)
    print_results(table_or_lines(_table(found), lambda: _lines(found), wrap_cells=False))
    for line in found.step_lines():
        print_results(line)


def explain_run(
    config: RunConfig, factory: "ModelFactory | None", path: str, overrides: Sequence[str] = ()
) -> Explanation:
    """Return the rules of the parameters of a run's model; its data are read for their shapes."""
    from mxtrain.optim.backends import array_module
    from mxtrain.training.model_factory import make_model

    if config.data.is_in_memory:
        message = "data in memory are passed in Python; call mxtrain.build(...).explain(params) there"
        raise typer.BadParameter(message, param_hint="--parameters")
    dataset, _ = read_data(config)
    model = make_model(config, factory, dataset.n_features, dataset.n_outputs, array_module("numpy"))
    rule = config.optimizer.model_copy(update={"clip_norm": config.clip_norm})
    return explain(rule, dict(model.shapes()), locate_optimizer(path, overrides))


def _table(found: Explanation) -> Table:
    table = plain_table(*(Column(name, no_wrap=True) for name in found.columns))
    for each in found.values():
        table.add_row(*map(escape_unprintable, each.row))
    return table


def _lines(found: Explanation) -> Table:
    """Return the rows on lines of their own, for a narrow terminal."""
    lines = Table.grid(Column(overflow="fold"))
    for each in found.values():
        for line in row_lines(each):
            lines.add_row(escape_unprintable(line))
    return lines


def row_lines(each: ParamExplanation) -> list[str]:
    """Return the row of a parameter on lines of its own."""
    name, shape, kind, values, decided_by = each.row
    return [f"{name} {shape}: {kind}", f"    {values}", f"    decided by {decided_by}"]
