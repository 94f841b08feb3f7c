"""Exception that a callback raises to stop a run or a loop."""


class StopTraining(Exception):  # noqa: N818 - a request, not an error
    """Raised by a callback to stop a run or a loop; a run is saved with its model, and can be resumed."""
