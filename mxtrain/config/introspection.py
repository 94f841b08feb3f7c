"""Introspection of config models: allowed kinds, field names, and the field at a path."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from mxtrain.kinds import KindChoice, choice_of, with_plugins
from mxtrain.names import LETTERS, ascii_names, display_name, nearest, normalize
from mxtrain.optim.rules import AnyRule, Group
from mxtrain.types import Config


def allowed_models(annotation: Any) -> tuple[type[Config], ...]:
    """Return the config models that a type allows.

    >>> from mxtrain.config.run_section import RunConfig
    >>> [model.__name__ for model in allowed_models(RunConfig.model_fields["model"].annotation)]
    ['LinearConfig', 'MLPConfig', 'CustomConfig']
    """
    if isinstance(annotation, type) and get_origin(annotation) is None:
        if issubclass(annotation, KindChoice):
            return annotation.models()
        return (annotation,) if issubclass(annotation, Config) else ()
    if get_origin(annotation) is Annotated:
        return allowed_models(get_args(annotation)[0])
    return with_plugins(tuple(model for part in get_args(annotation) for model in allowed_models(part)))


def _find_kind(annotation: Any, kind: object) -> type[Config] | None:
    """Return the class of a kind, also of one that is not listed because Python code defined it."""
    allowed = allowed_models(annotation)
    listed = next((candidate for candidate in allowed if model_kind(candidate) == kind), None)
    choice = choice_of(allowed) if listed is None else None
    return listed if choice is None else choice.find(kind)


def model_kind(model: type[Config]) -> str | None:
    """Return the `kind` of a model; None if the model is not one of several kinds."""
    return str(model.model_fields["kind"].default) if "kind" in model.model_fields else None


def allowed_kinds(annotation: Any) -> tuple[str, ...]:
    """Return the kinds that a type allows."""
    return tuple(filter(None, map(model_kind, allowed_models(annotation))))


def is_mapping_of_groups(annotation: Any) -> bool:
    """Return True if a type is that of parameter groups, a mapping from selectors to settings.

    >>> from mxtrain.optim.rules import Adam
    >>> is_mapping_of_groups(Adam.model_fields["groups"].annotation)
    True
    >>> is_mapping_of_groups(Adam.model_fields["η_sched"].annotation)
    False
    """
    return get_origin(annotation) is dict and get_args(annotation)[1] is Group


def is_mapping_of_models(annotation: Any) -> bool:
    """Return True if a type is a mapping from names that the user chooses to models.

    >>> from mxtrain.optim.rules import Adam
    >>> is_mapping_of_models(Adam.model_fields["schedules"].annotation)
    True
    >>> is_mapping_of_models(Adam.model_fields["η_sched"].annotation)
    False
    """
    return get_origin(annotation) is dict and bool(allowed_models(annotation))


def is_list_of_models(annotation: Any) -> bool:
    """Return True if a type is a list of models, as that of the parts of a schedule."""
    return get_origin(annotation) is tuple and bool(allowed_models(annotation))


def literal_values(annotation: Any) -> tuple[str, ...]:
    """Return the values of a Literal; an empty tuple for other types."""
    if get_origin(annotation) is Literal:
        return tuple(str(word) for word in get_args(annotation))
    return ()


def accepted_names(model: type[Config]) -> dict[str, str]:
    """Return the accepted names of the fields of a model, each with the documented name of its field."""
    return {
        name: display_name(field) for field in model.model_fields for name in (display_name(field), *ascii_names(field))
    }


def find_field_paths(root: type[Config], field: str) -> list[tuple[str, ...]]:
    """Return the paths at which a config has a field of this name, shortest first, those in schedules last.

    >>> from mxtrain.config.run_section import RunConfig
    >>> find_field_paths(RunConfig, "epochs"), find_field_paths(RunConfig, "warmup")[0]
    ([('fit', 'epochs')], ('optimizer', 'η_sched', 'warmup'))
    """
    found: list[tuple[str, ...]] = [(field,)] if field in root.model_fields else []
    for name, info in root.model_fields.items():
        if not (is_mapping_of_models(info.annotation) or is_list_of_models(info.annotation)):
            found += [
                (name, *below) for model in allowed_models(info.annotation) for below in find_field_paths(model, field)
            ]
    return sorted(dict.fromkeys(found), key=lambda path: (len(path), "η_sched" in path or path[0] == "loss"))


def find_override_path(root: type[Config], name: str) -> str | None:
    """Return the dotted path of the config field with a name, or with the most similar one; None without a similar one.

    For a choice of models it is the path of its kind, for another section that of its only required field.

    >>> from mxtrain.config.run_section import RunConfig
    >>> [find_override_path(RunConfig, name) for name in ("epochs", "lr", "epoch", "optimizer", "data", "workers")]
    ['fit.epochs', 'optimizer.lr', 'fit.epochs', 'optimizer.kind', 'data.source', None]
    """
    if "." in name:
        above, _, last = name.rpartition(".")
        found = find_override_path(root, last)
        return name if found is not None and found.startswith(f"{above}.") else None
    normalized = normalize(name)
    paths = find_field_paths(root, LETTERS.get(normalized, normalized))
    if not paths:
        guess = nearest(name, all_field_names(root))
        return find_override_path(root, guess) if guess is not None and guess != name else None
    path = (*paths[0][:-1], name)
    models = _models_at(root, paths[0])
    if path == ("loss",):  # its name suffices
        return name
    if any(map(model_kind, models)):
        return ".".join((*path, "kind"))
    if models:
        required = [field for field, info in models[0].model_fields.items() if info.is_required()]
        return ".".join((*path, *required)) if len(required) == 1 else None
    return ".".join(path)


def _models_at(root: type[Config], path: Iterable[str]) -> tuple[type[Config], ...]:
    """Return the models of the value at a path, in which kinds are left out."""
    models: tuple[type[Config], ...] = (root,)
    for name in path:
        models = tuple(
            below
            for model in models
            if name in model.model_fields
            for below in allowed_models(model.model_fields[name].annotation)
        )
    return models


def all_field_names(root: type[Config]) -> set[str]:
    """Return every accepted name of every field of a config."""
    below = (model for info in root.model_fields.values() for model in allowed_models(info.annotation))
    return set(accepted_names(root)).union(*map(all_field_names, below))


def _is_model_or_tuple(annotation: Any) -> bool:
    """Return True if a type allows a model or a tuple of models."""
    return any(get_origin(part) is tuple for member in get_args(annotation) for part in (member, *get_args(member)))


@dataclass(frozen=True, slots=True)
class ResolvedField:
    """The field at a path of a config.

    Args:
        path: the path.
        owner: the model that has the field; None inside lists.
        annotation: the type of the field; None if there is no such field.
        model: the model of the field's value, if it is a mapping of one.
    """

    path: tuple[str | int, ...]
    owner: type[Config] | None
    annotation: Any
    model: type[Config] | None


def resolve_field(root: type[Config], location: Iterable[str | int]) -> ResolvedField:
    """Return the field at the location of a Pydantic error, in which a kind follows each choice of models."""
    path: list[str | int] = []
    owner: type[Config] | None = None
    model: type[Config] | None = root
    annotation: Any = None
    names = iter(location)
    for name in names:
        path.append(name)
        owner, model = model, None
        field = owner.model_fields.get(str(name)) if owner else None
        annotation = field.annotation if field else None
        allowed = allowed_models(annotation)
        if is_mapping_of_groups(annotation):
            if (selector := next(names, None)) is not None:
                path.append(selector)
                chosen = next(names, None)
                owner, annotation = None, AnyRule if chosen else None
                model = _find_kind(annotation, chosen)
        elif is_mapping_of_models(annotation) or is_list_of_models(annotation):
            if (own := next(names, None)) is not None:
                path.append(own)
                owner, annotation = None, get_args(annotation)[is_mapping_of_models(annotation)]
                model = allowed[0] if not allowed_kinds(annotation) else None
                if model is None and (chosen := next(names, None)) is not None:
                    model = _find_kind(annotation, chosen)
        elif allowed_kinds(annotation):
            model = _find_kind(annotation, next(names, None))
        elif allowed:
            model = allowed[0]
            if (
                _is_model_or_tuple(annotation)
                and next(names, None) == "several"
                and (item := next(names, None)) is not None
            ):
                path.append(item)
    return ResolvedField(tuple(path), owner, annotation, model)
