"""Sweeps over the terms and values of formulas."""

from pathlib import Path

import mxtrain
from tests.sweeps.conftest import small, table


def test_a_sweep_over_formulas_gives_the_same_table_with_one_worker_and_with_two(tmp_path: Path) -> None:
    optimizer = {
        "kind": "formula",
        "let": {"β": 0.9},
        "slots": ["m"],
        "terms": {"direction": "m"},
        "update": "m = β*m + (1 - β)*g\nW = W - η*{direction}",
    }
    search = {
        "optimizer.let.β": {"uniform": [0.5, 0.99]},
        "optimizer.terms.direction": {"choice": ["sign(m)", "m", "m*norm(W)"]},
        "optimizer.update": {"choice": [optimizer["update"], "m = g\nW = W - η*{direction}"]},
    }
    config = small(optimizer=optimizer, search=search, trials=2, fit={"epochs": 1, "metrics": ["accuracy"]})
    tables = [table(mxtrain.sweep(config, run_dir=tmp_path / str(n), workers=n).trials) for n in (1, 2)]
    assert tables[0] == tables[1]
    assert len({row["params"]["optimizer.terms.direction"] for row in tables[0]}) > 1
