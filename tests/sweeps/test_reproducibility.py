"""The trials of a sweep depend only on its file: not on workers, engines, speed or killed processes."""

import os
import signal
import time
from collections.abc import Callable
from functools import cache
from threading import Thread

import pytest

import mxtrain
from tests.sweeps.conftest import small, table

TWO = [{"maximize": "val_accuracy"}, {"minimize": "parameters"}]
BRANCHES = {
    "optimizer": {
        "choice": [
            {"kind": "sgd", "μ": {"uniform": [0, 0.99]}, "η": {"log": [0.001, 0.1]}},
            {"kind": "adam", "β1": {"uniform": [0.8, 0.99]}},
        ]
    },
    "model.hidden": {"choice": [[4], [8]]},
}
NUMBERS = {"optimizer.η": {"log": [1e-4, 1e-1]}, "optimizer.η_sched.γ": {"normal": [0.9, 0.02], "within": [0.8, 0.99]}}
KINDS = {
    "grid": {"sampler": {"kind": "grid"}, "search": {"model.hidden": {"choice": [[2], [4]]}, "data.batch_size": {"int": [32, 96], "step": 32}}},
    "random": {"sampler": {"kind": "random"}},
    "qmc": {"sampler": {"kind": "qmc"}},
    "tpe asha": {"sampler": {"kind": "tpe", "startup": 3}, "pruner": {"kind": "asha", "reduction": 2}, "parallel": 2, "trials": 10},
    "tpe median": {"sampler": {"kind": "tpe", "startup": 3}, "pruner": {"kind": "median", "startup": 2}, "parallel": 3, "trials": 8},
    "hyperband": {"pruner": {"kind": "hyperband", "reduction": 2}, "parallel": 2, "trials": 8},
    "cmaes": {"sampler": {"kind": "cmaes"}, "search": NUMBERS, "parallel": 2},
    "nsga2": {"sampler": {"kind": "nsga2", "population": 3}, "objective": TWO, "parallel": 3, "trials": 8},
    "seeds": {"seeds": 2, "pruner": {"kind": "asha", "reduction": 2}, "parallel": 2, "trials": 5},
}  # fmt: skip


@pytest.fixture(scope="module")
def with_one_worker(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], mxtrain.SweepResult]:
    """Return a function that gives the result of an uninterrupted sweep of KINDS with one worker."""

    @cache
    def sweep(kind: str) -> mxtrain.SweepResult:
        return mxtrain.sweep(small(**KINDS[kind]), run_dir=tmp_path_factory.mktemp("one"), workers=1)

    return sweep


@pytest.mark.parametrize("kind", KINDS)
def test_one_worker_and_three_have_the_same_trials(kind, with_one_worker, tmp_path):
    one = with_one_worker(kind)
    three = mxtrain.sweep(small(**KINDS[kind]), run_dir=tmp_path, workers=3)
    assert table(one) == table(three)
    assert not one.in_state("failed")


@pytest.mark.parametrize("kind", KINDS)
def test_a_sweep_interrupted_after_each_trial_has_the_same_trials(kind, with_one_worker, tmp_path):
    config = small(**KINDS[kind])
    stop = mxtrain.training.StopRequest()
    cuts = 0
    while True:
        stop.signal = 0
        try:
            result = mxtrain.sweep(config, run_dir=tmp_path / "cut", workers=1, stop=stop, watch=StopAtNext(stop))
            break
        except mxtrain.RunInterrupted:
            cuts += 1
    assert table(result) == table(with_one_worker(kind))
    assert cuts >= 1


def test_options_of_a_choice_have_separate_parameters(tmp_path):
    result = mxtrain.sweep(small(search=BRANCHES, trials=8, optimizer={"kind": "adam"}), run_dir=tmp_path, workers=2)
    for row in result:
        optimizer = mxtrain.load_run(row["run_dir"]).config.optimizer
        drawn = row["params"]["optimizer"]
        assert optimizer.kind == drawn["kind"]
        for name in ("μ", "η") if optimizer.kind == "sgd" else ("β1",):
            assert getattr(optimizer, name) == row["params"][f"optimizer.{name}"] == drawn[name]
    assert {row["params"]["optimizer"]["kind"] for row in result} == {"sgd", "adam"}


def test_the_value_of_several_seeds_is_their_mean(tmp_path):
    result = mxtrain.sweep(small(seeds=3, trials=2), run_dir=tmp_path, workers=2)
    for row in result:
        folder = tmp_path / "trials" / f"{row['number']:04}"
        runs = [mxtrain.load_run(folder / f"seed-{i}") for i in range(3)]
        values = [run.history[-1]["val_accuracy"] for run in runs]
        assert [run.config.seed for run in runs] == [0, 1, 2]
        assert row["values_by_seed"] == values
        assert row["value"] == pytest.approx(sum(values) / 3)
        assert row["spread"] > 0
        assert row["run_dir"] == str(folder / "seed-0")
    best = mxtrain.fit(tmp_path / "best.yaml", run_dir=tmp_path / "again")
    assert best.history[-1]["val_accuracy"] == result.best["values_by_seed"][0]


def test_a_dask_cluster_that_loses_a_worker_has_the_same_trials(tmp_path):
    config = small(sampler={"kind": "tpe", "startup": 3}, pruner={"kind": "asha", "reduction": 2}, parallel=3, trials=8)
    here = mxtrain.sweep(config, run_dir=tmp_path / "here", workers=2)
    victims = []

    def watch(result):
        if result.in_state("complete") and not victims:
            victims.extend(children(os.getpid(), "spawn_main"))
            if victims:
                os.kill(victims[0], signal.SIGKILL)

    there = mxtrain.sweep(config, run_dir=tmp_path / "there", workers=2, engine="dask", watch=watch)
    assert victims
    assert table(there) == table(here)


def test_killed_workers_lose_no_trial(tmp_path):
    config = small(fit={"epochs": 30, "metrics": ["accuracy"]}, trials=6)
    whole = mxtrain.sweep(config, run_dir=tmp_path / "whole", workers=2)
    over, killed = [], []

    def kill():
        while not over:
            time.sleep(0.7 + 0.2 * len(killed))  # a worker needs seconds to start on a busy machine
            for worker in children(os.getpid(), "mxtrain.sweeps.local_engine")[:1]:
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)

    thread = Thread(target=kill)
    thread.start()
    try:
        result = mxtrain.sweep(config, run_dir=tmp_path / "killed", workers=2)
    finally:
        over.append(True)
        thread.join()
    assert killed
    assert table(result) == table(whole)


class StopAtNext:
    """Stop a sweep as soon as another trial has ended."""

    def __init__(self, stop):
        self.stop, self.ended = stop, None

    def __call__(self, result):
        ended = len(result.in_state("complete")) + len(result.in_state("pruned"))
        if self.ended is None:
            self.ended = ended
        elif ended > self.ended:
            self.stop.signal = signal.SIGTERM


def children(process: int, command: str) -> list[int]:
    """Return the descendants of a process whose command line contains a text."""
    import psutil

    descendants = psutil.Process(process).children(recursive=True)
    return [child.pid for child in descendants if command in " ".join(_command(child))]


def _command(process) -> list[str]:
    import psutil

    try:
        return process.cmdline()
    except psutil.Error:
        return []
