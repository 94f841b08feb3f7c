"""Rules printed as formulas: the text gives the program and the bits of the rule."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pytest

import mxtrain
from mxtrain.config.loader import optimizer_from_dict
from mxtrain.optim.formula.host_tracing import CannotPrintError
from mxtrain.optim.formula.printing import as_formula
from mxtrain.optim.ir import MultiPassProgram, Program, sign
from mxtrain.optim.rules import ELEMENTWISE_RULES, Rule, Time
from mxtrain.types import NonNegative, Positive

SCHEDULE = {"kind": "exp", "γ": 0.9, "per": "iteration"}
WITH_VECTORS = ("lamb", "lars", "mars")
PRINTED: dict[str, dict[str, Any]] = {
    rule.model_fields["kind"].default: {"vectors": True} if rule.model_fields["kind"].default in WITH_VECTORS else {}
    for rule in ELEMENTWISE_RULES
    if rule.model_fields["kind"].default not in ("nadam", "rprop")
}
VARIANTS: dict[str, dict[str, Any]] = {
    "rprop": {"kind": "rprop", "λ": 0},
    **{f"{kind} with a group for vectors": {"kind": kind} for kind in WITH_VECTORS},
    "adam with amsgrad": {"kind": "adam", "amsgrad": True},
    "sgd with Nesterov momentum": {"kind": "sgd", "μ": 0.9, "nesterov": True},
    "sgd with decoupled decay": {"kind": "sgd", "μ": 0.9, "decoupled": True, "cautious": True},
    "centered rmsprop": {"kind": "rmsprop", "centered": True, "μ": 0.5, "form": "torch"},
    "adamw with corrected decay": {"kind": "adamw", "corrected": True},
    "ademamix with warm-ups": {"kind": "ademamix", "α_warmup": 5, "β3_warmup": 5},
    "decoupled radam": {"kind": "radam", "decoupled": True},
    "adan without prox": {"kind": "adan", "prox": False},
    "lamb with caution": {"kind": "lamb", "vectors": True, "cautious": True},
    "adamw with wrappers": {
        "kind": "adamw", "cautious": True, "lookahead": {"period": 3}, "ema": {"decay": 0.5}, "bounds": [-1, None],
        "clip_norm": 2.0, "accumulate": 2, "schedules": {"β2": {"kind": "linear", "T": 5, "end": 0.5, "per": "iteration"}},
    },
}  # fmt: skip
ALL = {kind: {"kind": kind, **fields} for kind, fields in PRINTED.items()} | VARIANTS


def steps(rule: Rule, backend: str, dtype: str) -> list[bytes]:
    """Return the bytes of the weights and slots after some steps."""
    random = np.random.default_rng(7)
    params = {"W": random.normal(size=(30, 7)).astype(dtype), "b": random.normal(size=5).astype(dtype)}
    optimizer = mxtrain.build(rule, backend=backend)
    for _ in range(8):
        optimizer.step(params, {name: random.normal(size=value.shape).astype(dtype) for name, value in params.items()})
    evaluated = optimizer.evaluation_params(params)
    arrays = [*params.values(), *optimizer.slot_arrays(), *evaluated.values()]
    return [array.tobytes() for array in arrays]


def printed(config: dict[str, Any]) -> tuple[Rule, Rule]:
    """Return a rule with a schedule, a bound and decay, and the formula that it is printed as."""
    extra = {} if config["kind"] == "rprop" else {"λ": 0.05}
    rule = optimizer_from_dict({"clip": 1.5, "scale": 0.5, "η_sched": SCHEDULE} | extra | config)
    return rule, optimizer_from_dict(as_formula(rule))


@pytest.mark.parametrize("config", ALL.values(), ids=ALL)
def test_a_printed_rule_has_the_program_and_the_bits_of_the_rule(config: dict[str, Any]) -> None:
    rule, formula = printed(config)
    assert formula.kind == "formula"
    one, other = rule.program(), formula.program()
    assert type(one) is type(other)
    if isinstance(one, Program) and isinstance(other, Program):
        assert (one.arrays, one.instructions, one.outputs) == (other.arrays, other.instructions, other.outputs)
    elif isinstance(one, MultiPassProgram) and isinstance(other, MultiPassProgram):
        assert [each.program.instructions for each in one.passes] == [
            each.program.instructions for each in other.passes
        ]
    for dtype in ("float32", "float64"):
        assert steps(rule, "numpy", dtype) == steps(formula, "numpy", dtype)


SINGLE_PASS = [kind for kind in PRINTED if isinstance(optimizer_from_dict(ALL[kind]).program(), Program)]


@pytest.mark.parametrize("kind", [*SINGLE_PASS, "lars"])
def test_a_printed_rule_gives_the_bits_of_the_rule_in_compiled_code(kind: str) -> None:
    rule, formula = printed(ALL[kind])
    for dtype in ("float32", "float64"):
        assert steps(rule, "compiled", dtype) == steps(formula, "compiled", dtype)


CANNOT = {
    "nadam": "time.iteration",
    "muon": "matrix rule",
    "adafactor": "matrix rule",
}


@pytest.mark.parametrize(("kind", "reason"), CANNOT.items())
def test_rules_that_a_formula_cannot_express_say_why(kind: str, reason: str) -> None:
    with pytest.raises(CannotPrintError, match=reason):
        as_formula(optimizer_from_dict({"kind": kind}))


def test_most_rules_can_be_printed() -> None:
    assert len(PRINTED) >= 25


class Signs(Rule):
    """A rule whose coefficients call `learning_rate` with a time."""

    kind: Literal["signs"] = "signs"
    η: Positive = 0.5
    λ: NonNegative = 0.0

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """Return the step size."""
        return {"size": -self.learning_rate(time)}

    @staticmethod
    def update(W: Any, g: Any, *, size: Any) -> Any:
        """Return the new weight."""
        return (W + size * sign(g),)


def test_the_learning_rate_of_a_custom_rule_is_printed_as_a_name() -> None:
    assert "-η" in as_formula(Signs())["update"]
    rule, formula = printed({"kind": "signs"})
    assert steps(rule, "numpy", "float64") == steps(formula, "numpy", "float64")
