"""Recursive-descent parser of formulas; its result is a syntax tree, and nothing is evaluated."""

from collections.abc import Sequence

from mxtrain.names import suggest
from mxtrain.optim.formula.lexer import Token, tokenize
from mxtrain.optim.formula.syntax import (
    COMPARISONS,
    FUNCTION_NAMES,
    MAX_DEPTH,
    MAX_NESTING,
    MAX_TEXT,
    Expression,
    FormulaSyntaxError,
    Name,
    Number,
    Operation,
    Statement,
    Term,
    TextProblem,
    canonical,
)

_NO_STATEMENT = "a line must be an assignment, such as m = β*m + g"
_LISTED_FUNCTIONS = (
    *("sqrt", "abs", "sign", "min", "max", "where", "exp", "log", "increment"),
    *("sum", "mean", "norm", "dot", "max_abs", "total_sum", "total_mean", "total_norm", "total_dot", "total_max_abs"),
)
_OPERATORS = ("+", "-", "*", "/", "**")


def parse_statements(text: str, field: str) -> tuple[list[Statement], list[TextProblem]]:
    """Return the assignments of a text, and the problems: at most one of each statement."""
    tokens, problems = _tokens(text, field)
    statements: list[Statement] = []
    for group in _divide(tokens):
        target = _target(group)
        try:
            if any(_contains(group, problem) for problem in problems):
                raise _SeenError
            target, value = _parse_statement(group)
            statements.append(Statement(target, value))
        except (FormulaSyntaxError, _SeenError) as error:
            if isinstance(error, FormulaSyntaxError):
                problems.append(error.problem)
            if target is not None:
                statements.append(Statement(target, None))
    return statements, problems


def parse_expression(text: str, field: str) -> tuple[Expression | None, list[TextProblem]]:
    """Return the expression in a text, or None, and the problems."""
    tokens, problems = _tokens(text, field)
    tokens = [token for token in tokens if token.kind != "end"]
    if problems:
        return None, problems
    if not tokens:
        return None, [TextProblem(field, "must be an expression, such as sign(g), got an empty text")]
    try:
        parser = _Parser(tokens)
        expression = parser.comparison()
        parser.expect_end("expression")
    except FormulaSyntaxError as error:
        return None, [error.problem]
    return expression, []


class _SeenError(Exception):
    """A statement contains a token whose problem was reported."""


def _tokens(text: str, field: str) -> tuple[list[Token], list[TextProblem]]:
    if len(text) > MAX_TEXT:
        return [], [TextProblem(field, f"must have at most {MAX_TEXT} characters, got {len(text)}")]
    tokens, errors = tokenize(text, field)
    return tokens, [error.problem for error in errors]


def _contains(tokens: Sequence[Token], problem: TextProblem) -> bool:
    return any(token.place == problem.place for token in tokens)


def _target(tokens: Sequence[Token]) -> Name | None:
    """Return the name that a statement would assign."""
    if tokens[0].kind == "name" and len(tokens) > 1 and tokens[1].text == "=":
        return _name(tokens[0])
    return None


def _name(token: Token) -> Name:
    return Name(canonical(token.text), token.text, token.place)


def _divide(tokens: Sequence[Token]) -> list[list[Token]]:
    """Divide tokens into statements; a line continues inside parentheses, unless an assignment follows."""
    groups: list[list[Token]] = [[]]
    level = 0
    for number, token in enumerate(tokens):
        if token.kind == "end":
            following = [each for each in tokens[number : number + 4] if each.kind != "end"][:2]
            starts = len(following) == 2 and following[0].kind == "name" and following[1].text == "="
            if level <= 0 or token.text == ";" or starts:
                groups.append([])
                level = 0
            continue
        level += {"(": 1, ")": -1}.get(token.text, 0)
        groups[-1].append(token)
    return [group for group in groups if group]


def _parse_statement(tokens: Sequence[Token]) -> tuple[Name, Expression]:
    first, *rest = tokens
    if first.kind != "name" or not rest:
        raise FormulaSyntaxError(_NO_STATEMENT, first.place.to(tokens[-1].place))
    if (
        len(rest) > 1
        and rest[0].text in _OPERATORS
        and rest[1].text == "="
        and rest[0].place.stop == rest[1].place.start
    ):
        remedy = f"write {first.text} = {first.text} {rest[0].text} ..."
        raise FormulaSyntaxError(f"{rest[0].text}= is not allowed; {remedy}", rest[0].place.to(rest[1].place))
    if rest[0].text == "==":
        raise FormulaSyntaxError("== compares; write = for an assignment", rest[0].place)
    if rest[0].text != "=":
        raise FormulaSyntaxError(_NO_STATEMENT, first.place.to(tokens[-1].place))
    if len(rest) == 1:
        raise FormulaSyntaxError("an expression is missing after =", rest[0].place)
    parser = _Parser(rest[1:])
    expression = parser.comparison()
    parser.expect_end("statement")
    return _name(first), expression


def _function_remedy(name: str) -> str:
    listed = f"the functions are {', '.join(_LISTED_FUNCTIONS)}"
    is_letter = len(name) <= 2 or not name.isascii()
    return f"write {name}*( for a product" if is_letter else suggest(name, FUNCTION_NAMES, listed)


class _Parser:
    """Parser of one expression.

    Precedence, from low to high: comparisons; + and -; * and /; signs; **, which groups from the right.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._nesting = 0

    @property
    def _next(self) -> Token | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _next_is(self, *texts: str) -> bool:
        token = self._next
        return token is not None and token.text in texts and token.kind == "symbol"

    def _take(self) -> Token:
        token = self._tokens[self._position]
        self._position += 1
        return token

    def expect_end(self, what: str) -> None:
        """Raise if a token follows the expression."""
        token = self._next
        if token is None:
            return
        after = self._tokens[self._position + 1 :]
        if token.kind == "name" and after and after[0].text == "=":
            message = f"{token.text} = starts another assignment; put it on a new line, or write ; before it"
        elif token.text == ")":
            message = "this ) has no ( before it"
        elif token.text == "=":
            message = "one = is allowed in a statement; write == in a comparison"
        elif token.text == ",":
            message = "a comma is allowed only between the arguments of a function"
        elif token.text in COMPARISONS:
            message = "comparisons cannot be chained; write one where inside another"
        else:
            message = f"an operator is missing before {token.text}, such as *"
        raise FormulaSyntaxError(message, token.place)

    def comparison(self) -> Expression:
        """Parse a sum, or a comparison of two sums."""
        left = self._sum()
        if not self._next_is(*COMPARISONS):
            return left
        symbol = self._take()
        return self._operation(symbol.text, (left, self._sum()), symbol)

    def _operation(self, operation: str, operands: tuple[Expression, ...], symbol: Token) -> Operation:
        place = operands[0].place.to(operands[-1].place) if operands else symbol.place
        if symbol.place.start < place.start:
            place = symbol.place.to(place)
        result = Operation(operation, operands, place, symbol.place)
        if result.depth > MAX_DEPTH:
            message = f"more than {MAX_DEPTH} operations one after the other; assign a part to a name"
            raise FormulaSyntaxError(message, symbol.place)
        return result

    def _sum(self) -> Expression:
        left = self._product()
        while self._next_is("+", "-"):
            symbol = self._take()
            left = self._operation(symbol.text, (left, self._product()), symbol)
        return left

    def _product(self) -> Expression:
        left = self._signed()
        while self._next_is("*", "/"):
            symbol = self._take()
            left = self._operation(symbol.text, (left, self._signed()), symbol)
        return left

    def _signed(self) -> Expression:
        if not self._next_is("-", "+"):
            return self._power()
        symbol = self._take()
        self._enter(symbol)
        operand = self._signed()
        self._nesting -= 1
        return operand if symbol.text == "+" else self._operation("negative", (operand,), symbol)

    def _power(self) -> Expression:
        base = self._atom()
        if not self._next_is("**"):
            return base
        symbol = self._take()
        self._enter(symbol)
        exponent = self._signed()
        self._nesting -= 1
        return self._operation("**", (base, exponent), symbol)

    def _enter(self, token: Token) -> None:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise FormulaSyntaxError(f"nested deeper than {MAX_NESTING} levels; assign a part to a name", token.place)

    def _atom(self) -> Expression:
        token = self._next
        if token is None:
            last = self._tokens[-1]
            raise FormulaSyntaxError(f"an expression is missing after {last.text}", last.place)
        self._position += 1
        if token.kind == "number":
            following = self._next
            if following is not None and following.kind == "name" and following.place.start == token.place.stop:
                message = f"an operator is missing between {token.text} and {following.text}, such as *"
                raise FormulaSyntaxError(message, token.place.to(following.place))
            return Number(float(token.text), token.place)
        if token.kind == "name":
            return self._call(token) if self._next_is("(") else _name(token)
        if token.text == "(":
            return self._parenthesis(token)
        if token.text == "{":
            return self._term(token)
        raise FormulaSyntaxError(f"an expression is missing before {token.text}", token.place)

    def _parenthesis(self, opening: Token) -> Expression:
        self._enter(opening)
        expression = self.comparison()
        self._close(opening)
        self._nesting -= 1
        return expression

    def _close(self, opening: Token) -> Token:
        token = self._next
        if token is None:
            raise FormulaSyntaxError("this ( is never closed", opening.place)
        if token.text != ")":
            self.expect_end("expression")
        return self._take()

    def _call(self, name: Token) -> Expression:
        opening = self._take()
        function = FUNCTION_NAMES.get(name.text)
        if function is None:
            raise FormulaSyntaxError(f"{name.text} is not a function; {_function_remedy(name.text)}", name.place)
        self._enter(opening)
        arguments: list[Expression] = []
        while not self._next_is(")"):
            if arguments:
                if not self._next_is(","):
                    self._close(opening)  # raises
                self._take()
            arguments.append(self.comparison())
        closing = self._close(opening)
        self._nesting -= 1
        result = self._operation(function, tuple(arguments), name)
        return Operation(function, result.operands, name.place.to(closing.place), name.place)

    def _term(self, opening: Token) -> Expression:
        name = self._next
        if name is None or name.kind != "name":
            raise FormulaSyntaxError("the name of a term must follow {", opening.place)
        self._take()
        if not self._next_is("}"):
            raise FormulaSyntaxError(f"this {{ is never closed; write {{{name.text}}}", opening.place)
        return Term(canonical(name.text), name.text, opening.place.to(self._take().place))
