"""Whether a run can be trusted: its last part trained once more, and compared to the byte."""

from dataclasses import dataclass
from os import PathLike

from mxtrain.config import run_from_dict
from mxtrain.data import Data, take_over
from mxtrain.errors import TrainingError
from mxtrain.models import ModelFactory, with_factory
from mxtrain.training.blas_threads import blas_limited
from mxtrain.training.checkpoints import Checkpoints
from mxtrain.training.continuing import taken_up
from mxtrain.training.environment import environment_changes
from mxtrain.training.run_directory import RunDirectory
from mxtrain.training.snapshot import Snapshot
from mxtrain.training.status import read_status
from mxtrain.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a replay.

    Attributes:
        differences: the names of what differs; empty where the replay is exact.
        changes: of an inexact one, what is not as it was when the run was trained: versions, machine, backend.
        notes: what else the user should know, such as a damaged checkpoint that was skipped.
    """

    differences: list[str]
    changes: list[str]
    notes: list[str]


def verify(run_dir: str | PathLike[str], *, model: ModelFactory | None = None, data: Data | None = None) -> list[str]:
    """Train again from the last checkpoint but one to the last, and compare: what differs, to the byte.

    A short run that has written only one checkpoint is trained again from its beginning.
    The last checkpoint is also compared with metrics.jsonl and, where the run is finished, with model.safetensors.

    Args:
        run_dir: the run's folder.
        model, data: as for `fit`; those that the run was begun with.

    Returns:
        The names of what differs; empty where the replay is exact.

    Raises:
        TrainingError: there is no checkpoint to compare with, or only one was kept, or the data have changed.
    """
    return replay(run_dir, model=model, data=data).differences


def replay(run_dir: str | PathLike[str], *, model: ModelFactory | None = None, data: Data | None = None) -> Replay:
    """As `verify`, with the likely causes."""
    directory = RunDirectory.open(run_dir)
    checkpoints = Checkpoints(directory.checkpoints, keep=1)
    whole = checkpoints.good()
    last, previous = next(whole, None), next(whole, None)
    if last is None or (previous is None and (checkpoints.damaged or _keeps_one(last))):
        raise TrainingError(f"{run_dir} does not hold two checkpoints to compare; set fit.checkpoint.keep to 2 or more")
    run = with_factory(run_from_dict(last.record["config"], will_be_trained=False), model)
    trainer = taken_up(previous or last, run, model, given=take_over(run, data))
    if previous is None:
        trainer = Trainer(run, model, (trainer.dataset, trainer.data_fingerprint))
    changes = environment_changes(directory.path, trainer.optimizer.backend.name)
    try:
        with blas_limited(run.threads):
            _advance(trainer, last.position)
    except TrainingError as error:
        cause = f"; not as it was when the run was trained: {', '.join(changes)}" if changes else ""
        raise TrainingError(f"the replay failed: {error}{cause}") from error
    is_end = checkpoints.name(last.position) == checkpoints.names()[-1] and read_status(directory.path).is_finished
    differences = trainer.snapshot().differences(last) + directory.differences(last, is_end)
    return Replay(differences, changes if differences else [], checkpoints.damaged)


def _keeps_one(snapshot: Snapshot) -> bool:
    """Return whether earlier checkpoints were removed; otherwise a single one is the only one that was written."""
    return bool(snapshot.record["config"]["fit"]["checkpoint"]["keep"] == 1)


def _advance(trainer: Trainer, end: tuple[int, int, int]) -> None:
    """Train to a position, as `Snapshot.position` has it."""
    _, _, finished = end
    while trainer.epochs < finished:
        trainer.run_epoch()
    if trainer.position != end:
        for _ in trainer.steps():
            if trainer.position == end:
                break
