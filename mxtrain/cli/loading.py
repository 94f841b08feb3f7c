"""A run loaded for a command, with whatever there is to say of it told on stderr."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mxtrain.training import LoadedRun


def load_told(run: str, plugin: str | None) -> "LoadedRun":
    """Load a run; tell of damage, and of a run that is not finished."""
    from mxtrain.cli.plugins import load_plugin
    from mxtrain.cli.streams import messages
    from mxtrain.errors import printable
    from mxtrain.training import load_run

    loaded = load_run(run, model=load_plugin(plugin))
    console = messages()
    for note in loaded.notes:
        console.print(printable(note), soft_wrap=True)
    if loaded.status.state != "finished":
        epochs = f"{len(loaded.history)} of {loaded.config.fit.epochs} epochs"
        console.print(f"the run is {loaded.status.state}: this is its model after {epochs}", soft_wrap=True)
    return loaded
