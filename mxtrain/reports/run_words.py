"""A run in a few sentences."""

from mxtrain.errors import resume_command
from mxtrain.numbers import count, duration, short
from mxtrain.reports.run_facts import RunFacts
from mxtrain.training import Row

_NAMES = {"r2": "R²", "mae": "mean absolute error"}
_WORSE = 1.1
"""By which factor the validation loss must have risen since its best to speak of it."""


def summary(run: RunFacts) -> str:
    """How far the run came, how good its best epoch was, and how good its model is."""
    return " ".join(part for part in (_course(run), _best(run), _outcome(run)) if part)


def _course(run: RunFacts) -> str:
    done, planned = len(run.history), run.config.fit.epochs
    epochs = count(done, "epoch") if done == planned else f"{done:,} of {count(planned, 'epoch')}"
    time = f" in {duration(run.seconds)}" if run.seconds is not None and done else ""
    match run.status.state:
        case "finished" if done < planned:
            return f"Stopped early, after {epochs}{time}."
        case "finished":
            return f"Trained for {epochs}{time}."
        case "failed":
            return f"Failed after {epochs}{time}." if done else "Failed in its first epoch."
    return f"Not finished: {epochs}{time} so far; `{resume_command(run.path)}` goes on."


def _best(run: RunFacts) -> str:
    best, monitor = run.best, run.monitor
    if best is None or monitor is None:
        return ""
    told = f"{_words(monitor)} was best in epoch {best['epoch']:,}: {short(best[monitor])}."
    last = run.history[-1]
    if _overfits(best, last):
        rise = f"from {short(best['val_loss'])} to {short(last['val_loss'])}"
        told += f" Afterwards the validation loss rose {rise} while the training loss fell, a sign of overfitting."
    if run.epoch != len(run.history):
        told += f" The model is that of epoch {run.epoch:,}."
    return told


def _overfits(best: Row, last: Row) -> bool:
    return "val_loss" in last and last["val_loss"] > _WORSE * best["val_loss"] > 0 and last["loss"] < best["loss"]


def _outcome(run: RunFacts) -> str:
    if run.comparison is None:
        return ""
    part = run.comparison.part
    told = ", ".join(f"{name} {short(value)}" for name, value in run.comparison.metrics.items())
    return f"On the {part} part ({count(run.comparison.samples[part], 'sample')}): {told}."


def _words(monitor: str) -> str:
    """A metric's name at the beginning of a sentence.

    >>> _words("val_loss"), _words("accuracy"), _words("val_r2")
    ('Validation loss', 'Training accuracy', 'Validation R²')
    """
    part = "Validation" if monitor.startswith("val_") else "Training"
    name = monitor.removeprefix("val_")
    return f"{part} {_NAMES.get(name, name)}"
