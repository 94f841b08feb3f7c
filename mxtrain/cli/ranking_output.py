"""Table of the options of a conditional parameter, that with the best trial first."""

from typing import TYPE_CHECKING

from rich.table import Column, Table

from mxtrain.cli.rich_output import number_column, plain_table, table_or_lines
from mxtrain.errors import escape_unprintable
from mxtrain.formatting import format_number, format_objective

if TYPE_CHECKING:
    from mxtrain.sweeps import ChoiceRanking, RankedOption

SPREAD = "within: at most the pooled standard deviation over the seeds, or not with every seed; no test of significance"


def ranking_table(ranking: "ChoiceRanking") -> Table:
    """Create the table of a ranking; for a narrow terminal, a line for each value."""
    columns = [name for name in _cells(ranking, ranking.options[0]) if ranking.seeds or name not in _WITH_SEEDS]
    rows = {option.label: _cells(ranking, option) for option in ranking.options}
    table = plain_table(Column(escape_unprintable(ranking.name), no_wrap=True), *map(number_column, columns))
    for label, cells in rows.items():
        table.add_row(escape_unprintable(label), *(cells[name] for name in columns))

    def lines() -> Table:
        grid = Table.grid(Column(style="dim", no_wrap=True), Column(overflow="fold"), padding=(0, 2))
        for label, cells in rows.items():
            grid.add_row(escape_unprintable(ranking.name), escape_unprintable(label))
            for name in columns:
                grid.add_row(f"  {name}", cells[name])
        return grid

    return table_or_lines(table, lines, wrap_cells=False)


_WITH_SEEDS = ("± over seeds", "behind", "within the spread")
"""The columns that need several seeds."""


def _cells(ranking: "ChoiceRanking", option: "RankedOption") -> dict[str, str]:
    metric, best, comparison = ranking.objective.metric, option.best, option.comparison
    return {
        f"best {metric}": "-" if best is None or best.values is None else format_objective(metric, best.values[0]),
        "± over seeds": format_number(best.std_over_seeds[0]) if best is not None and best.std_over_seeds else "-",
        "trial": "-" if best is None else str(best.number),
        "median": "-" if option.median is None else format_objective(metric, option.median),
        "trials": str(option.ended),
        "behind": "-" if comparison is None else format_number(comparison.difference),
        "within the spread": "-" if comparison is None else "yes" if comparison.is_within_spread else "no",
    }
