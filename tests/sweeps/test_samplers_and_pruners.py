"""The points of trials depend on their numbers and on earlier results, not on how often the driver was restarted."""

import math
from dataclasses import replace

import pytest

import mxtrain
from mxtrain.config import sweep_from_dict
from mxtrain.sweeps import samplers_and_pruners
from mxtrain.sweeps.run_sweep import silence_optuna
from mxtrain.sweeps.samplers_and_pruners import TrialSampler
from mxtrain.sweeps.sweep_folder import _immutable_settings
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


class SimulatedSweep:
    """Draws one trial after the other, and computes results without training."""

    def __init__(self, sweep):
        self.sweep, self.sampler, self.reported = sweep, TrialSampler(sweep), 0
        self.samples = []

    def draw_until(self, until, before=()):
        """Draw `until` trials; those that an earlier driver drew, in `before`, are restored."""
        while len(self.samples) < until:
            number = len(self.samples)
            while self.reported < number - 7:
                self.report(self.reported)
                self.reported += 1
            is_restored = number < len(before)
            self.samples.append(
                self.sampler.restore_sample(before[number]) if is_restored else self.sampler.draw(number)
            )
        return self.samples

    def report(self, number):
        params = self.samples[number].params
        value = -((math.log10(params["optimizer.η"]) + 2.5) ** 2) - (params["optimizer.β1"] - 0.7) ** 2
        values = (value, params["data.validation"])[: len(self.sweep.settings.objectives)]
        state = "pruned" if number % 7 == 3 and len(values) == 1 else "complete"
        rungs = {1: value} if len(values) == 1 else {}
        self.sampler.tell(replace(self.samples[number], state=state, values=values, intermediate_values=rungs))


def points(samples):
    return [each.sampler_params for each in samples]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_restarted_driver_draws_the_same_points(kind):
    config = small(search=SEARCH, trials=40, optimizer={"kind": "adam"}, **kind)
    sweep = sweep_from_dict(config)
    with silence_optuna():
        whole = SimulatedSweep(sweep).draw_until(40)
        for start in (1, 9, 17, 25, 39):
            assert points(SimulatedSweep(sweep).draw_until(40, before=whole[:start])) == points(whole)


def test_tpe_takes_running_trials_into_account():
    """Two sweeps with the same results and with different running trials draw different points."""
    sweep = sweep_from_dict(small(search=SEARCH, trials=40, optimizer={"kind": "adam"}, sampler={"kind": "tpe"}))
    with silence_optuna():
        before = SimulatedSweep(sweep).draw_until(30)
        running = [
            replace(each, sampler_params=old.sampler_params, params=old.params)
            for each, old in zip(before[23:], before, strict=False)
        ]
        others = before[:23] + running
        one, again, other = (SimulatedSweep(sweep).draw_until(31, before=each)[30] for each in (before, before, others))
    assert one.sampler_params == again.sampler_params
    assert one.sampler_params != other.sampler_params


RULES = {
    "optimizer": {
        "choice": [
            {"kind": "sgd", "η": {"log": [1e-2, 1.0]}, "μ": {"uniform": [0, 1]}},
            {"kind": "adam", "lr": {"log": [1e-3, 1e-1]}},
            {"kind": "lion", "η": {"log": [1e-4, 1e-2]}},
        ]
    }
}


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_options_of_a_stratified_choice_take_turns_with_the_same_random_numbers(sampler):
    config = small(search=RULES, stratify="optimizer", trials=9, optimizer=None, sampler={"kind": sampler})
    del config["optimizer"]
    sweep = sweep_from_dict(config)
    with silence_optuna():
        sampler = TrialSampler(sweep)
        drawn = [sampler.draw(number) for number in range(9)]
        other = TrialSampler(sweep)
        restored = [other.restore_sample(each) for each in drawn[:5]] + [other.draw(number) for number in range(5, 9)]
    assert [each.sampler_params["optimizer"] for each in drawn] == ["sgd", "adam", "lion"] * 3
    assert points(restored) == points(drawn)
    for turn in range(3):
        η = [each.params["optimizer.η"] for each in drawn[3 * turn : 3 * turn + 3]]
        assert η[1] == pytest.approx(η[0] / 10)
        assert η[2] == pytest.approx(η[0] / 100)


def test_a_sweep_without_strata_is_the_same_sweep_as_before():
    assert "sweep.stratify" not in _immutable_settings(sweep_from_dict(small()))
    assert (
        _immutable_settings(sweep_from_dict(small(stratify="data.batch_size")))["sweep.stratify"] == "data.batch_size"
    )


def test_another_seed_draws_other_points():
    with silence_optuna():
        one, other = (SimulatedSweep(sweep_from_dict(small(seed=seed))).draw_until(3) for seed in (0, 1))
    assert points(one) != points(other)


def test_a_grid_is_drawn_in_the_order_of_the_file_and_the_last_value_changes_fastest():
    search = {"data.batch_size": {"choice": [16, 32]}, "optimizer.β1": {"uniform": [0.5, 0.7], "step": 0.1}}
    sweep = sweep_from_dict(small(search=search, sampler={"kind": "grid"}, trials=None, optimizer={"kind": "adam"}))
    with silence_optuna():
        drawn = [each.params for each in SimulatedSweep(sweep).draw_until(sweep.total)]
    assert [tuple(params.values()) for params in drawn] == [
        (16, 0.5),
        (16, 0.6),
        (16, 0.7),
        (32, 0.5),
        (32, 0.6),
        (32, 0.7),
    ]


@pytest.mark.parametrize(("kind", "package"), [("qmc", "scipy"), ("cmaes", "cmaes"), ("gp", "torch")])
def test_a_sampler_with_a_missing_package_is_refused_before_anything_is_written(kind, package, tmp_path, monkeypatch):
    found = samplers_and_pruners.find_spec
    monkeypatch.setattr(samplers_and_pruners, "find_spec", lambda name: None if name == package else found(name))
    with pytest.raises(mxtrain.SweepError, match=rf"the sampler {kind} needs {package}; pip install 'mxtrain\["):
        mxtrain.sweep(small(sampler={"kind": kind}), run_dir=tmp_path, workers=1)
    assert not list(tmp_path.iterdir())
