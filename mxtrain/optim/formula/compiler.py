"""Check of a formula, and its division into assignments of the host and assignments of arrays."""

from dataclasses import dataclass, field
from functools import lru_cache

from mxtrain.names import ascii_names, display_name, nearest
from mxtrain.optim.formula.definition import SHARED_NAMES, Definition
from mxtrain.optim.formula.operands import DESCRIPTIONS, RANKS, UNKNOWN, TypedExpression, operand_problem
from mxtrain.optim.formula.parser import parse_expression, parse_statements
from mxtrain.optim.formula.syntax import (
    COMPARISONS,
    FUNCTION_NAMES,
    MAX_DEPTH,
    MAX_OPERATIONS,
    MAX_PASSES,
    MAX_SUMS,
    Expression,
    Name,
    Number,
    Operation,
    Place,
    Statement,
    Term,
    TextProblem,
    is_reduction,
    parts,
    structure,
)

_SIMPLE = ("+", "-", "*", "negative")
"""Operations of host scalars that are part of the program; others are evaluated before, with IEEE arithmetic."""

Assignments = tuple[tuple[str, Expression], ...]


@dataclass(frozen=True)
class CompiledFormula:
    """A checked formula.

    Attributes:
        host: the assignments of scalars that the host evaluates before the update, in order.
        arrays: the assignments of arrays and of scalars that depend on sums, in order.
        inputs: names of the host's scalars that the latter need.
        outputs: the expression with the new value of W and of each slot.
        host_state: the name of the new value of each scalar slot that the host computes.
        device_state: the expression with the new value of each other scalar slot.
        old_state: the name that stands for the old value of each scalar slot of the host.
        names: the shared names, values of `let`, slots and scalars that the text uses.
    """

    host: Assignments
    arrays: Assignments
    inputs: tuple[str, ...]
    outputs: tuple[tuple[str, Expression], ...]
    host_state: tuple[tuple[str, str], ...]
    device_state: tuple[tuple[str, Expression], ...]
    old_state: tuple[tuple[str, str], ...]
    names: frozenset[str]


@lru_cache(maxsize=256)
def compile_formula(definition: Definition) -> tuple[CompiledFormula | None, tuple[TextProblem, ...]]:
    """Return the checked formula, or None, and all problems of its texts."""
    statements, problems = parse_statements(definition.update, "update")
    terms: dict[str, Expression | None] = {}
    for name, text in definition.terms:
        terms[name], found = parse_expression(text, f"terms.{name}")
        problems += found
    on_device: set[str] = set()
    while True:
        compiler = _Compiler(definition, terms, on_device)
        compiler.run(statements, is_complete=not problems)
        more = compiler.device_scalars() - on_device
        if not more:
            break
        on_device |= more
    problems += compiler.problems
    return (None, tuple(problems)) if problems else (compiler.result(), ())


def compile_start(expression: Expression, definition: Definition) -> tuple[Expression | None, list[TextProblem]]:
    """Return an expression of η, λ and `let` with resolved names, or None, and its problems."""
    compiler = _Compiler(definition, {}, set())
    compiler.forget_arrays()
    compiled = compiler.lower_start(expression)
    return (None if compiler.problems else compiled), compiler.problems


@dataclass
class _Compiler:
    """Compiler of one formula.

    Attributes:
        definition: the names.
        terms: the expression of each term; None if it could not be parsed.
        on_device: the scalar slots whose new values depend on sums.
    """

    definition: Definition
    terms: dict[str, Expression | None]
    on_device: set[str]
    problems: list[TextProblem] = field(default_factory=list)

    def __post_init__(self) -> None:
        definition = self.definition
        self._values: dict[str, TypedExpression] = {}
        self._taken = {*SHARED_NAMES, *FUNCTION_NAMES, *definition.let, *definition.slots, *definition.scalars}
        self._host: list[tuple[str, Expression]] = []
        self._arrays: list[tuple[str, Expression]] = []
        self._lifted: dict[object, str] = {}
        self._used: set[str] = set()
        self._operations = self._sums = self._increments = 0
        self._assigned_later: dict[str, Place] = {}
        place = Place("update", 0, 0)
        for name in ("W", "g", *definition.slots):
            self._values[name] = TypedExpression(Name(name, name, place))
        for name in ("t", "η", "λ", *definition.let):
            self._values[name] = TypedExpression(Name(name, name, place), "host")
        self._old_state: dict[str, str] = {}
        for name in definition.scalars:
            if name in self.on_device:
                self._values[name] = TypedExpression(Name(name, name, place), "scalar", level=1)
            else:
                old = self._old_state[name] = self._unique(f"old_{name}")
                self._values[name] = TypedExpression(Name(old, name, place), "host")

    def run(self, statements: list[Statement], is_complete: bool = True) -> None:
        """Compile the statements in order; `is_complete` is False if others could not be parsed."""
        for each in reversed(statements):
            self._assigned_later[each.target.name] = each.target.place
        for statement in statements:
            self._statement(statement)
        if is_complete and not self.problems and not any(each.target.name == "W" for each in statements):
            self._report(None, "never assigns W; add a line such as W = W - η*g")

    def forget_arrays(self) -> None:
        """Keep only the names that have a value before the first update."""
        kept = ("η", "λ", *self.definition.let)
        self._values = {name: value for name, value in self._values.items() if name in kept}

    def lower_start(self, expression: Expression) -> Expression | None:
        """Compile the first value of a slot."""
        value = self._lower(expression)
        if value.is_condition:
            self._report(expression.place, "a comparison is allowed only as the first argument of where")
        return value.expression

    def device_scalars(self) -> set[str]:
        """Return the scalar slots whose new values depend on sums."""
        return {name for name in self.definition.scalars if self._values[name].kind != "host"}

    def result(self) -> CompiledFormula:
        """Return the checked formula."""
        outputs = {name: self._values[name].expression for name in ("W", *self.definition.slots)}
        state = {name: self._values[name].expression for name in self.definition.scalars}
        device = {name: value for name, value in state.items() if name in self.on_device}
        host_names = {"t", "η", "λ", *self.definition.let, *self._old_state.values(), *dict(self._host)}
        needed = [*dict(self._arrays).values(), *outputs.values(), *device.values()]
        leaves = [each.name for value in needed if value for each in parts(value) if isinstance(each, Name)]
        host_state = {
            name: value.name for name, value in state.items() if name not in device and isinstance(value, Name)
        }
        return CompiledFormula(
            tuple(self._host),
            tuple(self._arrays),
            tuple(dict.fromkeys(name for name in leaves if name in host_names)),
            tuple((name, value) for name, value in outputs.items() if value),
            tuple(host_state.items()),
            tuple((name, value) for name, value in device.items() if value),
            tuple(self._old_state.items()),
            frozenset(self._used),
        )

    def _report(self, place: Place | None, message: str) -> None:
        problem = TextProblem(place.field if place else "update", message, place)
        if problem not in self.problems:
            self.problems.append(problem)

    def _unique(self, name: str) -> str:
        number, unique = 1, name
        while unique in self._taken:
            number += 1
            unique = f"{name}_{number}"
        self._taken.add(unique)
        return unique

    def _statement(self, statement: Statement) -> None:
        target, value = statement.target, UNKNOWN
        if statement.value is not None:
            value = self._lower(statement.value)
        refusal = self._refusal(target, value)
        if refusal is not None:
            self._report(target.place, refusal)
            self._values.setdefault(target.name, UNKNOWN)
            return
        expression, kind = value.expression, value.kind
        if value.is_condition:
            self._report(target.place, f"{target.typed} would be a comparison; write where(a < b, 1, 0)")
            expression = None
        if expression is None:
            kind = self._values[target.name].kind if target.name in self._values else "array"
            self._values[target.name] = UNKNOWN._replace(kind=kind)
            return
        name = self._unique(target.name)
        if kind == "host":
            self._host.append((name, expression))
        else:
            self._arrays.append((name, expression))
        self._values[target.name] = value._replace(expression=Name(name, target.typed, target.place))

    def _refusal(self, target: Name, value: TypedExpression) -> str | None:
        """Return the reason that a name cannot be assigned this value."""
        name, typed = target.name, target.typed
        if name in SHARED_NAMES and name != "W":
            return f"{typed}, {SHARED_NAMES[name]}, cannot be assigned; choose another name"
        if name in self.definition.let:
            return f"{typed} is set in let, and cannot be assigned; choose another name"
        if typed in FUNCTION_NAMES:
            return f"{typed} is a function, and cannot be assigned; choose another name"
        if value.expression is None:
            return None
        if name in ("W", *self.definition.slots) and value.kind != "array":
            what = "the weight" if name == "W" else "a slot"
            return f"{typed} is {what}, and must be assigned an array, got {DESCRIPTIONS[value.kind]}"
        if name in self.definition.scalars and value.kind == "array":
            return f"{typed} is a scalar slot, and must be assigned a scalar, got an array; use a sum, such as norm(g)"
        return None

    def _lower(self, expression: Expression) -> TypedExpression:
        """Check an expression, and resolve its names."""
        match expression:
            case Number():
                return TypedExpression(expression, "host")
            case Name():
                return self._name(expression)
            case Term():
                return self._term(expression)
        operands = [self._lower(each) for each in expression.operands]
        self._operations += 1
        if self._operations == MAX_OPERATIONS + 1:
            self._report(expression.symbol, f"a rule may have at most {MAX_OPERATIONS} operations")
        message = self._operation_problem(expression, operands)
        if message is not None:
            self._report(expression.symbol, message)
            return UNKNOWN
        if any(each.expression is None for each in operands) or len(operands) != len(expression.operands):
            return UNKNOWN
        return self._typed_operation(expression, operands)

    def _name(self, name: Name) -> TypedExpression:
        if name.name in self._values:
            self._used.add(name.name)
            value = self._values[name.name]
            resolved = value.expression
            return value._replace(expression=resolved and Name(getattr(resolved, "name", ""), name.typed, name.place))
        if name.name in self._assigned_later:
            message = f"{name.typed} is used before it is assigned; it is not a slot, so it has no earlier value"
        elif name.typed in FUNCTION_NAMES:
            message = f"{name.typed} is a function; write {name.typed}(...)"
        elif name.name in self.terms:
            message = f"{name.typed} is a term; write {{{name.typed}}}"
        else:
            message = f"unknown name {name.typed}; {self._suggestion(name.typed)}"
        self._report(name.place, message)
        return UNKNOWN

    def _suggestion(self, typed: str) -> str:
        names = [name for name in self._values if not name.startswith("old_")]
        spellings = {word: name for name in names for word in (display_name(name), *ascii_names(name))}
        guess = nearest(typed, spellings) if len(typed) > 1 else None
        if guess is not None:
            return f"did you mean {guess if typed.isascii() else display_name(spellings[guess])}?"
        return f"the names here are {', '.join(map(display_name, names))}"

    def _term(self, term: Term) -> TypedExpression:
        if term.name not in self.terms:
            known = ", ".join(map(display_name, self.terms))
            guess = nearest(term.typed, self.terms)
            remedy = f"did you mean {{{guess}}}?" if guess else f"the terms are {known}" if known else "set it in terms"
            self._report(term.place, f"unknown term {{{term.typed}}}; {remedy}")
            return UNKNOWN
        expression = self.terms[term.name]
        if expression is None:
            return UNKNOWN
        nested = next((each for each in parts(expression) if isinstance(each, Term)), None)
        if nested is not None:
            self._report(nested.place, "a term cannot contain another term")
            return UNKNOWN
        return self._lower(expression)

    def _operation_problem(self, expression: Operation, operands: list[TypedExpression]) -> str | None:
        operation = expression.operation
        problem = operand_problem(operation, self._typed(expression.symbol), operands)
        if problem is not None:
            return problem
        if operation in ("increment", "decrement"):
            self._increments += 1
            return "a rule may have at most one increment" if self._increments > 1 else None
        if is_reduction(operation):
            self._sums += 1
            return f"a rule may have at most {MAX_SUMS} sums" if self._sums > MAX_SUMS else None
        return None

    def _typed(self, place: Place) -> str:
        """Return the text at a place."""
        texts = {f"terms.{name}": text for name, text in self.definition.terms}
        text = self.definition.update if place.field == "update" else texts.get(place.field, "")
        return text[place.start : place.stop] or "it"

    def _typed_operation(self, expression: Operation, operands: list[TypedExpression]) -> TypedExpression:
        operation = expression.operation
        kind = max((each.kind for each in operands), key=RANKS.index)
        depth = 1 + max(each.depth for each in operands)
        level = max(each.level for each in operands)
        if is_reduction(operation):
            kind, level = "scalar", level + 1
        if depth > MAX_DEPTH:
            self._report(expression.symbol, f"more than {MAX_DEPTH} operations one after the other")
            return UNKNOWN
        if level > MAX_PASSES:
            self._report(expression.symbol, f"more than {MAX_PASSES} sums one after the other")
            return UNKNOWN
        if kind == "host":
            values = [each.expression for each in operands]
        else:
            values = [self._embed(each) for each in operands]
        resolved = Operation(operation, tuple(filter(None, values)), expression.place, expression.symbol)
        return TypedExpression(resolved, kind, operation in COMPARISONS, depth, level)

    def _embed(self, value: TypedExpression) -> Expression | None:
        """Return an operand of an array's operation; a host scalar with other than simple operations gets a name."""
        expression = value.expression
        if value.kind != "host" or expression is None:
            return expression
        if value.is_condition and isinstance(expression, Operation):
            operands = tuple(self._lift(each) for each in expression.operands)
            if not any(isinstance(part, Name) for each in operands for part in parts(each)):
                operands = (self._as_name(operands[0]), *operands[1:])  # programs compare no two numbers
            return Operation(expression.operation, operands, expression.place, expression.symbol)
        return self._lift(expression)

    def _lift(self, expression: Expression) -> Expression:
        if all(not isinstance(each, Operation) or each.operation in _SIMPLE for each in parts(expression)):
            return expression
        return self._as_name(expression)

    def _as_name(self, expression: Expression) -> Name:
        """Return the name of a scalar that the host evaluates."""
        key = structure(expression)
        if key not in self._lifted:
            self._lifted[key] = self._unique(f"c{len(self._lifted) + 1}")
            self._host.append((self._lifted[key], expression))
        return Name(self._lifted[key], self._lifted[key], expression.place)
