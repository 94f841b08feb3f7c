"""Summary of the columns of a table."""

import numpy as np
import pytest

from mxtrain.config import DataConfig
from mxtrain.data.kinds.summary import summarize_columns
from mxtrain.data.readers.columns import CategoricalColumn, Columns

BOOLEANS = {
    "impute": "one input, 0 or 1; missing: the more frequent value and an indicator",
    "mean": "one input, 0 or 1; missing: the more frequent value",
    "drop": "one input, 0 or 1; missing: samples left out",
    "error": "one input, 0 or 1; missing: refused",
}


@pytest.mark.parametrize(("missing", "use"), BOOLEANS.items())
def test_a_boolean_becomes_one_input(missing: str, use: str) -> None:
    config = DataConfig.model_validate({"source": "pets.csv", "target": "species", "missing": missing})
    for codes, expected in (([0, 1, 1, -1], use), ([0, 1, 1, 0], "one input, 0 or 1")):
        column = CategoricalColumn(np.array(codes), ("false", "true"), "bool")
        [summary] = summarize_columns(Columns("pets.csv", {"wild": column}, str, {"wild": "boolean"}), config)
        assert (summary.kind, summary.use) == ("boolean", expected)
