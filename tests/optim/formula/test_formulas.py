"""Formulas: equal to rules in Python, with state, groups, schedules and terms, and safe for any text."""

import ast
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.backends.compiled.codegen_numba import generate_numba_source
from mxtrain.optim.formula.compiler import compile_formula
from mxtrain.optim.formula.definition import definition_of
from mxtrain.optim.formula.syntax import FUNCTION_NAMES
from mxtrain.optim.ir import Program, sign
from mxtrain.optim.rules import Rule, Time
from mxtrain.types import Decay, NonNegative, Positive

TEXT = "m = β*m + (1 - β)*g\nW = W - η*(sign(m) + λ*W)\n"
FORMULA: dict[str, Any] = {"kind": "formula", "η": 0.1, "λ": 0.2, "let": {"β": 0.5}, "slots": ["m"], "update": TEXT}


class SignMomentum(Rule):
    """The rule of TEXT, in Python."""

    slots: ClassVar[tuple[str, ...]] = ("m",)
    decoupled: ClassVar[bool] = True
    kind: Literal["formula"] = "formula"
    η: Positive = 0.1
    β: Decay = 0.5
    λ: NonNegative = 0.2

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`η`, at this time."""
        return {"η": self.learning_rate_at(time)}

    @staticmethod
    def update(W: Any, g: Any, m: Any, *, η: Any, β: Any, λ: Any) -> tuple[Any, ...]:
        """One update."""
        m = β * m + (1 - β) * g
        return W - η * (sign(m) + λ * W), m


def run(config: Any, count: int = 6, dtype: str = "float64", **params: tuple[int, ...]) -> dict[str, Any]:
    """Return the parameters after some updates with gradients that depend on nothing else."""
    optimizer = mxtrain.build(config, backend="numpy")
    generator = np.random.default_rng(3)
    arrays = {name: generator.normal(size=shape).astype(dtype) for name, shape in (params or {"W": (3, 5)}).items()}
    for _ in range(count):
        optimizer.step(arrays, {name: generator.normal(size=each.shape).astype(dtype) for name, each in arrays.items()})
    return arrays


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return True if arrays have equal bytes."""
    return all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_a_formula_has_the_program_and_the_generated_source_of_the_rule_in_python() -> None:
    formula, rule = mxtrain.build(FORMULA).rule.program(), SignMomentum().program()
    assert isinstance(formula, Program)
    assert isinstance(rule, Program)
    for field in ("arrays", "scalars", "instructions", "outputs"):
        assert getattr(formula, field) == getattr(rule, field)
    assert generate_numba_source(formula) == generate_numba_source(rule)


EQUAL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ASCII names": (
        {},
        {"let": {"beta": 0.5}, "update": "m = beta*m + (1 - beta)*g; W = W - lr*(sign(m) + weight_decay*W)"},
    ),
    "terms": ({}, {"terms": {"d": "sign(m)"}, "update": "m = β*m + (1 - β)*g\nW = W - η*({d} + λ*W)"}),
    "a start": ({"slots": ["m"]}, {"slots": {"m": "η - 0.1"}}),
    "sums": ({"update": "W = W - η*norm(g)*g"}, {"update": "s = dot(g, g); W = W - η*sqrt(s)*g"}),
    "powers": ({"update": "W = W - η*g*g*g"}, {"update": "W = W - η*g**1*g**1*g"}),
    "equality": (
        {"update": "W = W - where(g <= 0, where(g >= 0, W, g), g)"},
        {"update": "W = W - where(g != 0, g, W)"},
    ),
    "a scalar slot": (
        {"scalars": ["n"], "update": "n = n + 1; W = W - η/n*g"},
        {"update": "W = W - η/t*g"},
    ),
    "division by zero on the host": ({"update": "W = W - where(t > 1, 1/(t - 1), 0)*g"}, {"update": "u = 1/(t - 1)\nW = W - where(t > 1, u, 0)*g"}),
    "coupled decay": ({"update": "W = W - η*g"}, {"λ": 0, "update": "k = 0.2; h = g + k*W; W = W - η*h"}),
}  # fmt: skip


@pytest.mark.parametrize(("one", "other"), EQUAL.values(), ids=EQUAL)
def test_formulas_that_mean_the_same_give_the_same_bits(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert same(run(FORMULA | one), run(FORMULA | other))


def test_values_of_let_can_be_scheduled_and_grouped() -> None:
    schedule = {"kind": "piecewise", "values": [0.25], "times": [3], "per": "iteration"}
    scheduled = run(FORMULA | {"schedules": {"let.β": schedule}})
    assert same(run(FORMULA | {"schedules": {"let": {"beta": schedule}}}), scheduled)
    assert not same(run(FORMULA), scheduled)
    shapes = {"W": (3,), "b": (3,)}
    grouped = run(FORMULA | {"groups": {"b": {"let": {"β": 0.9}}}}, **shapes)
    assert same({"W": grouped["W"]}, run(FORMULA, **shapes))
    assert same({"b": grouped["b"]}, run(FORMULA | {"let": {"β": 0.9}}, **shapes))


def test_the_state_of_a_formula_continues_exactly() -> None:
    config = FORMULA | {"scalars": {"s": 1}, "slots": {"m": 0, "x": "W"}}
    config["update"] = "s = s + norm(g - x)\nm = m + g/s\nx = (x + W)/2\nW = W - η*m"
    one = mxtrain.build(config, backend="numpy")
    params, generator = {"W": np.ones(4)}, np.random.default_rng(0)
    grads = [{"W": generator.normal(size=4)} for _ in range(6)]
    for each in grads[:3]:
        one.step(params, each)
    other = mxtrain.build(config, backend="numpy")
    other.load_state_dict(one.state_dict())
    copy = {"W": params["W"].copy()}
    for each in grads[3:]:
        one.step(params, each)
        other.step(copy, each)
    assert same(params, copy)


def test_a_formula_survives_its_yaml(tmp_path: Path) -> None:
    path = tmp_path / "formula.yaml"
    rule = mxtrain.build(FORMULA | {"terms": {"d": "sign(m)"}, "update": "\n" + TEXT + "\n# ü\n"}).rule
    for each in (rule, mxtrain.build(FORMULA).rule):
        path.write_text(mxtrain.config.to_yaml(each), encoding="utf-8")
        assert mxtrain.build(path).rule == each
        assert hash(mxtrain.build(path).rule) == hash(each)
    assert "update: |\n  m = β*m" in path.read_text(encoding="utf-8")


def test_a_run_with_a_formula_continues_exactly(tmp_path: Path) -> None:
    config = {
        "data": {"source": "digits"},
        "model": {"kind": "linear"},
        "loss": "softmax_cross_entropy",
        "optimizer": FORMULA | {"η": 0.001, "groups": {"b*": {"let": {"β": 0.9}}}},
        "fit": {"epochs": 2},
    }
    whole = mxtrain.fit(config, run_dir=tmp_path / "whole")
    mxtrain.fit(config | {"fit": {"epochs": 1}}, run_dir=tmp_path / "part")
    part = mxtrain.resume(tmp_path / "part", overrides=["fit.epochs=2"])
    assert same(whole.parameters, part.parameters)


TOKENS = [
    *("W", "g", "m", "t", "η", "λ", "β", "u", "x", "0", "1", "2", "0.5", "1e-8", "3e38", "{d}", "lr"),
    *("+", "-", "*", "/", "**", "(", ")", ",", "=", "<", "<=", "==", "!=", "\n", ";", "#", " ", "W = ", "\nW = W - "),
    *(f"{name}(" for name in FUNCTION_NAMES),
    *("^", "²", "__import__('os')", "\t", "ß", "\x00", "\ud800", "€", "if", "lambda", "W = W - η*(g + m)", "where(g < 0, m, g)"),
]  # fmt: skip


def expression(generator: random.Random, level: int) -> str:
    """Return an expression of the grammar, whose kinds may be wrong."""
    if level == 0 or generator.random() < 0.2:
        return generator.choice(["W", "g", "m", "t", "η", "β", "u", "2", "0.5", "g", "m"])
    below = [expression(generator, level - 1) for _ in range(3)]
    return generator.choice(
        [
            "({0} + {1})",
            "{0}*{1}",
            "{0}/({1} + 1)",
            "-{0}",
            "({0})**2",
            "sqrt({0})",
            "max({0}, {1})",
            "where({0} < {1}, {2}, g)",
            "mean({0})*g",
            "exp({0})",
            "{{d}}",
            "where({0} == {1}, {1}, {2})",
            "total_sum({0})",
        ]
    ).format(*below)


def fuzzed_texts(count: int, seed: int) -> list[str]:
    """Return texts of random tokens, of random expressions, and valid texts with random changes."""
    generator = random.Random(seed)
    texts = []
    for _ in range(count):
        choice = generator.random()
        if choice < 0.3:
            texts.append(" ".join(generator.choices(TOKENS, k=generator.randint(0, 25))))
        elif choice < 0.6:
            texts.append("\n".join(f"{name} = {name} - {expression(generator, 3)}" for name in ("u", "m", "W")[1:]))
        else:
            text = TEXT
            for _ in range(generator.randint(1, 3)):
                start = generator.randint(0, len(text))
                text = text[:start] + generator.choice(TOKENS) + text[start + generator.choice((0, 0, 1, 3)) :]
            texts.append(text)
    return texts


def try_texts(texts: list[str]) -> tuple[int, int]:
    """Return the number of texts that give a program, and of those that give errors."""
    valid = 0
    for number, text in enumerate(texts):
        config = {"kind": "formula", "let": {"β": 0.5}, "slots": {"m": "W"}, "terms": {"d": "sign(m)"}, "update": text}
        formula, problems = compile_formula(definition_of(config))
        assert (formula is None) == bool(problems)
        if formula is None and number % 20:
            continue
        try:
            rule = mxtrain.build(config, backend="numpy").rule
        except mxtrain.ConfigError:
            assert formula is None
            continue
        rule.program().evaluate_scalars(rule.to_dict() | rule.coefficients(Time(1, 1), rule.initial_scalars()))
        valid += 1
    return valid, len(texts) - valid


def test_any_text_gives_an_error_or_a_program() -> None:
    valid, invalid = try_texts(fuzzed_texts(2000, seed=0))
    assert valid > 200
    assert invalid > 200


def test_a_comment_with_half_of_a_surrogate_pair_is_refused() -> None:
    formula, [problem] = compile_formula(definition_of({"kind": "formula", "update": "W = W - η*g  # \ud800"}))
    assert formula is None
    assert problem.message == "must be Unicode text, got half of a surrogate pair"


AUDIT = """
import sys
import numpy as np
import mxtrain
from mxtrain.optim.backends.compiled.codegen_numba import generate_numba_source
mxtrain.build({"kind": "formula", "slots": ["m"], "update": "m = g; W = W - η*norm(m)*m"}, backend="numpy").step(
    {"W": np.ones(3)}, {"W": np.ones(3)}
)
events = []
sys.addaudithook(lambda event, arguments: events.append((event, arguments)))
optimizer = mxtrain.build(sys.argv[1], backend="numpy")
print("read", [event for event, _ in events if event in ("compile", "exec", "import", "os.system", "subprocess.Popen")])
optimizer.step({"W": np.ones(3)}, {"W": np.ones(3)})
for event, arguments in events:
    if event == "compile":
        print("source", repr(arguments[0]))
    if event == "exec":
        print("names", [each for each in (*arguments[0].co_names, *arguments[0].co_consts) if "zq" in repr(each)])
    if event == "import":
        print("import", arguments[0])
print("numba", repr(generate_numba_source(optimizer.rule.program())))
"""
HELD = """
kind: formula
let: {zqlet: 0.5}
slots: {zqslot: zqlet*2}
scalars: {zqscalar: 1}
terms: {zqterm: zqlet*zqslot}
update: |
  zqlocal = sqrt(zqlet)/t    # zqcomment
  zqscalar = zqscalar*zqlocal
  zqslot = zqslot*zqlet + g*(1 - zqlet)*zqscalar
  W = W - zqlocal*{zqterm}
"""


def test_nothing_that_a_file_holds_is_evaluated_compiled_or_imported(tmp_path: Path) -> None:
    path = tmp_path / "formula.yaml"
    path.write_text(HELD, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", AUDIT, str(path)], capture_output=True, text=True, encoding="utf-8", check=True
    )
    lines = [line.partition(" ")[::2] for line in done.stdout.splitlines()]
    assert lines[0] == ("read", "[]")
    sources = [ast.literal_eval(text) for kind, text in lines if kind == "source"]
    assert any("def evaluate(c)" in str(each) for each in sources)  # of the program's scalars
    assert not any("zq" in str(each) for each in sources)
    assert {text for kind, text in lines if kind == "names"} <= {"[]"}
    assert not any("zq" in text for kind, text in lines if kind == "import")
    (numba,) = (ast.literal_eval(text) for kind, text in lines if kind == "numba")
    tree = ast.parse(numba)  # without comments
    assert "zq" not in ast.unparse(tree).replace(str(ast.get_docstring(tree)), "")
