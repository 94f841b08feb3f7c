"""What is drawn for a trial follows from its number and from what the first trials came to, however often a driver began."""

import math
from dataclasses import replace

import pytest

import mxtrain
from mxtrain.config import sweep_from_dict
from mxtrain.sweeps import sampling
from mxtrain.sweeps.run_sweep import silence_optuna
from mxtrain.sweeps.sampling import TrialSampler
from tests.sweeps.conftest import small

SEARCH = {
    "optimizer.η": {"log": [1e-4, 1e-1]},
    "optimizer.β1": {"uniform": [0.1, 0.9]},
    "data.validation": {"normal": [0.3, 0.05], "within": [0.1, 0.5]},
    "data.batch_size": {"choice": [32, 64]},
}
TWO = [{"maximize": "val_accuracy"}, {"minimize": "val_loss"}]
KINDS = [
    {"sampler": {"kind": "random"}},
    {"sampler": {"kind": "qmc"}},
    {"sampler": {"kind": "qmc", "sequence": "halton", "scramble": True}},
    {"sampler": {"kind": "tpe"}},
    {"sampler": {"kind": "tpe", "group": True}},
    {"sampler": {"kind": "tpe"}, "objective": TWO},
    {"sampler": {"kind": "cmaes"}},
    {"sampler": {"kind": "cmaes", "variant": "margin", "population": 4}},
    {"sampler": {"kind": "nsga2", "population": 6}},
    {"sampler": {"kind": "nsga2", "population": 10}, "objective": TWO},
]


class Course:
    """Draws trials one after the other, and makes up what comes of them."""

    def __init__(self, sweep):
        self.sweep, self.sampling, self.told = sweep, TrialSampler(sweep), 0
        self.drawn = []

    def go_on(self, until, before=()):
        """Draw the trials up to one; those that an earlier driver drew are recalled."""
        while len(self.drawn) < until:
            number = len(self.drawn)
            while self.told < number - 7:
                self.tell(self.told)
                self.told += 1
            recalled = number < len(before)
            self.drawn.append(self.sampling.restore_sample(before[number]) if recalled else self.sampling.draw(number))
        return self.drawn

    def tell(self, number):
        params = self.drawn[number].params
        value = -((math.log10(params["optimizer.η"]) + 2.5) ** 2) - (params["optimizer.β1"] - 0.7) ** 2
        values = (value, params["data.validation"])[: len(self.sweep.settings.objectives)]
        state = "pruned" if number % 7 == 3 and len(values) == 1 else "complete"
        rungs = {1: value} if len(values) == 1 else {}
        self.sampling.tell(replace(self.drawn[number], state=state, values=values, intermediate_values=rungs))


def points(drawn):
    return [each.drawn for each in drawn]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_driver_that_begins_again_draws_what_one_that_never_stopped_draws(kind):
    config = small(search=SEARCH, trials=40, optimizer={"kind": "adam"}, **kind)
    sweep = sweep_from_dict(config)
    with silence_optuna():
        whole = Course(sweep).go_on(40)
        for start in (1, 9, 17, 25, 39):
            assert points(Course(sweep).go_on(40, before=whole[:start])) == points(whole)


def test_another_seed_draws_other_points():
    with silence_optuna():
        one, other = (Course(sweep_from_dict(small(seed=seed))).go_on(3) for seed in (0, 1))
    assert points(one) != points(other)


def test_a_grid_is_drawn_in_the_order_of_the_file_the_last_value_fastest():
    search = {"data.batch_size": {"choice": [16, 32]}, "optimizer.β1": {"uniform": [0.5, 0.7], "step": 0.1}}
    sweep = sweep_from_dict(small(search=search, sampler={"kind": "grid"}, trials=None, optimizer={"kind": "adam"}))
    with silence_optuna():
        drawn = [each.params for each in Course(sweep).go_on(sweep.total)]
    assert [tuple(params.values()) for params in drawn] == [
        (16, 0.5),
        (16, 0.6),
        (16, 0.7),
        (32, 0.5),
        (32, 0.6),
        (32, 0.7),
    ]


@pytest.mark.parametrize(("kind", "package"), [("qmc", "scipy"), ("cmaes", "cmaes"), ("gp", "torch")])
def test_a_sampler_whose_package_is_missing_is_refused_before_the_first_trial(kind, package, tmp_path, monkeypatch):
    found = sampling.find_spec
    monkeypatch.setattr(sampling, "find_spec", lambda name: None if name == package else found(name))
    with pytest.raises(mxtrain.SweepError, match=rf"the sampler {kind} needs {package}; pip install 'mxtrain\["):
        mxtrain.sweep(small(sampler={"kind": kind}), run_dir=tmp_path, workers=1)
    assert not list(tmp_path.iterdir())
