"""The text of a formula from its expressions: shared parts get names, and assignments an order."""

from collections.abc import Mapping

from mxtrain.names import display_name
from mxtrain.optim.formula.definition import SHARED_NAMES
from mxtrain.optim.formula.syntax import COMPARISONS, FUNCTION_NAMES, Expression, Name, Number, Operation, Place

_SHORT_NAMES = ("u", "q", "r", "a", "b", "c", "d", "e", "h", "k", "o", "w", "y", "z")
_FUNCTION_SPELLINGS = {"absolute": "abs", "maximum": "max", "minimum": "min"}
_PRECEDENCE = {**dict.fromkeys(COMPARISONS, 0), "+": 1, "-": 1, "*": 2, "/": 2, "negative": 3, "**": 4}
_ATOM = 5


class _Entry:
    """An assignment: a part of expressions, or the new value of W, a slot or a scalar slot.

    Attributes:
        target: the name that is assigned.
        value: the expression.
        is_output: True for the new value of W, a slot or a scalar slot.
        old: the names whose old values the expression reads.
        new: the names of parts that it reads.
    """

    def __init__(self, target: str, value: Expression, is_output: bool) -> None:
        self.target, self.value, self.is_output = target, value, is_output
        self.old: set[str] = set()
        self.new: set[str] = set()


def write_assignments(targets: Mapping[str, Expression], names: Mapping[int, str], taken: set[str]) -> str:
    """Return the text that assigns expressions to W, slots and scalar slots.

    Args:
        targets: the new value of each; names in it stand for the old values.
        names: the preferred names of some expressions, by identity; these are assigned even if they are used once.
        taken: names that cannot be used for parts.
    """
    return _Writer(targets, names, taken).text()


class _Writer:
    def __init__(self, targets: Mapping[str, Expression], names: Mapping[int, str], taken: set[str]) -> None:
        self._targets = dict(targets)
        self._preferred = names
        self._taken = {*taken, *targets, *SHARED_NAMES, *FUNCTION_NAMES}
        self._uses: dict[int, int] = {}
        self._given: dict[int, str] = {}
        self._entries: list[_Entry] = []
        for value in self._targets.values():
            self._count(value)

    def _count(self, expression: Expression) -> None:
        self._uses[id(expression)] = self._uses.get(id(expression), 0) + 1
        if isinstance(expression, Operation) and self._uses[id(expression)] == 1:
            for each in expression.operands:
                self._count(each)

    def text(self) -> str:
        """Return the assignments, one on each line."""
        order = [each for each in self._targets if each != "W"] + ["W"]
        for target in order:
            self._define_parts(self._targets[target], is_root=True)
        for target in order:
            value = self._targets[target]
            if not (isinstance(value, Name) and value.name == target):
                self._entries.append(_Entry(target, value, is_output=True))
        for entry in self._entries:
            self._find_reads(entry, entry.value, is_root=not entry.is_output)
        return "\n".join(self._line(each) for each in self._ordered()) + "\n"

    def _define_parts(self, expression: Expression, is_root: bool = False) -> None:
        """Add an entry for each named part of an expression, after its own parts."""
        if not isinstance(expression, Operation) or id(expression) in self._given:
            return
        is_shared = self._uses[id(expression)] > 1 and expression.operation not in COMPARISONS
        is_named = id(expression) in self._preferred and not is_root
        if is_shared or is_named:
            for each in expression.operands:
                self._define_parts(each)
            self._given[id(expression)] = target = self._new_name(expression)
            self._entries.append(_Entry(target, expression, is_output=False))
            return
        for each in expression.operands:
            self._define_parts(each)

    def _new_name(self, expression: Expression) -> str:
        wanted = self._preferred.get(id(expression))
        candidates = [wanted, *(f"{wanted}_{i}" for i in ("t", *range(2, 99)))] if wanted else []
        wanted_by_others = {*self._preferred.values()} - {wanted}
        for each in (*candidates, *_SHORT_NAMES, *(f"u{i}" for i in range(1, 999))):
            if each is not None and each not in self._taken and each not in wanted_by_others:
                self._taken.add(each)
                return each
        raise AssertionError("there are more names than parts")

    def _find_reads(self, entry: _Entry, expression: Expression, is_root: bool = False) -> None:
        """Collect the names that an assignment reads."""
        if isinstance(expression, Name):
            entry.old.add(expression.name)
        elif isinstance(expression, Operation) and not is_root and id(expression) in self._given:
            entry.new.add(self._given[id(expression)])
        elif isinstance(expression, Operation):
            for each in expression.operands:
                self._find_reads(entry, each)

    def _ordered(self) -> list[_Entry]:
        """Return the assignments in an order in which no old value is read after it was replaced."""
        self._rename_outputs()
        remaining, ordered = list(self._entries), list[_Entry]()
        while remaining:
            entry = next((each for each in remaining if self._can_follow(each, remaining)), None)
            if entry is None:  # two new values depend on each other's old ones
                entry = self._postpone(remaining)
            remaining.remove(entry)
            ordered.append(entry)
        return ordered

    @staticmethod
    def _can_follow(entry: _Entry, remaining: list[_Entry]) -> bool:
        others = [each for each in remaining if each is not entry]
        if any(each.target in entry.new for each in others if not each.is_output):
            return False
        return not any(entry.target in each.old for each in others)

    def _postpone(self, remaining: list[_Entry]) -> _Entry:
        """Return an assignment of an output to a new name, which is assigned to the output at the end."""
        entry = next(each for each in remaining if each.is_output)
        new = self._new_name(entry.value)
        last = _Entry(entry.target, Name(new, new, Place("", 0, 0)), is_output=True)
        last.new = {new}
        remaining.append(last)
        entry.target, entry.is_output = new, False
        return entry

    def _rename_outputs(self) -> None:
        """Assign a shared new value to its output at once, if no assignment reads the old one from then on."""
        for output in [each for each in self._entries if each.is_output]:
            part = next((each for each in self._entries if not each.is_output and each.value is output.value), None)
            if part is None or part.target in self._targets or output.target == "W":
                continue
            later = self._entries[self._entries.index(part) + 1 :]
            if any(output.target in each.old for each in later):
                continue
            for each in self._entries:
                if part.target in each.new:
                    each.new = each.new - {part.target} | {output.target}
            self._given[id(part.value)] = part.target = output.target
            self._entries.remove(output)

    def _line(self, entry: _Entry) -> str:
        value = entry.value
        named = self._given.get(id(value))
        shown = display_name(named) if entry.is_output and named else self._format(value, is_root=True)[0]
        return f"{display_name(entry.target)} = {shown}"

    def _format(self, expression: Expression, is_root: bool = False) -> tuple[str, int]:
        """Return an expression and its precedence."""
        if isinstance(expression, Number):
            return _format_number(expression.value)
        if not isinstance(expression, Operation):
            return display_name(expression.name), _ATOM
        if not is_root and id(expression) in self._given:
            return display_name(self._given[id(expression)]), _ATOM
        operator, operands = expression.operation, expression.operands
        if operator not in _PRECEDENCE:
            arguments = ", ".join(self._format(each)[0] for each in operands)
            return f"{_FUNCTION_SPELLINGS.get(operator, operator)}({arguments})", _ATOM
        level = _PRECEDENCE[operator]
        if operator == "negative":
            return f"-{self._operand(operands[0], level)}", level
        if operator == "**":
            return f"{self._operand(operands[0], _ATOM)}**{self._operand(operands[1], _ATOM)}", level
        left, right = self._operand(operands[0], level), self._operand(operands[1], level + 1)
        return (f"{left}{operator}{right}" if level == 2 else f"{left} {operator} {right}"), level

    def _operand(self, expression: Expression, lowest: int) -> str:
        text, level = self._format(expression)
        return text if level >= lowest else f"({text})"


def _format_number(value: float) -> tuple[str, int]:
    if value in (float("inf"), -float("inf")):
        return ("1/0", 2) if value > 0 else ("-1/0", 2)
    shown = str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    return shown, _PRECEDENCE["negative"] if value < 0 else _ATOM
