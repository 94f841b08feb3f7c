"""What may not be searched, and why."""

_NO_RESULT = "changes no result, so there is nothing to search"
_REASONS = {
    ("sweep",): "a sweep cannot search itself",
    ("extends",): "extends belongs into a file",
    ("name",): _NO_RESULT,
    ("seed",): "a seed is no better than another; for several seeds at each point say sweep.seeds",
    ("threads",): _NO_RESULT,
    ("backend",): _NO_RESULT,
    ("model", "plugin"): "the run fills this in",
    ("fit", "metrics"): _NO_RESULT,
    ("fit", "diagnostics"): _NO_RESULT,
    ("fit", "checkpoint"): _NO_RESULT,
    ("fit", "loggers"): _NO_RESULT,
}


def why_not(path: tuple[str, ...]) -> str | None:
    """Why a path may not be searched; None for one that may.

    >>> why_not(("backend",)), why_not(("optimizer", "η"))
    ('changes no result, so there is nothing to search', None)
    """
    return next((reason for names, reason in _REASONS.items() if path[: len(names)] == names), None)
