"""Parse the `sweep` section of a config tree into a validated `Sweep`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from mxtrain.config.data_section import has_ending, is_path
from mxtrain.config.error_messages import report_validation_errors
from mxtrain.config.search.distributions import DISTRIBUTIONS, OPTIONS, WORDS, Choice, Distribution
from mxtrain.config.search.search_paths import (
    SEARCH,
    closest_distribution,
    find_scalar_prefix,
    is_distribution,
    why_not_searchable,
)
from mxtrain.config.search.space import KeyPath, Option, Options, Parameter, Space, with_canonical_names
from mxtrain.config.search.sweep_definition import Sweep, with_defaults
from mxtrain.config.search.sweep_section import SweepConfig
from mxtrain.config.search.validation import CombinationValidator, check_compatibility
from mxtrain.config.validation import DATA_PATHS, absolute_path
from mxtrain.config.yaml.dump import to_flow_style
from mxtrain.config.yaml.nodes import (
    Entry,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    children,
    find_node,
    format_path,
    shorten,
    to_python,
)
from mxtrain.config.yaml.problem_report import ProblemReport
from mxtrain.errors import Location
from mxtrain.names import display_name
from mxtrain.types import Config, describe

_MODELS: dict[str, type[Distribution] | type[Choice]] = {
    Choice.word: Choice,
    **{model.word: model for model in DISTRIBUTIONS},
}
_DATA_PATHS = tuple((name,) for name in DATA_PATHS)
_EXAMPLE = "{uniform: [0, 1]}"


class SearchParser:
    """Reads what is searched, and reports what is wrong with it.

    Attributes:
        faulty: the paths of what could not be read.
    """

    def __init__(self, tree: MapNode, report: ProblemReport) -> None:
        self.tree = tree
        self.report = report
        self.unparsed: list[tuple[str, ...]] = []

    def parameters(self, search: MapNode) -> tuple[Parameter, ...]:
        """What is searched, in the order of the file."""
        entries = {path: entry for path, entry in search.entries.items() if not _is_null(entry.value)}
        found: list[Parameter] = []
        for path, entry in entries.items():
            names = tuple(path.split("."))
            if self._is_searchable(names, entry, entries) and (
                parameter := self._parameter(
                    names, (*SEARCH, path), format_path(names), _with_absolute_paths(entry, names)
                )
            ):
                found.append(parameter)
            else:
                self.unparsed.append(names)
        return tuple(found)

    def _is_searchable(self, names: tuple[str, ...], entry: Entry, entries: dict[str, Entry]) -> bool:
        shown = ".".join(names)
        reason = why_not_searchable(names)
        if reason is None and (value := find_scalar_prefix(names)):
            reason = f"unknown distribution; the distributions are {', '.join(WORDS)}"
            if isinstance(entry.value, MapNode):
                reason = f"{format_path(value)} has nothing below it that could be searched"
        if reason:
            self.report.add(format_path((*SEARCH, shown)), reason, entry.location)
            return False
        for i in range(1, len(names)):
            if outer := entries.get(".".join(names[:i])):
                where = f" at {outer.location}" if outer.location else ""
                message = f"{outer.key}, which holds it, is searched{where}; keep one"
                self.report.add(format_path((*SEARCH, shown)), message, entry.location)
                return False
        return True

    def _parameter(self, names: tuple[str, ...], written: KeyPath, name: str, entry: Entry) -> Parameter | None:
        node = entry.value
        if not isinstance(node, MapNode) or not node.entries:
            self._refuse(names, written, entry)
            return None
        model = self._model(node, written)
        if model is None:
            return None
        try:
            distribution = model.validate_raw(to_python(node))
        except ValidationError as error:
            report_validation_errors(error, model, self.tree, self.report, written)
            return None
        if not isinstance(distribution, Choice):
            return Parameter(name, names, written, distribution, node, entry.location)
        options = self._options(names, (*written, "choice"), name, node.entries["choice"].value)
        return Parameter(name, names, written, options, node, entry.location) if options else None

    def _refuse(self, names: tuple[str, ...], written: KeyPath, entry: Entry) -> None:
        """Report what stands where a distribution belongs."""
        node = entry.value
        if isinstance(node, ScalarNode) and node.invalid:
            return
        if len(names) > 1 and (word := closest_distribution(names[-1])):
            self.report.add(format_path(written), f"unknown distribution; did you mean {word}?", entry.location)
        else:
            got = "an empty one" if isinstance(node, MapNode) else describe(to_python(node))
            self.report.add(format_path(written), f"must be a mapping such as {_EXAMPLE}, got {got}", node.location)

    def _model(self, node: MapNode, written: KeyPath) -> type[Distribution] | type[Choice] | None:
        """The model of a distribution, by the word that it begins with; None where that is not clear."""
        entries = node.entries
        words = [word for word in entries if word in WORDS and not (word == "log" and "int" in entries)]
        unknown = [
            (name, word) for name in entries if name not in (*WORDS, *OPTIONS) and (word := closest_distribution(name))
        ]
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
        self.report.add(format_path(path), message, place)
        return None

    def _has_options(self, word: str, node: MapNode, written: KeyPath) -> bool:
        """Whether all that stands beside a word goes with it, or is for its model to refuse."""
        fields = _MODELS[word].model_fields
        for option in OPTIONS:
            if option in node.entries and option not in fields:
                having = [other for other, model in _MODELS.items() if option in model.model_fields]
                have = f"{' and '.join(having)} {'have' if len(having) > 1 else 'has'} it"
                message = f"unknown field; {word} has none; {have}"
                self.report.add(format_path((*written, option)), message, node.entries[option].location)
                return False
        return True

    def _options(self, names: tuple[str, ...], written: KeyPath, name: str, node: Node) -> Options | None:
        assert isinstance(node, ListNode), "checked with the choice"
        if not all(self._is_plain((*written, i), item) for i, item in enumerate(node.items)):
            return None
        self._refuse_duplicates(written, node)
        options: list[Option] = []
        for i, (label, item) in enumerate(zip(choice_labels(node.items), node.items, strict=True)):
            before = len(self.report.problems)
            below = self._parameters_of_option(names, (*written, i), f"{name}[{label}]", item)
            if len(self.report.problems) == before:
                options.append(Option(label, item, (*written, i), below, to_python(item)))
        return Options(tuple(options)) if options else None

    def _is_plain(self, written: KeyPath, node: Node) -> bool:
        """Whether a file could hold a value; from a dict anything may come."""
        if isinstance(node, ScalarNode):
            is_plain = isinstance(node.value, None | bool | int | float | str)
            if not is_plain:
                message = f"must be a value that a file can hold, got {describe(node.value)}"
                self.report.add(format_path(written), message, node.location)
            return is_plain and not node.invalid
        return all(self._is_plain(written, child) for child in children(node))

    def _refuse_duplicates(self, written: KeyPath, node: ListNode) -> None:
        seen: dict[str, Location | None] = {}
        for i, item in enumerate(node.items):
            text = to_flow_style(with_canonical_names(to_python(item)))
            if text in seen:
                where = f", first at {seen[text]}" if seen[text] else ""
                self.report.add(format_path((*written, i)), f"given twice{where}; keep one", item.location)
            seen.setdefault(text, item.location)

    def _parameters_of_option(
        self, names: tuple[str, ...], written: KeyPath, name: str, node: Node
    ) -> tuple[Parameter, ...]:
        """What is searched inside of one value of a choice."""
        if is_distribution(node):
            place = node.location
            found = self._parameter(names, written, name, Entry("", node, place))
            return (found,) if found else ()
        return tuple(self._nested_parameters(names, written, name, node))

    def _nested_parameters(
        self, names: tuple[str, ...], written: KeyPath, name: str, node: Node
    ) -> Iterator[Parameter]:
        if isinstance(node, ListNode):
            for i, item in enumerate(node.items):
                self._refuse_in_list((*written, i), item)
            return
        for key, entry in node.entries.items() if isinstance(node, MapNode) else ():
            path, place, called = (*names, key), (*written, key), f"{name}.{display_name(key)}"
            if reason := why_not_searchable(path):
                self.report.add(format_path(place), reason, entry.location)
            elif is_distribution(entry.value):
                if found := self._parameter(path, place, called, entry):
                    yield found
            else:
                yield from self._nested_parameters(path, place, called, entry.value)

    def _refuse_in_list(self, written: KeyPath, node: Node) -> None:
        if is_distribution(node):
            message = "a list cannot hold what is searched; write whole lists, as in {choice: [[32], [64]]}"
            self.report.add(format_path(written), message, node.location)
        elif isinstance(node, ListNode):
            for i, item in enumerate(node.items):
                self._refuse_in_list((*written, i), item)


def _with_absolute_paths(entry: Entry, names: tuple[str, ...]) -> Entry:
    """The paths of data among the values of a choice, made absolute as those of a run are."""
    return replace(entry, value=_absolute_paths_node(entry.value, names))


def _absolute_paths_node(node: Node, names: tuple[str, ...]) -> Node:
    match node:
        case ScalarNode(str() as text, place) if names[:1] == ("data",) and names[1:] in _DATA_PATHS and is_path(text):
            is_name = names[1] == "target" and not has_ending(text, (".npy",))
            return node if is_name else ScalarNode(absolute_path(text, place), place)
        case ListNode(items, place):
            return ListNode(tuple(_absolute_paths_node(item, names) for item in items), place)
        case MapNode(entries):
            below = {name: (*names, *(() if is_distribution(node) else (name,))) for name in entries}
            inside = {
                name: replace(entry, value=_absolute_paths_node(entry.value, below[name]))
                for name, entry in entries.items()
            }
            return replace(node, entries=inside)
    return node


def _is_null(node: Node) -> bool:
    """Whether a search was taken away, with `null`."""
    return isinstance(node, ScalarNode) and node.value is None and not node.invalid


def choice_labels(items: Sequence[Node]) -> list[Any]:
    """What samplers draw for the values of a choice: single values themselves, for all else a text."""
    values = [with_canonical_names(to_python(item)) for item in items]
    kinds = [
        value["kind"] if isinstance(value, dict) and isinstance(value.get("kind"), str) else None for value in values
    ]
    labels = [
        _label_text(value, kind, kinds) if isinstance(value, dict | list) else value
        for value, kind in zip(values, kinds, strict=True)
    ]
    if len(set(labels)) < len(labels):  # to Python, 1, 1.0 and true are one
        labels = [label if isinstance(label, str) else to_flow_style(label) for label in labels]
    first: dict[Any, int] = {}
    return [label if first.setdefault(label, i) == i else f"{label} #{i}" for i, label in enumerate(labels)]


def _label_text(value: Any, kind: str | None, kinds: Sequence[str | None]) -> str:
    return kind if kind is not None and kinds.count(kind) == 1 else shorten(to_flow_style(value))


class SweepSection(SweepConfig):
    """The whole of the section, as it is checked and described."""

    search: Any = None


class _SectionAlone(Config):
    sweep: SweepSection


def has_sweep(tree: MapNode) -> bool:
    """Whether a file describes a sweep; `sweep: null` takes one away."""
    entry = tree.entries.get("sweep")
    return entry is not None and not (isinstance(entry.value, ScalarNode) and entry.value.value is None)


def without_sweep(tree: MapNode) -> MapNode:
    """The run alone."""
    return replace(tree, entries={name: entry for name, entry in tree.entries.items() if name != "sweep"})


def build_sweep(tree: MapNode, report: ProblemReport) -> Sweep:
    """The sweep that a tree holds; a ConfigError with every problem of it and of the runs that it can come to."""
    settings = _settings(tree, report)
    reader = SearchParser(tree, report)
    space = Space(reader.parameters(_find_search(tree, report)))
    base = without_sweep(tree)
    max_epochs = CombinationValidator(tree, base, space, reader.unparsed, settings).check(report)
    if settings is not None:
        check_compatibility(settings, space, max_epochs, tree, report)
    report.check()
    assert settings is not None, "what is wrong with it was reported"
    return Sweep(settings, space, with_defaults(base), max_epochs, base)


def _settings(tree: MapNode, report: ProblemReport) -> SweepConfig | None:
    alone = MapNode({"sweep": tree.entries["sweep"]}, tree.location)
    try:
        section = _SectionAlone.validate_raw(to_python(alone)).sweep
    except ValidationError as error:
        report_validation_errors(error, _SectionAlone, alone, report)
        return None
    values = {name: getattr(section, name) for name in SweepConfig.model_fields}
    node, _ = find_node(tree, ("sweep", "storage"))
    if isinstance(node, ScalarNode) and section.storage and section.storage.startswith("sqlite"):
        values["storage"] = _absolute_sqlite(section.storage, node.location)
    return SweepConfig.model_validate(values)


def _absolute_sqlite(url: str, location: Location | None) -> str:
    """Return the address of a SQLite database with the absolute path of its file."""
    from sqlalchemy.engine import make_url  # heavy, and seldom needed

    parts = make_url(url)
    if not parts.database:
        return url
    url = parts.set(database=absolute_path(parts.database, location)).render_as_string(hide_password=False)
    return url.replace(" ", "%20")


def _find_search(tree: MapNode, report: ProblemReport) -> MapNode:
    """What is searched; an empty mapping where there is nothing."""
    example = "{optimizer.η: {log: [1e-4, 1e-1]}}"
    sweep = tree.entries["sweep"].value
    node, place = find_node(tree, SEARCH)
    if isinstance(node, MapNode):
        if not any(map(_is_not_null, (entry.value for entry in node.entries.values()))) and not node.invalid:
            report.add("sweep.search", f"is empty; say what is searched, as in {example}", node.location)
        return node
    if isinstance(sweep, MapNode) and not sweep.invalid:
        if node is None:
            report.add("sweep.search", f"required; a mapping such as {example}", place)
        elif not (isinstance(node, ScalarNode) and node.invalid):
            report.add(
                "sweep.search", f"must be a mapping such as {example}, got {describe(to_python(node))}", node.location
            )
    return MapNode({})


def _is_not_null(node: Node) -> bool:
    return not (isinstance(node, ScalarNode) and node.value is None and not node.invalid)
