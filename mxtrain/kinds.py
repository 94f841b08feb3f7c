"""Config fields whose value is one of several kinds, to which subclasses that users define are added.

A kind is looked up when a value is validated: first among the built-in classes, then among the subclasses of the base
class that exist in the process. Nothing is imported for a name that a file holds; `--plugin` and Python code import the
modules that define such classes.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import Annotated, Any, ClassVar, Union

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import PydanticCustomError, core_schema

from mxtrain.types import Config

_OWN_PACKAGE = "mxtrain."


class KindChoice:
    """Annotation of a config field that is one of several kinds: `Annotated[Union[builtin], choice]`.

    Attributes:
        base: the class of all values.
        builtin: the classes of the package, in the order of messages.
        excluded: subclasses of `base` that the field does not accept.
    """

    base: ClassVar[type[Config]]
    builtin: ClassVar[tuple[type[Config], ...]] = ()
    excluded: ClassVar[tuple[type[Config], ...]] = ()

    @classmethod
    def models(cls) -> tuple[type[Config], ...]:
        """Return the classes that messages, the schema and tables list: the built-in ones, then those of plugins."""
        return (*cls.builtin, *(each for each in _listed if cls._accepts(each)))

    @classmethod
    def find(cls, kind: object) -> type[Config] | None:
        """Return the class of a kind; None if there is none in this process.

        Raises:
            PydanticCustomError: two classes have the kind.
        """
        found = cls.classes_of(kind)
        if len(found) > 1:
            raise PydanticCustomError("message", "{text}", {"text": _two_classes_message(kind, found)})
        return found[0] if found else None

    @classmethod
    def classes_of(cls, kind: object) -> list[type[Config]]:
        """Return the built-in class of a kind, or all classes of users that have it."""
        builtin = [model for model in cls.builtin if own_kind(model) == kind]
        users = (each for each in user_classes(cls.base) if own_kind(each) == kind and cls._accepts(each))
        return builtin or list(users)

    @classmethod
    def _accepts(cls, model: type[Config]) -> bool:
        return issubclass(model, cls.base) and not issubclass(model, cls.excluded)

    @classmethod
    def validate(cls, value: Any) -> Any:
        """Return the config for a value: a mapping with a kind, or a config of one of the classes."""
        if isinstance(value, cls.base):
            if not cls._accepts(type(value)):
                raise PydanticCustomError("model_type", "")
            if problem := instance_problem(value):
                raise PydanticCustomError("message", "{text}", {"text": problem})
            return value
        models = cls.models()
        if isinstance(value, dict) and (own := cls.find(value.get("kind"))) is not None and own not in models:
            models = (*models, own)
        return _adapter(cls._annotation, models).validate_python(value)

    @staticmethod
    def _annotation(models: tuple[type[Config], ...]) -> Any:
        return Annotated[Union[models], Field(discriminator="kind")]  # noqa: UP007 - built from a list

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.validate)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(_adapter(cls._annotation, cls.models()).core_schema)


@lru_cache(maxsize=32)
def _adapter(
    annotation: Callable[[tuple[type[Config], ...]], Any], models: tuple[type[Config], ...]
) -> TypeAdapter[Any]:
    return TypeAdapter(annotation(models))


_listed: dict[type[Config], str] = {}
"""The classes of plugins, which messages, the schema and tables list, each with the name of its plugin."""


def listed_classes() -> tuple[type[Config], ...]:
    """Return the classes of plugins, in the order in which they were listed."""
    return tuple(_listed)


def list_plugin(name: str, module: ModuleType) -> bool:
    """List the classes that a plugin defines or imports; return False if there is none.

    Args:
        name: the module or the path, as the user typed it.
        module: the module.

    Raises:
        ValueError: the kind of a class is built in, or two classes have it.
    """
    values = list(vars(module).values())
    bases = dict.fromkeys(choice.base for choice in _subclasses(KindChoice))
    found = [each for base in bases for each in user_classes(base)]
    added = dict.fromkeys(each for each in found if each.__module__ == module.__name__ or each in values)
    for model in added:
        if problem := _kind_problem(model):
            raise ValueError(problem)
    _listed.update(dict.fromkeys(added, name))
    return bool(added)


def _kind_problem(model: type[Config]) -> str | None:
    kind = own_kind(model)
    for choice in _subclasses(KindChoice):
        if not choice._accepts(model):
            continue
        if any(own_kind(each) == kind for each in choice.builtin):
            return f"{qualified_name(model)} has the kind {kind}, which is built in; give it another kind"
        same = [each for each in user_classes(choice.base) if own_kind(each) == kind]
        if len(same) > 1:
            return _two_classes_message(kind, same)
    return None


def unlist_plugins() -> None:
    """Remove the classes of plugins from messages, tables and the schema, at the end of a command."""
    _listed.clear()


def with_plugins(models: tuple[type[Config], ...]) -> tuple[type[Config], ...]:
    """Return the classes that a choice between built-in classes lists; other classes are returned unchanged."""
    choice = choice_of(models) if len(models) > 1 else None
    return models if choice is None else choice.models()


def choice_of(models: tuple[type[Config], ...]) -> type[KindChoice] | None:
    """Return the choice whose built-in classes these begin with; None if there is none."""
    found = [each for each in _subclasses(KindChoice) if each.builtin == models[: len(each.builtin)]]
    return max(found, key=lambda choice: len(choice.builtin), default=None)


def choice_with_base(base: type[Config]) -> type[KindChoice]:
    """Return the choice of any class below a base class, with no exceptions."""
    return next(each for each in _subclasses(KindChoice) if each.base is base and not each.excluded)


def needed_plugins(value: object) -> tuple[str, ...]:
    """Return the plugins that define the classes of a config and of the configs in it."""
    return tuple(dict.fromkeys(map(plugin_name, _user_models(value))))


def plugin_name(model: type[Config]) -> str:
    """Return the plugin that defines a class: the name or path that was typed, otherwise its module."""
    return _listed.get(model, model.__module__)


def _user_models(value: object) -> Iterator[type[Config]]:
    if isinstance(value, Config):
        if not value.__module__.startswith(_OWN_PACKAGE):
            yield type(value)
        value = dict(value)
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _user_models(each)


def find_user_classes(value: object) -> Iterator[type[Config]]:
    """Yield the classes of users whose kinds are named by the keys `kind`, or paths that end in it, of plain values."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from find_user_classes(each)
            if str(key).rpartition(".")[2] == "kind":
                yield from _classes_of_kinds(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from find_user_classes(each)


def _classes_of_kinds(value: object) -> Iterator[type[Config]]:
    """Yield the classes of a kind, or of all kinds in a search distribution; a kind of two classes has none."""
    if isinstance(value, str):
        for choice in _subclasses(KindChoice):
            found = choice.classes_of(value)
            if len(found) == 1 and not found[0].__module__.startswith(_OWN_PACKAGE):
                yield found[0]
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _classes_of_kinds(each)


def own_kind(model: type[Config]) -> str | None:
    """Return the kind that a class defines itself; None if it inherits one or has none."""
    kinds = [_default_kind(each) for each in (model, *model.__bases__)]
    return None if kinds[0] in kinds[1:] else kinds[0]


def _default_kind(model: type[Any]) -> str | None:
    field = getattr(model, "model_fields", {}).get("kind")
    return field.default if field is not None and isinstance(field.default, str) else None


def user_classes(base: type[Config]) -> list[type[Config]]:
    """Return the subclasses of a base class that users defined, in the order of definition.

    Of classes with one name in one module, as after a cell of a notebook was executed twice, the last one counts.
    """
    found = {
        (each.__module__, each.__qualname__): each
        for each in _subclasses(base)
        if not each.__module__.startswith(_OWN_PACKAGE) and own_kind(each) is not None and _exists(each)
    }
    return list(found.values())


def _exists(model: type[Any]) -> bool:
    """Return False for a class that its module no longer holds, as after the module was imported again."""
    module = sys.modules.get(model.__module__)
    if module is None or "<locals>" in model.__qualname__:
        return module is not None
    if _find(vars(module), model.__qualname__) is model:
        return True
    functions = (getattr(each, "__func__", each) for each in vars(model).values())
    namespace: dict[str, Any] = next((each.__globals__ for each in functions if isinstance(each, FunctionType)), {})
    return "__spec__" not in namespace and _find(namespace, model.__qualname__) is model  # code that `exec` executed


def _find(namespace: Mapping[str, Any], qualified: str) -> Any:
    first, *rest = qualified.split(".")
    found = namespace.get(first)
    for name in rest:
        found = getattr(found, name, None)
    return found


def _subclasses(base: type[Any]) -> Iterator[type[Any]]:
    for each in base.__subclasses__():
        yield each
        yield from _subclasses(each)


def instance_problem(value: Config) -> str | None:
    """Return a message if the kind of a config belongs to another class, so that a saved config would give that one."""
    model = type(value)
    if model.__module__.startswith(_OWN_PACKAGE) or "kind" not in model.model_fields:
        return None
    kind = value.kind  # type: ignore[attr-defined]
    for choice in _subclasses(KindChoice):
        if choice._accepts(model):
            owner = choice.find(kind)
            if owner is not None and qualified_name(owner) != qualified_name(model):
                return (
                    f"{model.__name__} has the kind {kind} of {_owner_name(owner)}; give it a kind of its own, as in "
                    f'kind: Literal["my_{kind}"] = "my_{kind}"'
                )
    return None


def qualified_name(model: type[Any]) -> str:
    """Return the name of a class with its module.

    >>> qualified_name(KindChoice)
    'mxtrain.kinds.KindChoice'
    """
    return f"{model.__module__}.{model.__qualname__}"


def _owner_name(model: type[Config]) -> str:
    return "a built-in class" if model.__module__.startswith(_OWN_PACKAGE) else qualified_name(model)


def _two_classes_message(kind: object, classes: Sequence[type[Config]]) -> str:
    names = " and ".join(map(qualified_name, classes))
    return f"{kind} is the kind of {names}; give one of them another kind"
