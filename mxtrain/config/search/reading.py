"""The nodes of `sweep.search` to the parameters of a space."""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from mxtrain.config.explain import explain
from mxtrain.config.nodes import Entry, ListNode, MapNode, Node, ScalarNode, clipped, dotted, plain
from mxtrain.config.report import Report
from mxtrain.config.search.distributions import DISTRIBUTIONS, OPTIONS, WORDS, Choice, Distribution
from mxtrain.config.search.flat import SEARCH, is_distribution
from mxtrain.config.search.forbidden import why_not
from mxtrain.config.search.space import Option, Options, Parameter, Path, spelled
from mxtrain.config.writer import flow
from mxtrain.errors import Location
from mxtrain.names import nearest, spelling
from mxtrain.types import describe

_MODELS: dict[str, type[Distribution] | type[Choice]] = {
    Choice.word: Choice,
    **{model.word: model for model in DISTRIBUTIONS},
}
_EXAMPLE = "{uniform: [0, 1]}"


class SearchReader:
    """Reads what is searched, and reports what is wrong with it.

    Attributes:
        faulty: the paths of what could not be read.
    """

    def __init__(self, tree: MapNode, report: Report) -> None:
        self.tree = tree
        self.report = report
        self.faulty: list[tuple[str, ...]] = []

    def parameters(self, search: MapNode) -> tuple[Parameter, ...]:
        """What is searched, in the order of the file."""
        entries = {path: entry for path, entry in search.entries.items() if not _is_nothing(entry.value)}
        found: list[Parameter] = []
        for path, entry in entries.items():
            names = tuple(path.split("."))
            if self._may_be_searched(names, entry, entries) and (
                parameter := self._parameter(names, (*SEARCH, path), dotted(names), entry)
            ):
                found.append(parameter)
            else:
                self.faulty.append(names)
        return tuple(found)

    def _may_be_searched(self, names: tuple[str, ...], entry: Entry, entries: dict[str, Entry]) -> bool:
        shown = ".".join(names)
        if reason := why_not(names):
            self.report.add(dotted((*SEARCH, shown)), reason, entry.location)
            return False
        for i in range(1, len(names)):
            if outer := entries.get(".".join(names[:i])):
                where = f" at {outer.location}" if outer.location else ""
                message = f"{outer.key}, which holds it, is searched{where}; keep one"
                self.report.add(dotted((*SEARCH, shown)), message, entry.location)
                return False
        return True

    def _parameter(self, names: tuple[str, ...], written: Path, name: str, entry: Entry) -> Parameter | None:
        node = entry.value
        if not isinstance(node, MapNode) or not node.entries:
            if not (isinstance(node, ScalarNode) and node.broken):
                got = describe(plain(node)) if not isinstance(node, MapNode) else "an empty one"
                message = f"must be a mapping such as {_EXAMPLE}, got {got}"
                if (guess := nearest(names[-1], WORDS)) and len(names) > 1:
                    message = f"unknown distribution; did you mean {guess}?"
                self.report.add(dotted(written), message, entry.location if guess else node.location)
            return None
        model = self._model(node, written)
        if model is None:
            return None
        try:
            distribution = model.model_validate(plain(node))
        except ValidationError as error:
            explain(error, model, self.tree, self.report, written)
            return None
        if not isinstance(distribution, Choice):
            return Parameter(name, names, written, distribution, node, entry.location)
        options = self._options(names, (*written, "choice"), name, node.entries["choice"].value)
        return Parameter(name, names, written, options, node, entry.location) if options else None

    def _model(self, node: MapNode, written: Path) -> type[Distribution] | type[Choice] | None:
        """The model of a distribution, by the word that it begins with."""
        entries = node.entries
        words = [word for word in entries if word in WORDS and not (word == "log" and "int" in entries)]
        if len(words) == 1:
            return _MODELS[words[0]]
        if words:
            second = entries[words[1]]
            message = f"{words[0]} and {words[1]} are two distributions of one value; keep one"
            self.report.add(dotted((*written, words[1])), message, second.location)
            return None
        for name, entry in entries.items():
            if name not in OPTIONS and (guess := nearest(name, WORDS)):
                message = f"unknown distribution; did you mean {guess}?"
                self.report.add(dotted((*written, entry.key)), message, entry.location)
                return None
        message = f"has no distribution; one of {', '.join(WORDS)} must stand there"
        self.report.add(dotted(written), message, node.location)
        return None

    def _options(self, names: tuple[str, ...], written: Path, name: str, node: Node) -> Options | None:
        assert isinstance(node, ListNode), "checked with the choice"
        before = len(self.report.problems)
        texts: dict[str, Location | None] = {}
        for i, item in enumerate(node.items):
            text = flow(spelled(plain(item)))
            if text in texts:
                where = f", first at {texts[text]}" if texts[text] else ""
                self.report.add(dotted((*written, i)), f"given twice{where}; keep one", item.location)
            texts.setdefault(text, item.location)
        labels = _labels(node.items)
        options = [
            Option(label, item, (*written, i), self._below(names, (*written, i), f"{name}[{label}]", item), plain(item))
            for i, (label, item) in enumerate(zip(labels, node.items, strict=True))
        ]
        return Options(tuple(options)) if len(self.report.problems) == before else None

    def _below(self, names: tuple[str, ...], written: Path, name: str, node: Node) -> tuple[Parameter, ...]:
        """What is searched inside of one value of a choice."""
        if is_distribution(node):
            place = node.location
            found = self._parameter(names, written, name, Entry("", node, place))
            return (found,) if found else ()
        return tuple(self._inside(names, written, name, node))

    def _inside(self, names: tuple[str, ...], written: Path, name: str, node: Node) -> Iterator[Parameter]:
        if isinstance(node, ListNode):
            for i, item in enumerate(node.items):
                self._refuse_in_list((*written, i), item)
            return
        for key, entry in node.entries.items() if isinstance(node, MapNode) else ():
            path, place, called = (*names, key), (*written, key), f"{name}.{spelling(key)}"
            if reason := why_not(path):
                self.report.add(dotted(place), reason, entry.location)
            elif is_distribution(entry.value):
                if found := self._parameter(path, place, called, entry):
                    yield found
            else:
                yield from self._inside(path, place, called, entry.value)

    def _refuse_in_list(self, written: Path, node: Node) -> None:
        if is_distribution(node):
            message = "a list cannot hold what is searched; write whole lists, as in {choice: [[32], [64]]}"
            self.report.add(dotted(written), message, node.location)
        elif isinstance(node, ListNode):
            for i, item in enumerate(node.items):
                self._refuse_in_list((*written, i), item)


def _is_nothing(node: Node) -> bool:
    """Whether a search was taken away, with `null`."""
    return isinstance(node, ScalarNode) and node.value is None and not node.broken


def _labels(items: Sequence[Node]) -> list[Any]:
    """What samplers draw for the values of a choice: single values themselves, for all else a text."""
    values = [spelled(plain(item)) for item in items]
    kinds = [
        value["kind"] if isinstance(value, dict) and isinstance(value.get("kind"), str) else None for value in values
    ]
    labels = [
        _text(value, kind, kinds) if isinstance(value, dict | list) else value
        for value, kind in zip(values, kinds, strict=True)
    ]
    if len(set(labels)) < len(labels):  # to Python, 1, 1.0 and true are one
        labels = [label if isinstance(label, str) else flow(label) for label in labels]
    return [label if label not in labels[:i] else f"{label} #{i}" for i, label in enumerate(labels)]


def _text(value: Any, kind: str | None, kinds: Sequence[str | None]) -> str:
    return kind if kind is not None and kinds.count(kind) == 1 else clipped(flow(value))
