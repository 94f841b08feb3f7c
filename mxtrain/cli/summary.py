"""What is said of a run when it is over."""

from dataclasses import asdict

from rich.table import Table

from mxtrain.cli import streams
from mxtrain.numbers import count, duration, short
from mxtrain.training import Callback, FitResult, Row, RunInfo

_NOT_METRICS = ("epoch", "iteration", "η", "μ", "diagnostics")


class Summary(Callback):
    """Remembers of a run what its result does not hold: its size and its time."""

    def __init__(self) -> None:
        self.parameters = 0
        self.begun = 0
        self.seconds = 0.0

    def on_start(self, info: RunInfo) -> None:
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
                "metrics": result.history[-1],
                "best": best(result.history),
                "parameters": self.parameters,
                "seconds": round(self.seconds, 6),
            }
        )

    def print_table(self, result: FitResult) -> None:
        """The last epoch's metrics, then what the run came to."""
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="dim")
        facts.add_column(overflow="fold")
        for name, fact in self._facts(result).items():
            facts.add_row(name, fact)
        streams.print_results(_metrics(result.history[-1]), "", facts)

    def _facts(self, result: FitResult) -> dict[str, str]:
        row = best(result.history)
        work = f"{count(result.state.curr_epoch, 'epoch')}, {count(result.state.curr_iter, 'iteration')}"
        return {
            **({"best": _told(row)} if row else {}),
            "time": f"{duration(self.seconds)} {f'since epoch {self.begun}, of' if self.begun else 'for'} {work}",
            **_health(result.history),
            "parameters": f"{self.parameters:,}",
            "run": str(result.run_dir),
        }


def _health(history: list[Row]) -> dict[str, str]:
    """What the diagnostics say of the last epoch's gradients, and of batches that were left out."""
    found = history[-1].get("diagnostics")
    if found is None:
        return {}
    left_out = sum(row["diagnostics"].get("skipped", 0) for row in history)
    return {
        "gradient": f"norm {short(found['grad_norm'])}, at most {short(found['grad_norm_max'])}",
        **({"left out": f"{count(left_out, 'batch', 'batches')} that were not finite"} if left_out else {}),
    }


def best(history: list[Row]) -> Row | None:
    """The epoch with the lowest loss on the validation part; None where there is no such part."""
    rows = [row for row in history if "val_loss" in row]
    return min(rows, key=lambda row: float(row["val_loss"]), default=None)


def _told(row: Row) -> str:
    values = ", ".join(f"{name} {short(value)}" for name, value in row.items() if name.startswith("val_"))
    return f"epoch {row['epoch']}: {values}"


def _metrics(row: Row) -> Table:
    """Training and validation side by side."""
    validated = "val_loss" in row
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(f"epoch {row['epoch']}", style="dim")
    for part in ("training", "validation")[: 1 + validated]:
        table.add_column(part, justify="right")
    for name in row:
        if name not in _NOT_METRICS and not name.startswith("val_"):
            values = [row[name], row[f"val_{name}"]] if validated else [row[name]]
            table.add_row(name, *map(short, values))
    return table
