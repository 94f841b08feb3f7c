"""Parse the `sweep` section of a config tree into a validated `Sweep`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote

from pydantic import ValidationError

from mxtrain.config.data_sources import has_ending, is_path
from mxtrain.config.error_messages import DATA_PATHS, absolute_path, report_validation_errors
from mxtrain.config.search.distributions import DISTRIBUTIONS, KEYWORDS, OPTIONS, Choice, Distribution
from mxtrain.config.search.search_paths import (
    SEARCH,
    closest_distribution,
    find_scalar_prefix,
    is_distribution,
    why_not_searchable,
)
from mxtrain.config.search.space import ChoiceOption, KeyPath, Parameter, ParsedChoice, Space, with_canonical_names
from mxtrain.config.search.sweep_definition import Sweep, with_defaults
from mxtrain.config.search.sweep_section import SweepConfig
from mxtrain.config.search.validation import CombinationValidator, check_compatibility
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
from mxtrain.config.yaml.source_text import ProblemReport
from mxtrain.errors import Location
from mxtrain.names import display_name
from mxtrain.types import Config, describe

_MODELS: dict[str, type[Distribution] | type[Choice]] = {
    Choice.keyword: Choice,
    **{model.keyword: model for model in DISTRIBUTIONS},
}
_DATA_PATHS = tuple((name,) for name in DATA_PATHS)
_EXAMPLE = "{uniform: [0, 1]}"
_SQLITE_URL = re.compile(r"(?P<start>sqlite(\+\w+)?://[^/?]*/)(?P<path>[^?]*)(\?(?P<query>.*))?", re.DOTALL)


class SearchParser:
    """Parses `sweep.search`, and reports its problems.

    Args:
        tree: the whole file.
        report: collects the problems.

    Attributes:
        unparsed: the paths that have problems.
    """

    def __init__(self, tree: MapNode, report: ProblemReport) -> None:
        self.tree = tree
        self.report = report
        self.unparsed: list[tuple[str, ...]] = []

    def parameters(self, search: MapNode) -> tuple[Parameter, ...]:
        """Return the valid parameters, in the order of the file."""
        entries = {path: entry for path, entry in search.entries.items() if not _is_null(entry.value)}
        parameters: list[Parameter] = []
        for path, entry in entries.items():
            names = tuple(path.split("."))
            if self._is_searchable(names, entry, entries) and (
                parameter := self._parameter(
                    names, (*SEARCH, path), format_path(names), _with_absolute_paths(entry, names)
                )
            ):
                parameters.append(parameter)
            else:
                self.unparsed.append(names)
        return tuple(parameters)

    def _is_searchable(self, names: tuple[str, ...], entry: Entry, entries: dict[str, Entry]) -> bool:
        shown = ".".join(names)
        reason = why_not_searchable(names)
        if reason is None and (value := find_scalar_prefix(names)):
            reason = f"unknown distribution; the distributions are {', '.join(KEYWORDS)}"
            if isinstance(entry.value, MapNode):
                reason = f"{format_path(value)} has no fields that can be searched"
        if reason:
            self.report.add(format_path((*SEARCH, shown)), reason, entry.location)
            return False
        for i in range(1, len(names)):
            if outer := entries.get(".".join(names[:i])):
                where = f" at {outer.location}" if outer.location else ""
                message = f"is inside {outer.key}, which is searched{where}; keep one"
                self.report.add(format_path((*SEARCH, shown)), message, entry.location)
                return False
        return True

    def _parameter(self, names: tuple[str, ...], written_path: KeyPath, name: str, entry: Entry) -> Parameter | None:
        node = entry.value
        if not isinstance(node, MapNode) or not node.entries:
            self._report_not_a_distribution(names, written_path, entry)
            return None
        model = self._model(node, written_path)
        if model is None:
            return None
        try:
            distribution = model.validate_raw(to_python(node))
        except ValidationError as error:
            report_validation_errors(error, model, self.tree, self.report, written_path)
            return None
        if not isinstance(distribution, Choice):
            return Parameter(name, names, written_path, distribution, node, entry.location)
        choice = self._choice(names, (*written_path, "choice"), name, node.entries["choice"].value)
        return Parameter(name, names, written_path, choice, node, entry.location) if choice else None

    def _report_not_a_distribution(self, names: tuple[str, ...], written_path: KeyPath, entry: Entry) -> None:
        node = entry.value
        if isinstance(node, ScalarNode) and node.invalid:
            return
        if len(names) > 1 and (keyword := closest_distribution(names[-1])):
            self.report.add(format_path(written_path), f"unknown distribution; did you mean {keyword}?", entry.location)
        else:
            got = "an empty mapping" if isinstance(node, MapNode) else describe(to_python(node))
            self.report.add(
                format_path(written_path), f"must be a mapping such as {_EXAMPLE}, got {got}", node.location
            )

    def _model(self, node: MapNode, written_path: KeyPath) -> type[Distribution] | type[Choice] | None:
        """Return the model of a distribution by its keyword; None, with a reported problem, if that is not clear."""
        entries = node.entries
        keywords = [name for name in entries if name in KEYWORDS and not (name == "log" and "int" in entries)]
        misspelled = [
            (name, keyword)
            for name in entries
            if name not in (*KEYWORDS, *OPTIONS) and (keyword := closest_distribution(name))
        ]
        path, location = written_path, node.location
        if len(keywords) > 1:
            path, location = (*written_path, keywords[1]), entries[keywords[1]].location
            message = f"{keywords[0]} and {keywords[1]} are two distributions of one value; keep one"
        elif keywords:
            return _MODELS[keywords[0]] if self._check_options(keywords[0], node, written_path) else None
        elif misspelled:
            name, keyword = misspelled[0]
            path, location = (*written_path, entries[name].key), entries[name].location
            message = f"unknown distribution; did you mean {keyword}?"
        else:
            message = f"needs a distribution: {', '.join(KEYWORDS[:-1])} or {KEYWORDS[-1]}"
        self.report.add(format_path(path), message, location)
        return None

    def _check_options(self, keyword: str, node: MapNode, written_path: KeyPath) -> bool:
        """Return True unless a further field belongs to another distribution, which is reported."""
        fields = _MODELS[keyword].model_fields
        for option in OPTIONS:
            if option in node.entries and option not in fields:
                having = [other for other, model in _MODELS.items() if option in model.model_fields]
                have = f"{' and '.join(having)} {'have' if len(having) > 1 else 'has'} it"
                message = f"unknown field; {keyword} has none; {have}"
                self.report.add(format_path((*written_path, option)), message, node.entries[option].location)
                return False
        return True

    def _choice(self, names: tuple[str, ...], written_path: KeyPath, name: str, node: Node) -> ParsedChoice | None:
        assert isinstance(node, ListNode), "checked with the choice"
        if not all(self._is_plain((*written_path, i), item) for i, item in enumerate(node.items)):
            return None
        self._report_duplicates(written_path, node)
        options: list[ChoiceOption] = []
        for i, (label, item) in enumerate(zip(choice_labels(node.items), node.items, strict=True)):
            before = len(self.report.problems)
            nested = self._parameters_of_option(names, (*written_path, i), f"{name}[{label}]", item)
            if len(self.report.problems) == before:
                options.append(ChoiceOption(label, item, (*written_path, i), nested, to_python(item)))
        return ParsedChoice(tuple(options)) if options else None

    def _is_plain(self, written_path: KeyPath, node: Node) -> bool:
        """Return True if a file can hold a value; others, which a dict can hold, are reported."""
        if isinstance(node, ScalarNode):
            is_plain = isinstance(node.value, None | bool | int | float | str)
            if not is_plain:
                message = f"must be a value that a file can hold, got {describe(node.value)}"
                self.report.add(format_path(written_path), message, node.location)
            return is_plain and not node.invalid
        return all(self._is_plain(written_path, child) for child in children(node))

    def _report_duplicates(self, written_path: KeyPath, node: ListNode) -> None:
        first: dict[str, Location | None] = {}
        for i, item in enumerate(node.items):
            text = to_flow_style(with_canonical_names(to_python(item)))
            if text in first:
                where = f", first at {first[text]}" if first[text] else ""
                self.report.add(format_path((*written_path, i)), f"given twice{where}; keep one", item.location)
            first.setdefault(text, item.location)

    def _parameters_of_option(
        self, names: tuple[str, ...], written_path: KeyPath, name: str, node: Node
    ) -> tuple[Parameter, ...]:
        """Return the parameters inside of one value of a choice."""
        if is_distribution(node):
            parameter = self._parameter(names, written_path, name, Entry("", node, node.location))
            return (parameter,) if parameter else ()
        return tuple(self._nested_parameters(names, written_path, name, node))

    def _nested_parameters(
        self, names: tuple[str, ...], written_path: KeyPath, name: str, node: Node
    ) -> Iterator[Parameter]:
        if isinstance(node, ListNode):
            for i, item in enumerate(node.items):
                self._report_in_list((*written_path, i), item)
            return
        for key, entry in node.entries.items() if isinstance(node, MapNode) else ():
            path, written, nested_name = (*names, key), (*written_path, key), f"{name}.{display_name(key)}"
            if reason := why_not_searchable(path):
                self.report.add(format_path(written), reason, entry.location)
            elif is_distribution(entry.value):
                if parameter := self._parameter(path, written, nested_name, entry):
                    yield parameter
            else:
                yield from self._nested_parameters(path, written, nested_name, entry.value)

    def _report_in_list(self, written_path: KeyPath, node: Node) -> None:
        if is_distribution(node):
            message = "a list cannot contain distributions; write whole lists, as in {choice: [[32], [64]]}"
            self.report.add(format_path(written_path), message, node.location)
        elif isinstance(node, ListNode):
            for i, item in enumerate(node.items):
                self._report_in_list((*written_path, i), item)


def _with_absolute_paths(entry: Entry, names: tuple[str, ...]) -> Entry:
    """Make data paths among the values of a choice absolute, like those of a run."""
    return replace(entry, value=_absolute_paths_node(entry.value, names))


def _absolute_paths_node(node: Node, names: tuple[str, ...]) -> Node:
    match node:
        case ScalarNode(str() as text, location) if (
            names[:1] == ("data",) and names[1:] in _DATA_PATHS and is_path(text)
        ):
            is_name = names[1] == "target" and not has_ending(text, (".npy",))
            return node if is_name else ScalarNode(absolute_path(text, location), location)
        case ListNode(items, location):
            return ListNode(tuple(_absolute_paths_node(item, names) for item in items), location)
        case MapNode(entries):
            paths = {name: names if is_distribution(node) else (*names, name) for name in entries}
            absolute = {
                name: replace(entry, value=_absolute_paths_node(entry.value, paths[name]))
                for name, entry in entries.items()
            }
            return replace(node, entries=absolute)
    return node


def _is_null(node: Node) -> bool:
    """Return True for `null`, which removes a parameter of a file that is extended."""
    return isinstance(node, ScalarNode) and node.value is None and not node.invalid


def choice_labels(items: Sequence[Node]) -> list[Any]:
    """Return the labels that samplers draw: scalars themselves, and a text for each mapping or list."""
    values = [with_canonical_names(to_python(item)) for item in items]
    kinds = [
        value["kind"] if isinstance(value, dict) and isinstance(value.get("kind"), str) else None for value in values
    ]
    labels = [
        _label_text(value, kind, kinds) if isinstance(value, dict | list) else value
        for value, kind in zip(values, kinds, strict=True)
    ]
    if len(set(labels)) < len(labels):  # 1, 1.0 and True are equal in Python
        labels = [label if isinstance(label, str) else to_flow_style(label) for label in labels]
    first: dict[Any, int] = {}
    return [label if first.setdefault(label, i) == i else f"{label} #{i}" for i, label in enumerate(labels)]


def _label_text(value: Any, kind: str | None, kinds: Sequence[str | None]) -> str:
    return kind if kind is not None and kinds.count(kind) == 1 else shorten(to_flow_style(value))


class SweepSection(SweepConfig):
    """The whole section, as it is validated and described."""

    search: Any = None


class _SectionAlone(Config):
    sweep: SweepSection


def has_sweep(tree: MapNode) -> bool:
    """Return True if a file describes a sweep; `sweep: null` removes that of a file that is extended."""
    entry = tree.entries.get("sweep")
    return entry is not None and not (isinstance(entry.value, ScalarNode) and entry.value.value is None)


def without_sweep(tree: MapNode) -> MapNode:
    """Return the tree of the run alone."""
    return replace(tree, entries={name: entry for name, entry in tree.entries.items() if name != "sweep"})


def build_sweep(tree: MapNode, report: ProblemReport) -> Sweep:
    """Return the sweep that a tree holds.

    Raises:
        ConfigError: every problem of the sweep, and of the runs that are validated.
    """
    settings = _settings(tree, report)
    parser = SearchParser(tree, report)
    space = Space(parser.parameters(_find_search(tree, report)))
    base = without_sweep(tree)
    max_epochs = CombinationValidator(tree, base, space, parser.unparsed, settings).check(report)
    if settings is not None:
        check_compatibility(settings, space, parser.unparsed, max_epochs, tree, report)
    report.check()
    assert settings is not None, "its problems were reported"
    return Sweep(settings, space, with_defaults(base, space), max_epochs, base, tree)


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
    """Return the URL of a SQLite database with the absolute path of its file, quoted as SQLAlchemy quotes it."""
    match = _SQLITE_URL.fullmatch(url)
    if match is None or not match["path"]:
        return url
    path = quote(absolute_path(unquote(match["path"]), location), safe="+/")
    options = sorted(parse_qsl(match["query"] or ""), key=itemgetter(0))
    query = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in options)
    return f"{match['start']}{path}{'?' if query else ''}{query}"


def _find_search(tree: MapNode, report: ProblemReport) -> MapNode:
    """Return the value of `sweep.search`; an empty mapping, with a reported problem, if it is missing or invalid."""
    example = "{optimizer.η: {log: [1e-4, 1e-1]}}"
    sweep = tree.entries["sweep"].value
    node, location = find_node(tree, SEARCH)
    if isinstance(node, MapNode):
        if all(_is_null(entry.value) for entry in node.entries.values()) and not node.invalid:
            report.add("sweep.search", f"is empty; name the values to search, as in {example}", node.location)
        return node
    if isinstance(sweep, MapNode) and not sweep.invalid:
        if node is None:
            report.add("sweep.search", f"required; a mapping such as {example}", location)
        elif not (isinstance(node, ScalarNode) and node.invalid):
            report.add(
                "sweep.search", f"must be a mapping such as {example}, got {describe(to_python(node))}", node.location
            )
    return MapNode({})
