"""Exception with which a callback ends a run or a loop."""


class StopTraining(Exception):  # noqa: N818 - a request, not an error
    """Exception with which a callback stops a run: the run is saved with its model, and can be resumed."""
