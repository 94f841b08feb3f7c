"""Small sweeps for tests."""

import json
from pathlib import Path
from typing import Any

import pytest

SEARCH = {
    "optimizer.η": {"log": [1e-4, 1e-1]},
    "optimizer.η_sched.γ": {"uniform": [0.8, 0.999]},
    "data.batch_size": {"choice": [32, 64]},
    "model.hidden": {"choice": [[4], [8]]},
}


def small(**settings: Any) -> dict[str, Any]:
    """Return a sweep of six trials; keyword arguments replace settings of the sweep and sections of the run."""
    sections = {
        name: settings.pop(name) for name in ("fit", "data", "model", "loss", "optimizer", "name") if name in settings
    }
    sweep = {"search": SEARCH, "objective": {"maximize": "val_accuracy"}, "sampler": {"kind": "random"}, "trials": 6}
    return {
        "name": "small",
        "data": {"source": "digits"},
        "model": {"kind": "mlp", "hidden": [4]},
        "loss": "softmax_cross_entropy",
        "optimizer": {"kind": "adam", "η_sched": {"kind": "exp"}},
        "fit": {"epochs": 3, "metrics": ["accuracy"]},
        **sections,
        "sweep": sweep | settings,
    }


def table(rows: Any) -> list[dict[str, Any]]:
    """Return the rows without folders and times, which may differ between two runs of a sweep."""
    return [{name: value for name, value in row.items() if name not in ("run_dir", "seconds")} for row in rows]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Write a sweep into a file."""

    def write_file(config: dict[str, Any], name: str = "small.yaml") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        return path

    return write_file
