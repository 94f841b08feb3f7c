"""Rules as formulas: the config of a rule as text that is bit-for-bit equal to the rule."""

from collections.abc import Mapping, Sequence
from typing import Any

from mxtrain.names import display_name
from mxtrain.optim.formula.assignments import write_assignments
from mxtrain.optim.formula.host_tracing import (
    CannotPrintError as CannotPrintError,
)
from mxtrain.optim.formula.host_tracing import (
    name,
    number,
    operation,
    trace_coefficients,
)
from mxtrain.optim.formula.syntax import Expression, Name, Operation, parts
from mxtrain.optim.ir import MatrixProgram, Symbol, symbols
from mxtrain.optim.ir.increments import replacing_increments
from mxtrain.optim.ir.trace import keyword_only_names
from mxtrain.optim.rules.base import Rule

_OPERATIONS = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "power": "**",
    "less": "<",
    "less_equal": "<=",
}
_SHARED_FIELDS = (
    *("η", "λ", "clip", "scale", "η_sched", "schedules"),
    *("cautious", "agc", "lookahead", "ema", "bounds", "master", "row_updates", "decoupled"),
    *("clip_norm", "skip_nonfinite", "accumulate"),
)
"""Fields of every rule that a formula takes over; `corrected` is part of the text."""
_NO_LAMBDA_REASON = "its program decays weights without λ"


_GROUP_FIELDS = ("kind", "η", "λ", "let", "slots", "scalars", "update")
"""Fields of the formula of a group; it takes the others from the optimizer."""


def as_formula(rule: Rule) -> dict[str, Any]:
    """Return the config of a formula that is bit-for-bit equal to a rule.

    Options are resolved: the text is that of the rule with these values. A rule that treats arrays of fewer than two
    axes otherwise has a group with another text for them.

    Raises:
        CannotPrintError: the rule updates whole arrays, has groups, or computes its coefficients in a way that a
            formula cannot express.
    """
    if rule.kind == "formula":
        return rule.to_dict()
    if rule.groups:
        raise CannotPrintError("it has groups; print the rule without them, and add them to the formula")
    config, vectors = _as_one_text(rule), rule.for_vectors()
    if vectors is not rule:
        inner = _as_one_text(vectors)
        config["groups"] = {"ndim < 2": {name: inner[name] for name in _GROUP_FIELDS if name in inner}}
    return config


def _as_one_text(rule: Rule) -> dict[str, Any]:
    """Return the config of a formula for arrays of any shape."""
    if isinstance(rule.program(), MatrixProgram):
        raise CannotPrintError("it is a matrix rule; a formula has no matrix products and no sums along axes")
    slots = rule.active_slots()
    coefficients = trace_coefficients(rule)
    converter = _Converter(rule, coefficients)
    results = converter.results()
    targets = dict(zip(("W", *slots, *rule.computed_scalars), results, strict=True))
    targets |= {each: coefficients[each] for each in rule.initial_scalars() if each in coefficients}
    used = {each.name for value in targets.values() for each in parts(value) if isinstance(each, Name)}
    let = {each: float(getattr(rule, each)) for each in _numbers(rule) if each in used}
    if ("λ" in used) != (rule.decouples_decay() and not rule.wraps_decay) and rule.λ > 0:
        raise CannotPrintError(_NO_LAMBDA_REASON)
    text = write_assignments(targets, converter.names, {*let, *slots, *rule.initial_scalars()})
    return _config(rule, let, slots, text)


def _numbers(rule: Rule) -> list[str]:
    """Return the fields that become values of `let`."""
    fields = type(rule).model_fields
    return [each for each in fields if isinstance(getattr(rule, each), float) and each not in _SHARED_FIELDS]


def _config(rule: Rule, let: Mapping[str, float], slots: Sequence[str], text: str) -> dict[str, Any]:
    plain = rule.to_dict()
    defaults = {each: field.default for each, field in type(rule).model_fields.items()}
    config: dict[str, Any] = {"kind": "formula", "η": rule.η, "λ": rule.λ}
    for each in _SHARED_FIELDS[2:]:
        if each in plain and getattr(rule, each) != defaults.get(each) and getattr(rule, each):
            config[each] = plain[each]
    if rule.schedules:
        config["schedules"] = {
            f"let.{path}" if path in let else path: schedule for path, schedule in plain["schedules"].items()
        }
    if not rule.wraps_decay:
        config.pop("decoupled", None)
    if let:
        config["let"] = {display_name(each): value for each, value in let.items()}
    if slots:
        starts = rule.slot_starts()
        config["slots"] = (
            {display_name(each): starts.get(each, 0.0) for each in slots}
            if starts
            else [display_name(s) for s in slots]
        )
    if scalars := rule.initial_scalars():
        config["scalars"] = {display_name(each): value for each, value in scalars.items()}
    if rule.evaluation_slot is not None:
        config["evaluate"] = display_name(rule.evaluation_slot)
    return config | {"update": text}


class _Converter:
    """Converts the symbols of a rule's update to expressions; a symbol that is shared stays one object.

    Attributes:
        names: the preferred name of expressions, by identity.
    """

    def __init__(self, rule: Rule, coefficients: Mapping[str, Expression]) -> None:
        self._rule = rule
        self._coefficients = coefficients
        self._known: dict[int, Expression] = {}
        self._symbols: list[Symbol] = []
        self.names: dict[int, str] = {}
        for key, value in coefficients.items():
            if isinstance(value, Operation):
                self.names[id(value)] = key

    def results(self) -> list[Expression]:
        """Return the new values of W, the slots and the computed scalars."""
        rule = self._rule
        function = rule.update_function()
        options = {each: getattr(rule, each) for each in rule.options}
        scalars = {
            each: symbols.input_state(each) if each in rule.computed_scalars else symbols.input_scalar(each)
            for each in keyword_only_names(function)
            if each not in options
        }
        arrays = map(symbols.input_array, ("W", "g", *rule.active_slots()))
        with replacing_increments(_mark):
            results = function(*arrays, **scalars, **options)
        return [self.expression(each) for each in results]

    def expression(self, symbol: Any) -> Expression:
        """Return the expression of a symbol or a number."""
        if not isinstance(symbol, Symbol):
            return number(symbol)
        if id(symbol) not in self._known:
            self._symbols.append(symbol)  # its identity stays its own
            self._known[id(symbol)] = self._convert(symbol)
        return self._known[id(symbol)]

    def _convert(self, symbol: Symbol) -> Expression:
        if symbol.operation == "number":
            return number(symbol.label)
        if symbol.operation == "state":
            return name(symbol.label)
        if symbol.operation == "input":
            return self._coefficients.get(symbol.label, name(symbol.label))
        pattern = self._pattern(symbol)
        if pattern is not None:
            return pattern
        operands = [self.expression(each) for each in symbol.operands]
        if symbol.operation in ("sum", "dot", "max_abs"):
            prefix = "total_" if symbol.label == "total" else ""
            return operation(prefix + symbol.operation, *operands)
        if symbol.operation == "sign":
            return operation("sign", operands[0])
        if symbol.operation in ("size", "total_size"):
            raise CannotPrintError("it uses the number of elements, which a formula has only in mean and total_mean")
        return operation(_OPERATIONS.get(symbol.operation, symbol.operation), *operands)

    def _pattern(self, symbol: Symbol) -> Expression | None:
        """Return a mean or a norm, which symbols express by other operations."""
        if symbol.operation == "divide" and symbol.operands[1].operation in ("size", "total_size"):
            total = symbol.operands[0]
            function = "mean" if symbol.operands[1].operation == "size" else "total_mean"
            return operation(function, self.expression(total.operands[0]))
        if symbol.operation == "sqrt" and symbol.operands[0].operation == "dot":
            product = symbol.operands[0]
            if product.operands[0] is product.operands[1]:
                function = "norm" if product.label == "parameter" else "total_norm"
                return operation(function, self.expression(product.operands[0]))
        return None


def _mark(change: Any, negated: bool) -> Any:
    """Return the symbol of a marked increment."""
    return Symbol("decrement" if negated else "increment", (change,))
