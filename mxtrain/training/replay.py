"""Repetition of the last part of a run, to verify that it gives the same bytes."""

from dataclasses import dataclass
from os import PathLike

from mxtrain.config import run_from_dict
from mxtrain.data import GivenData, read_in_memory_data
from mxtrain.errors import RunRequestError, TrainingError
from mxtrain.training.checkpoints.snapshot import Snapshot
from mxtrain.training.checkpoints.storage import Checkpoints
from mxtrain.training.environment import environment_changes, limit_blas_threads
from mxtrain.training.loop import run_epochs
from mxtrain.training.model_factory import ModelFactory, with_factory
from mxtrain.training.resume_checks import restored_trainer, with_earlier_config
from mxtrain.training.run_folder.run_directory import RunDirectory, with_saved_defaults
from mxtrain.training.run_folder.run_status import read_status
from mxtrain.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Replay:
    """The outcome of a replay.

    Attributes:
        differences: the names of the values that differ; empty if the replay is exact.
        changes: if it is not exact, the changes of versions, machine and backend since the run was trained.
        notes: messages for the user, such as a damaged checkpoint that was skipped.
    """

    differences: list[str]
    changes: list[str]
    notes: list[str]


def verify(run_dir: str | PathLike[str], *, model: ModelFactory | None = None, data: GivenData = None) -> list[str]:
    """Train from the second-to-last checkpoint to the last one again, and compare every byte.

    A run that wrote only one checkpoint is trained again from its beginning. The last checkpoint is also compared with
    metrics.jsonl and, for a finished run, with model.safetensors.

    Args:
        run_dir: the run's folder.
        model, data: as for `fit`, the same as when the run started.

    Returns:
        The names of the values that differ; empty if the replay is exact.

    Raises:
        TrainingError: there is no checkpoint to compare with, only one was kept, or the data have changed.

    Example:
        >>> import mxtrain, tempfile
        >>> run_dir = mxtrain.fit({
        ...     "data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam"}, "fit": {"epochs": 2}}, run_dir=tempfile.mkdtemp()).run_dir
        >>> mxtrain.verify(run_dir)
        []
    """
    return replay(run_dir, model=model, data=data).differences


def replay(run_dir: str | PathLike[str], *, model: ModelFactory | None = None, data: GivenData = None) -> Replay:
    """Verify a run as `verify` does, and return the likely causes of differences too."""
    directory = RunDirectory.open(run_dir)
    checkpoints = Checkpoints(directory.checkpoints, keep=1)
    intact = checkpoints.intact()
    last, previous = next(intact, None), next(intact, None)
    if last is None or (previous is None and (checkpoints.damaged or _keeps_one(last))):
        remedy = "set fit.checkpoint.keep to 2 or more"
        raise RunRequestError(f"{run_dir} does not hold two checkpoints to compare; {remedy}")
    run = with_saved_defaults(run_from_dict(last.record["config"], will_be_trained=False))
    run = with_factory(run, model)
    trainer = restored_trainer(previous or last, run, model, given=read_in_memory_data(run, data))
    if previous is None:
        trainer = Trainer(run, model, (trainer.dataset, trainer.data_fingerprint))
    changes = environment_changes(directory.path, trainer.optimizer.backend.name)
    try:
        with limit_blas_threads(run.threads):
            for _ in run_epochs(trainer, last.position):
                pass
    except TrainingError as error:
        cause = f"; changed since the run was trained: {', '.join(changes)}" if changes else ""
        raise TrainingError(f"the replay failed: {error}{cause}") from error
    is_end = checkpoints.name(last.position) == checkpoints.names()[-1] and read_status(directory.path).is_finished
    found = with_earlier_config(trainer.snapshot(), last)
    differences = found.differences(last) + directory.differences(last, trainer.config.optimizer, is_end)
    return Replay(differences, changes if differences else [], checkpoints.damaged)


def _keeps_one(snapshot: Snapshot) -> bool:
    """Return whether the run kept one checkpoint and removed earlier ones, instead of having written only one."""
    return bool(snapshot.record["config"]["fit"]["checkpoint"]["keep"] == 1)
