"""What a worker is asked to do, and what comes of it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mxtrain.training import Progress


@dataclass(frozen=True, slots=True)
class Task:
    """A segment: take one run of a trial until so many epochs are finished.

    A pure function of `config`: whoever does it, and however often, the run's folder comes to the same bytes.

    Attributes:
        trial: the number of the trial.
        member: which of the trial's runs, where it has several seeds; else 0.
        config: the resolved config, as plain values.
        run_dir: the run's folder.
        epochs: how many epochs shall be finished.
    """

    trial: int
    member: int
    config: dict[str, Any]
    run_dir: str
    epochs: int

    @property
    def key(self) -> tuple[int, int]:
        """The run that it is a segment of; no two segments of one run are ever under way."""
        return self.trial, self.member

    def to_dict(self) -> dict[str, Any]:
        """As it is sent to a worker."""
        return asdict(self)


Kind = Literal["done", "failed", "stopped", "lost", "undone", "halted", "foreign"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a segment.

    Attributes:
        task: the segment.
        kind: `done`; `failed`: the run raised an error, and would again; `stopped`: it was asked to stop, and is saved;
            `lost`: its worker died over it, and it can be done again; `undone`: it never began; `halted`: nothing can
            be done, such as on a full disk; `foreign`: the run's folder holds another run, or damaged files.
        message: of a failure, what it was.
        progress: how far the run has come; None where it is not done.
        seconds: how long it took.
    """

    task: Task
    kind: Kind
    message: str = ""
    progress: Progress | None = None
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As it is sent to the driver; the driver knows the task."""
        return {
            "kind": self.kind,
            "message": self.message,
            "progress": self.progress and self.progress._asdict(),
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, task: Task, record: dict[str, Any]) -> "Outcome":
        """What `to_dict` returned."""
        progress = record["progress"]
        return cls(
            task, record["kind"], record["message"], Progress(**progress) if progress else None, record["seconds"]
        )
