"""MXTRAIN_THREADS: how many threads work on a large array."""

import pytest

import mxtrain
from mxtrain.optim.backends.base import thread_count


def test_it_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", "3")
    assert thread_count() == 3


@pytest.mark.parametrize("unset", [None, ""])
def test_left_out_there_is_at_least_one(unset: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if unset is None:
        monkeypatch.delenv("MXTRAIN_THREADS", raising=False)
    else:
        monkeypatch.setenv("MXTRAIN_THREADS", unset)
    assert thread_count() >= 1


@pytest.mark.parametrize("wrong", ["abc", "0", "-1", "1.5"])
@pytest.mark.parametrize("backend", ["auto", "numpy", "compiled"])
def test_what_is_no_number_of_threads_is_told_before_anything_runs(
    wrong: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", wrong)
    with pytest.raises(
        mxtrain.BackendError, match=f"MXTRAIN_THREADS must be a whole number, at least 1, got '{wrong}'"
    ):
        mxtrain.build({"kind": "sgd"}, backend=backend)
