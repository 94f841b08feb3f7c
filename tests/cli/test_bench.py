"""`mxtrain bench`: measured quantities are consistent; speed itself is not tested."""

import json
from itertools import groupby

import pytest

from mxtrain.benchmarks import RULE_CASES
from mxtrain.optim.rules import MatrixRule

SMALL = ("--size", "1000")


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    """Limit measurements to a few rounds."""
    from mxtrain.benchmarks import rule_benchmark, run_benchmark
    from mxtrain.benchmarks.measurement import measure_interleaved

    def measure_briefly(candidates, *, seconds):
        return measure_interleaved(candidates, seconds=0, rounds=2)

    for module in (rule_benchmark, run_benchmark):
        monkeypatch.setattr(module, "measure_interleaved", measure_briefly)


def test_every_rule_is_measured_with_consistent_numbers(mxtrain):
    status, out, err = mxtrain("bench", *SMALL, "--json")
    assert (status, err) == (0, "")
    measured = json.loads(out)["rules"]
    assert [each["name"] for each in measured] == list(RULE_CASES)
    for each in measured:
        assert each["size"] == (31 * 31 if isinstance(RULE_CASES[each["name"]], MatrixRule) else 1000)
        update = each["update"]
        assert 0 < update["low"] <= update["median"] <= update["high"]
        assert each["nanoseconds"] == pytest.approx(update["median"] / each["size"] * 1e9)
        assert each["gigabytes_per_second"] == pytest.approx(each["bytes_moved"] / update["median"] / 1e9)
        slower = max(each[limit]["median"] for limit in ("streaming", "arithmetic") if each[limit])
        assert each["share"] == pytest.approx(slower / update["median"])


@pytest.mark.parametrize(
    ("rule", "read_and_written"), [("sgd", 3), ("sgd-momentum", 5), ("adagrad", 5), ("adam", 7), ("adadelta", 7)]
)
def test_bytes_moved_count_the_arrays_of_an_update(mxtrain, rule, read_and_written):
    for dtype, itemsize in (("float32", 4), ("float64", 8)):
        (each,) = json.loads(mxtrain("bench", rule, *SMALL, "--dtype", dtype, "--json").out)["rules"]
        assert each["bytes_moved"] == read_and_written * itemsize * 1000


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_the_table_has_the_requested_rules_in_order(mxtrain, backend):
    status, out, _ = mxtrain("bench", "rmsprop", "sgd", *SMALL, "--backend", backend)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["rule", "rmsprop", "sgd"]


def test_a_run_file_without_rules_measures_only_the_run(mxtrain, folder):
    before = sorted(folder.iterdir())
    status, out, _ = mxtrain("bench", "--run", "run.yaml", "--json")
    measured = json.loads(out)
    assert (status, measured["rules"]) == (0, [])
    run = measured["run"]
    assert (run["name"], run["batches"], run["parameters"]) == ("run", 57, 650)
    assert run["rest"] == pytest.approx(
        run["iteration"]["median"] - sum(run[part]["median"] for part in ("batch", "model", "update"))
    )
    assert sorted(folder.iterdir()) == before


def test_rules_and_a_run_in_one_command(mxtrain):
    _, out, _ = mxtrain("bench", "adam", *SMALL, "--run", "run.yaml", "--set", "data.batch_size=64")
    first_words = [line.split()[0] for line in out.splitlines() if line]
    assert first_words == ["rule", "adam", "run", "all", "batch", "model", "update", "rest"]


def test_the_arithmetic_limit_has_the_divisions_and_square_roots_of_the_rule():
    from mxtrain.benchmarks.rule_benchmark import arithmetic_program, count_slow_operations, streaming_program

    counts = {name: count_slow_operations(rule.program()) for name, rule in RULE_CASES.items()}
    assert counts["sgd"] == (0, 0)
    assert counts["adam"] == (1, 1)
    assert counts["adadelta"] == (1, 2)
    assert counts["nadam"] == (4, 1)
    for each in counts.values():
        assert count_slow_operations(arithmetic_program(*each)) == each
    for slots in ((), ("v",), ("m", "v")):
        program = streaming_program(slots)
        assert len(program.written) == 1 + len(slots)
        assert {step.operation for step in program.instructions} == {"add"}


def test_candidates_are_interleaved_in_alternating_order():
    from mxtrain.benchmarks.measurement import measure_interleaved

    calls = []
    measure_interleaved(
        {name: lambda name=name: calls.append(name) for name in "abc"}, seconds=0, rounds=2, warm_up=False
    )
    assert "".join(calls) == "aabbcc" + "abc" + "cba"
    calls.clear()
    measure_interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, seconds=0, rounds=3)
    assert "".join(name for name, _ in groupby(calls)) == "ab" * 3
    assert len(calls) >= 2 * 2 + 3 * 2 * 2  # two calls at first; then three rounds, each with a rehearsal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("adm",), "there is no rule 'adm'; did you mean adam?"),
        (("sgd", "--size", "0"), "--size"),
        (("sgd", "--size", "1000000000000000"), "not enough memory for arrays of 1,000,000,000,000,000 elements"),
        (("sgd", "--set", "optimizer.η=1"), "name one with --run"),
        (("--run", "none.yaml"), "none.yaml"),
        (("sgd", "--backend", "auto"), "--backend"),
    ],
)
def test_a_wrong_command_line_is_one_message(mxtrain, arguments, message):
    status, out, err = mxtrain("bench", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
