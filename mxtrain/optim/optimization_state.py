"""Progress of a training run: epoch, batch and iteration counts."""

from dataclasses import dataclass, field
from numbers import Integral

from mxtrain.errors import ArrayTypeError, ReadOnlyError
from mxtrain.names import nearest
from mxtrain.types import describe


@dataclass(slots=True)
class OptimizationState:
    """Progress of a training run, from which schedules and bias corrections are computed.

    All counts are 0 before training, and 1 during the first epoch, batch and iteration. The batch count restarts every
    epoch, the iteration count never does. The training loop updates the state: `mxtrain.fit`, or the caller of
    `Optimizer.step`.

    Args:
        batch_size: samples in a batch; 0 if unknown.
        curr_epoch: the current epoch, 1 during the first.
        curr_batch: the current batch of the epoch, 1 during the first.
        curr_iter: the current iteration of the run, 1 during the first.
        skipped: steps that `skip_nonfinite` skipped.

    Raises:
        ArrayTypeError: a count is not a whole number, or is negative.

    Example:
        >>> state = OptimizationState(batch_size=32)
        >>> state.begin_epoch(); state.begin_batch(); state.begin_batch()
        >>> state.begin_epoch(); state.begin_batch()
        >>> state
        OptimizationState(batch_size=32, curr_epoch=2, curr_batch=1, curr_iter=3)

    Source: `OptimizationState` of MXNet.jl.
    """

    batch_size: int = 0
    curr_epoch: int = 0
    curr_batch: int = 0
    curr_iter: int = 0
    skipped: int = field(default=0, repr=False)

    def __setattr__(self, name: str, value: int) -> None:
        if name not in self.__slots__:
            guess = nearest(name, self.__slots__)
            remedy = f"did you mean {guess}?" if guess else f"its attributes are {', '.join(self.__slots__)}"
            raise ReadOnlyError(f"OptimizationState has no attribute {name}; {remedy}")
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
            raise ArrayTypeError(f"state.{name} must be a whole number at least 0, got {describe(value)}")
        object.__setattr__(self, name, int(value))

    def begin_epoch(self) -> None:
        """Count one more epoch, and restart the batch count at 0."""
        self.curr_epoch += 1
        self.curr_batch = 0

    def begin_batch(self) -> None:
        """Count one more batch and iteration; the first batch of a run also begins the first epoch."""
        if self.curr_epoch < 1:
            self.curr_epoch = 1
        _set_batch(self, self.curr_batch + 1)
        _set_iter(self, self.curr_iter + 1)

    def skip_batch(self) -> None:
        """Count a batch without an update: it is not an iteration, so that schedules do not advance."""
        self.curr_batch += 1

    def count_skipped(self) -> None:
        """Count a step that was skipped because a gradient was not finite; it is a batch, but no iteration."""
        self.skipped += 1
        self.skip_batch()


_set_batch, _set_iter = (OptimizationState.__dict__[name].__set__ for name in ("curr_batch", "curr_iter"))
"""Setters without checks, because `begin_batch` is called at every step."""
