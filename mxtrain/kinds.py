"""Config fields whose value is one of several kinds, to which subclasses that users define are added.

A kind is looked up when a value is validated: first among the built-in classes, then among the subclasses of the base
class that exist in the process. Nothing is imported for a name that a file holds; `--plugin` and Python code import the
modules that define such classes.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from inspect import isabstract
from typing import Annotated, Any, ClassVar, Union

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import PydanticCustomError, core_schema

from mxtrain.types import Config

_OWN_PACKAGE = "mxtrain."


class KindChoice:
    """Type of a config field that is one of several kinds.

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
        for model in cls.builtin:
            if own_kind(model) == kind:
                return model
        found = [each for each in user_classes(cls.base) if own_kind(each) == kind and cls._accepts(each)]
        if len(found) > 1:
            raise PydanticCustomError("message", "{text}", {"text": _two_classes_message(kind, found)})
        return found[0] if found else None

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


_listed: list[type[Config]] = []
"""The classes of plugins, which messages, the schema and tables list."""


def own_kind(model: type[Config]) -> str | None:
    """Return the kind that a class defines itself; None if it inherits one or has none."""
    kinds = [_default_kind(each) for each in (model, *model.__bases__)]
    return None if kinds[0] in kinds[1:] else kinds[0]


def _default_kind(model: type[Any]) -> str | None:
    field = getattr(model, "model_fields", {}).get("kind")
    return field.default if field is not None and isinstance(field.default, str) else None


def user_classes(base: type[Config]) -> list[type[Config]]:
    """Return the subclasses of a base class that users defined and that can be built, in the order of definition.

    Of classes with one name in one module, as after a cell of a notebook was executed twice, the last one counts.
    """
    found = {
        (each.__module__, each.__qualname__): each
        for each in _subclasses(base)
        if not each.__module__.startswith(_OWN_PACKAGE) and own_kind(each) is not None and not isabstract(each)
    }
    return list(found.values())


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
