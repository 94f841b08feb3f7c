"""What is said of a run when it is over."""

from dataclasses import asdict

from rich.table import Table

from mxtrain.cli import streams
from mxtrain.config import RunConfig
from mxtrain.config.fit_section import is_better
from mxtrain.errors import printable
from mxtrain.numbers import count, duration, short
from mxtrain.training import Callback, FitResult, Row, RunInfo
from mxtrain.training.figures import NOT_METRICS
from mxtrain.training.history import best_epoch, final_epoch, monitored_metric, stopped_early


class Summary(Callback):
    """Remembers of a run what its result does not hold: its config, its size and its time."""

    config: RunConfig

    def __init__(self) -> None:
        self.parameters = 0
        self.begun = 0
        self.seconds = 0.0

    def on_start(self, info: RunInfo) -> None:
        self.config = info.config
        self.parameters = info.parameters
        self.begun = info.epochs

    def on_end(self, seconds: float) -> None:
        self.seconds = seconds

    def write_json(self, result: FitResult) -> None:
        """One object on stdout."""
        streams.write_json(
            {
                "run_dir": str(result.run_dir),
                "epochs": result.state.curr_epoch,
                "iterations": result.state.curr_iter,
                "state": asdict(result.state),
                "metrics": self._of_the_model(result),
                "best": best_epoch(self.config, result.history),
                "best_metric": monitored_metric(self.config, result.history),
                "stopped_early": stopped_early(self.config, result.history),
                "parameters": self.parameters,
                "seconds": round(self.seconds, 6),
            }
        )

    def print_table(self, result: FitResult) -> None:
        """The metrics of the epoch that the model is from, then what the run came to."""
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="dim")
        facts.add_column(overflow="fold")
        for name, fact in self._facts(result).items():
            facts.add_row(name, printable(fact))
        streams.print_results(_metrics(self._of_the_model(result)), "", facts)

    def _of_the_model(self, result: FitResult) -> Row:
        return result.history[final_epoch(self.config, result.history) - 1]

    def _facts(self, result: FitResult) -> dict[str, str]:
        row, metric = best_epoch(self.config, result.history), monitored_metric(self.config, result.history)
        work = f"{count(result.state.curr_epoch, 'epoch')}, {count(result.state.curr_iter, 'iteration')}"
        return {
            **self._ending(result),
            **({"best": _format_best(row, metric)} if row and metric else {}),
            "time": f"{duration(self.seconds)} {f'since epoch {self.begun}, of' if self.begun else 'for'} {work}",
            **_health(self._of_the_model(result), result.history),
            "parameters": f"{self.parameters:,}",
            "run": str(result.run_dir),
        }

    def _ending(self, result: FitResult) -> dict[str, str]:
        """Where the run ended and what its model is, unless that is the last epoch of all, as ever."""
        history = result.history
        epochs, epoch, early = len(history), final_epoch(self.config, history), stopped_early(self.config, history)
        if not early and epoch == epochs:
            return {}
        where = f"stopped early, after epoch {epochs} of {self.config.fit.epochs}" if early else f"after epoch {epochs}"
        return {"ended": f"{where}; the model is that of epoch {epoch}"}


def _health(row: Row, history: list[Row]) -> dict[str, str]:
    """What the diagnostics say of an epoch's gradients, and of batches that were left out in the whole run."""
    found = row.get("diagnostics")
    if found is None:
        return {}
    left_out = sum(row["diagnostics"].get("skipped", 0) for row in history)
    return {
        "gradient": f"norm {short(found['grad_norm'])}, at most {short(found['grad_norm_max'])}",
        **({"left out": f"{count(left_out, 'batch', 'batches')} that were not finite"} if left_out else {}),
    }


def _format_best(row: Row, metric: str) -> str:
    """The best epoch, its validation metrics, and the metric that it is the best by."""
    names = [name for name in row if name.startswith("val_") and row[name] is not None]
    values = ", ".join(f"{name} {short(row[name])}" for name in dict.fromkeys([*names, metric]))
    extreme = "highest" if is_better(metric, 1.0, than=0.0) else "lowest"
    return f"epoch {row['epoch']}: {values} ({extreme} {metric})"


def _metrics(row: Row) -> Table:
    """Training and validation side by side."""
    validated = "val_loss" in row
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(f"epoch {row['epoch']}", style="dim")
    for part in ("training", "validation")[: 1 + validated]:
        table.add_column(part, justify="right")
    for name in row:
        if name not in NOT_METRICS and not name.startswith("val_"):
            values = [row[name], row[f"val_{name}"]] if validated else [row[name]]
            table.add_row(name, *map(short, values))
    return table
