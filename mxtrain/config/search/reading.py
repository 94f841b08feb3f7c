"""The nodes of `sweep.search` to the parameters of a space."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from mxtrain.config.data_section import has_ending, is_path
from mxtrain.config.explain import explain
from mxtrain.config.nodes import Entry, ListNode, MapNode, Node, ScalarNode, children, clipped, dotted, plain
from mxtrain.config.report import Report
from mxtrain.config.search.distributions import DISTRIBUTIONS, OPTIONS, WORDS, Choice, Distribution
from mxtrain.config.search.flat import SEARCH, is_distribution, meant_word
from mxtrain.config.search.searchable import leads_too_far, why_not
from mxtrain.config.search.space import Option, Options, Parameter, Path, spelled
from mxtrain.config.validating import DATA_PATHS, absolute
from mxtrain.config.writer import flow
from mxtrain.errors import Location
from mxtrain.names import spelling
from mxtrain.types import describe

_MODELS: dict[str, type[Distribution] | type[Choice]] = {
    Choice.word: Choice,
    **{model.word: model for model in DISTRIBUTIONS},
}
_DATA_PATHS = tuple((name,) for name in DATA_PATHS)
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
                parameter := self._parameter(names, (*SEARCH, path), dotted(names), _rooted(entry, names))
            ):
                found.append(parameter)
            else:
                self.faulty.append(names)
        return tuple(found)

    def _may_be_searched(self, names: tuple[str, ...], entry: Entry, entries: dict[str, Entry]) -> bool:
        shown = ".".join(names)
        reason = why_not(names)
        if reason is None and (value := leads_too_far(names)):
            reason = f"unknown distribution; the distributions are {', '.join(WORDS)}"
            if isinstance(entry.value, MapNode):
                reason = f"{dotted(value)} has nothing below it that could be searched"
        if reason:
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
            self._refuse(names, written, entry)
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

    def _refuse(self, names: tuple[str, ...], written: Path, entry: Entry) -> None:
        """Report what stands where a distribution belongs."""
        node = entry.value
        if isinstance(node, ScalarNode) and node.broken:
            return
        if len(names) > 1 and (word := meant_word(names[-1])):
            self.report.add(dotted(written), f"unknown distribution; did you mean {word}?", entry.location)
        else:
            got = "an empty one" if isinstance(node, MapNode) else describe(plain(node))
            self.report.add(dotted(written), f"must be a mapping such as {_EXAMPLE}, got {got}", node.location)

    def _model(self, node: MapNode, written: Path) -> type[Distribution] | type[Choice] | None:
        """The model of a distribution, by the word that it begins with; None where that is not clear."""
        entries = node.entries
        words = [word for word in entries if word in WORDS and not (word == "log" and "int" in entries)]
        unknown = [(name, word) for name in entries if name not in (*WORDS, *OPTIONS) and (word := meant_word(name))]
        path, place = written, node.location
        if len(words) > 1:
            path, place = (*written, words[1]), entries[words[1]].location
            message = f"{words[0]} and {words[1]} are two distributions of one value; keep one"
        elif words:
            return _MODELS[words[0]] if self._has_options(words[0], node, written) else None
        elif unknown:
            name, word = unknown[0]
            path, place = (*written, entries[name].key), entries[name].location
            message = f"unknown distribution; did you mean {word}?"
        else:
            message = f"needs a distribution: {', '.join(WORDS[:-1])} or {WORDS[-1]}"
        self.report.add(dotted(path), message, place)
        return None

    def _has_options(self, word: str, node: MapNode, written: Path) -> bool:
        """Whether all that stands beside a word goes with it, or is for its model to refuse."""
        fields = _MODELS[word].model_fields
        for option in OPTIONS:
            if option in node.entries and option not in fields:
                having = [other for other, model in _MODELS.items() if option in model.model_fields]
                have = f"{' and '.join(having)} {'have' if len(having) > 1 else 'has'} it"
                message = f"unknown field; {word} has none; {have}"
                self.report.add(dotted((*written, option)), message, node.entries[option].location)
                return False
        return True

    def _options(self, names: tuple[str, ...], written: Path, name: str, node: Node) -> Options | None:
        assert isinstance(node, ListNode), "checked with the choice"
        if not all(self._is_plain((*written, i), item) for i, item in enumerate(node.items)):
            return None
        self._refuse_doubles(written, node)
        options: list[Option] = []
        for i, (label, item) in enumerate(zip(labels_of(node.items), node.items, strict=True)):
            before = len(self.report.problems)
            below = self._below(names, (*written, i), f"{name}[{label}]", item)
            if len(self.report.problems) == before:
                options.append(Option(label, item, (*written, i), below, plain(item)))
        return Options(tuple(options)) if options else None

    def _is_plain(self, written: Path, node: Node) -> bool:
        """Whether a file could hold a value; from a dict anything may come."""
        if isinstance(node, ScalarNode):
            is_plain = isinstance(node.value, None | bool | int | float | str)
            if not is_plain:
                message = f"must be a value that a file can hold, got {describe(node.value)}"
                self.report.add(dotted(written), message, node.location)
            return is_plain and not node.broken
        return all(self._is_plain(written, child) for child in children(node))

    def _refuse_doubles(self, written: Path, node: ListNode) -> None:
        seen: dict[str, Location | None] = {}
        for i, item in enumerate(node.items):
            text = flow(spelled(plain(item)))
            if text in seen:
                where = f", first at {seen[text]}" if seen[text] else ""
                self.report.add(dotted((*written, i)), f"given twice{where}; keep one", item.location)
            seen.setdefault(text, item.location)

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


def _rooted(entry: Entry, names: tuple[str, ...]) -> Entry:
    """The paths of data among the values of a choice, made absolute as those of a run are."""
    return replace(entry, value=_rooted_node(entry.value, names))


def _rooted_node(node: Node, names: tuple[str, ...]) -> Node:
    match node:
        case ScalarNode(str() as text, place) if names[:1] == ("data",) and names[1:] in _DATA_PATHS and is_path(text):
            is_name = names[1] == "target" and not has_ending(text, (".npy",))
            return node if is_name else ScalarNode(absolute(text, place), place)
        case ListNode(items, place):
            return ListNode(tuple(_rooted_node(item, names) for item in items), place)
        case MapNode(entries):
            below = {name: (*names, *(() if is_distribution(node) else (name,))) for name in entries}
            inside = {
                name: replace(entry, value=_rooted_node(entry.value, below[name])) for name, entry in entries.items()
            }
            return replace(node, entries=inside)
    return node


def _is_nothing(node: Node) -> bool:
    """Whether a search was taken away, with `null`."""
    return isinstance(node, ScalarNode) and node.value is None and not node.broken


def labels_of(items: Sequence[Node]) -> list[Any]:
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
