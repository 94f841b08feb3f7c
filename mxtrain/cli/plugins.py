"""`--plugin`: a module of the user's, that the user names."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mxtrain.models import ModelFactory

FACTORY = "model"


def load_plugin(name: str | None) -> "ModelFactory | None":
    """The function `model` of a module in the current folder or on PYTHONPATH; None where none is named."""
    if name is None:
        return None
    from mxtrain.module_path import import_user_module

    try:
        module = import_user_module(name)
    except Exception as error:  # noqa: BLE001 - a module of a user's can raise anything
        lines = str(error).splitlines() or [""]
        raise _refused(f"{name} cannot be imported: {type(error).__name__}: {lines[0]}") from error
    factory: ModelFactory | None = getattr(module, FACTORY, None)
    if not callable(factory):
        raise _refused(f"{name} defines no function {FACTORY}(config, n_features, n_outputs, xp)")
    return factory


def _refused(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--plugin")
