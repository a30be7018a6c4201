"""Kinds: a configuration with a ``kind``, and what is made of it, registered in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

Made = TypeVar("Made", bound=Callable[..., Any])
Maker = TypeVar("Maker", bound=Callable[..., Any])


class Registry(Generic[Made]):
    """Kinds of one family, such as models.

    ``Annotated[Config, REGISTRY]`` is a field that holds the configuration of any kind: pydantic
    builds the union, with ``kind`` as its discriminator, of all that are registered by then.

    Args:
        family: what they are kinds of, for messages.
        package: whose modules register kinds; imported when the registry is first asked.
        default: kind of plain data that names none; None where every entry must name its own.
        key: of a configuration, that names its kind.
    """

    def __init__(
        self, family: str, *, package: str, default: str | None = None, key: str = "kind"
    ) -> None:
        self.family, self.default, self.key = family, default, key
        self._package = package
        self._imported = False
        self._configs: dict[str, type] = {}
        self._makers: dict[str, Made] = {}
        self._examples: dict[str, Callable[..., Any]] = {}

    def register(
        self, config: type, *, example: Callable[..., Any] | None = None
    ) -> Callable[[Maker], Maker]:
        """Return a decorator that registers what is made of a configuration.

        Args:
            config: a dataclass or pydantic model whose field ``kind`` (or what the registry's key
                is) has the kind's name as its default.
            example: returns a small case of the kind, which the contract tests run; what it is
                given and returns is the family's. None for ``config`` itself.

        Raises:
            ValueError: another configuration has this kind.
        """
        kind = self._named_by(config)
        if self._configs.get(kind, config).__qualname__ != config.__qualname__:
            raise ValueError(f"{self.family} {kind}: is registered already")

        def registered(maker: Maker) -> Maker:
            self._configs[kind] = config
            self._makers[kind] = maker  # type: ignore[assignment]
            self._examples[kind] = example or config
            return maker

        return registered

    def forget(self, kind: str) -> None:
        """Take a kind out again, such as one that a test registered."""
        for table in (self._configs, self._makers, self._examples):
            table.pop(kind)

    def configs(self) -> Mapping[str, type]:
        """Return the configurations by kind."""
        if not self._imported:
            self._imported = True
            package = import_module(self._package)
            for module in sorted(found.name for found in iter_modules(package.__path__)):
                import_module(f"{self._package}.{module}")
        return self._configs

    def maker(self, kind: str) -> Made:
        """Return what is registered for a kind.

        Raises:
            KeyError: there is no such kind.
        """
        self.configs()
        return self._makers[kind]

    def example(self, kind: str) -> Callable[..., Any]:
        """Return what makes a small case of a kind.

        Raises:
            KeyError: there is no such kind.
        """
        self.configs()
        return self._examples[kind]

    def default_config(self) -> Any:
        """Return a configuration of the default kind, all its options at their defaults."""
        assert self.default is not None
        return self.configs()[self.default]()

    def kinds_of(self, base: type) -> tuple[str, ...]:
        """Return the kinds whose maker is a class below ``base``."""
        return tuple(
            kind
            for kind in self.configs()
            if isinstance(made := self._makers[kind], type) and issubclass(made, base)
        )

    def _named_by(self, config: type) -> str:
        if issubclass(config, BaseModel):
            return str(config.model_fields[self.key].default)
        known = fields(config)  # type: ignore[arg-type]  # what is no model is a dataclass
        return next(str(field.default) for field in known if field.name == self.key)

    def __get_pydantic_core_schema__(
        self, _source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the union of all kinds."""
        return self.union(self.configs(), handler)

    def union(self, kinds: Mapping[str, type], handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the union of some kinds."""
        choices = {kind: handler.generate_schema(kinds[kind]) for kind in sorted(kinds)}
        if self.default is None:
            return core_schema.tagged_union_schema(choices, self.key)
        return core_schema.tagged_union_schema(choices, self._kind)

    def _kind(self, content: object) -> str | None:
        if isinstance(content, Mapping):
            kind = content.get(self.key, self.default)
        else:
            kind = getattr(content, self.key, None)
        return None if kind is None else str(kind)


class Some:
    """Part of a registry as a field's annotation: kinds whose maker is a class below another.

    Args:
        registry: of all kinds.
        base: returns that class; called when the field's schema is built.
        but: kinds that are left out.
    """

    def __init__(
        self, registry: Registry[Any], base: Callable[[], type], *, but: tuple[str, ...] = ()
    ) -> None:
        self.registry, self.base, self.but = registry, base, but

    def __get_pydantic_core_schema__(
        self, _source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the union of these kinds."""
        configs = self.registry.configs()
        kinds = [kind for kind in self.registry.kinds_of(self.base()) if kind not in self.but]
        return self.registry.union({kind: configs[kind] for kind in kinds}, handler)
