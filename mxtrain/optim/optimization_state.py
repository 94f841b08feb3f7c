"""Progress of a training run: epoch, batch and iteration counts."""

from dataclasses import dataclass
from numbers import Integral

from mxtrain.errors import ArrayTypeError, ReadOnlyError
from mxtrain.names import nearest


@dataclass(slots=True)
class OptimizationState:
    """Where a training run stands: what schedules and bias corrections are functions of.

    Everything is 0 before training; epoch and batch are 1 during the first. The batch count restarts every epoch, the
    iteration count never does. Whoever runs the loop owns the state: `mxtrain.fit`, or the caller of
    `Optimizer.step`.

    Args:
        batch_size: samples in a batch; 0 where it is not known.
        curr_epoch: the epoch under way, 1 during the first.
        curr_batch: the batch under way within its epoch, 1 during the first.
        curr_iter: the iteration under way over the whole run, 1 during the first.

    Raises:
        ArrayTypeError: a count is not a whole number of at least 0.

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

    def __setattr__(self, name: str, value: int) -> None:
        if name not in self.__slots__:
            guess = nearest(name, self.__slots__)
            remedy = f"did you mean {guess}?" if guess else f"its attributes are {', '.join(self.__slots__)}"
            raise ReadOnlyError(f"OptimizationState has no attribute {name}; {remedy}")
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
            raise ArrayTypeError(f"state.{name} must be a whole number at least 0, got {value!r}")
        object.__setattr__(self, name, int(value))

    def begin_epoch(self) -> None:
        """Count one more epoch; its batches are counted from 0 again."""
        self.curr_epoch += 1
        self.curr_batch = 0

    def begin_batch(self) -> None:
        """Count one more batch and iteration; the first batch of all also begins the first epoch."""
        if self.curr_epoch < 1:
            self.curr_epoch = 1
        _set_batch(self, self.curr_batch + 1)
        _set_iter(self, self.curr_iter + 1)

    def skip_batch(self) -> None:
        """Count a batch that is left out: it makes no iteration, so no schedule moves."""
        self.curr_batch += 1


_set_batch, _set_iter = (OptimizationState.__dict__[name].__set__ for name in ("curr_batch", "curr_iter"))
"""Setters that skip the checks, because `begin_batch` is called at every step."""
