"""MXTRAIN_THREADS, the number of threads for a large array."""

import pytest

import mxtrain
from mxtrain.optim.backends.arrays import thread_count


def test_the_variable_sets_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", "3")
    assert thread_count() == 3


@pytest.mark.parametrize("unset", [None, ""])
def test_the_default_is_at_least_one(unset: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if unset is None:
        monkeypatch.delenv("MXTRAIN_THREADS", raising=False)
    else:
        monkeypatch.setenv("MXTRAIN_THREADS", unset)
    assert thread_count() >= 1


@pytest.mark.parametrize("value", ["abc", "0", "-1", "1.5"])
@pytest.mark.parametrize("backend", ["auto", "numpy", "compiled"])
def test_an_invalid_number_raises_before_anything_runs(
    value: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", value)
    with pytest.raises(
        mxtrain.BackendError, match=f"MXTRAIN_THREADS must be a whole number, at least 1, got '{value}'"
    ):
        mxtrain.build({"kind": "sgd"}, backend=backend)
