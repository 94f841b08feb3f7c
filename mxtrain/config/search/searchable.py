"""What may be searched, and why some of a run may not."""

from collections.abc import Iterator

from mxtrain.config.run import RunConfig
from mxtrain.config.shape import has_names, models
from mxtrain.types import Config

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


def searchable() -> Iterator[tuple[str, ...]]:
    """The paths of all that may be searched.

    >>> ("optimizer", "η_sched", "γ") in searchable(), ("seed",) in searchable()
    (True, False)
    """
    return iter(dict.fromkeys(path for path in paths(RunConfig) if not why_not(path)))


def leads_too_far(path: tuple[str, ...]) -> tuple[str, ...] | None:
    """The single value that a path leads below; None for any other path.

    >>> leads_too_far(("optimizer", "η", "x")), leads_too_far(("model", "hidden", "0"))
    (('optimizer', 'η'), None)
    >>> leads_too_far(("model", "settings", "width"))
    """
    within: tuple[type[Config], ...] = (RunConfig,)
    for i, name in enumerate(path[:-1]):
        fields = [model.model_fields[name] for model in within if name in model.model_fields]
        within = tuple(model for field in fields for model in models(field.annotation))
        if path[: i + 1] == ("model", "settings"):
            return None  # what is below is the model's own
        if fields and not within and not path[i + 1].isdigit():
            return path[: i + 1]
    return None


def paths(model: type[Config], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every field below a model."""
    for name, info in model.model_fields.items():
        yield (*above, name)
        if not has_names(info.annotation):
            for below in models(info.annotation):
                yield from paths(below, (*above, name))
