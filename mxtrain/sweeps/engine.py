"""What an engine does: segments in, outcomes out. Which one it is changes no result."""

from typing import Protocol

from mxtrain.sweeps.task import Outcome, Task


class Engine(Protocol):
    """Does segments side by side, and survives the loss of its workers."""

    @property
    def free(self) -> int:
        """How many more segments it can take now."""

    def submit(self, task: Task) -> None:
        """Begin a segment; only where `free` says so."""

    def wait(self, seconds: float) -> list[Outcome]:
        """What has come of segments since the last call; at the latest after so many seconds, be it nothing.

        Raises:
            SweepError: no worker can be had at all.
        """

    def stop(self, signal: int) -> None:
        """Ask every segment under way to end after its step, and to save its run."""

    def close(self) -> None:
        """End all workers."""
