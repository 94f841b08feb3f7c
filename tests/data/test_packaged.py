"""The data sets of the package equal the published ones."""

import numpy as np
import pytest

from mxtrain.config.data_section import DataConfig
from mxtrain.data import load


def test_digits_are_ten_classes_of_images() -> None:
    table = load(DataConfig(source="digits"), classes=True)
    assert table.inputs.shape == (1797, 64)
    assert table.inputs.dtype == np.uint8
    assert table.inputs.sum() == 561718
    assert table.class_names == tuple("0123456789")
    assert np.bincount(table.targets).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert table.column_names[9] == "pixel_1_1"
    assert table.target_name == "digit"


def test_diabetes_is_a_number_for_each_patient() -> None:
    table = load(DataConfig(source="diabetes"), classes=False)
    assert table.inputs.shape == (442, 10)
    assert table.class_names is None
    assert table.column_names == ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
    assert table.inputs[0].tolist() == [59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87]
    assert table.targets.mean() == pytest.approx(152.13348416289594)
