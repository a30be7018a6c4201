"""What is registered once is everywhere: in recipes, checkpoints and messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from streamsed.registry import Registry, Some


class Base:
    """What is made of a configuration."""

    def __init__(self, config: Any) -> None:
        self.config = config


@dataclass(frozen=True)
class SmallConfig:
    """The default."""

    width: int = 1
    kind: Literal["small"] = "small"


@dataclass(frozen=True)
class LargeConfig:
    """Another."""

    depth: tuple[int, ...] = (1,)
    kind: Literal["large"] = "large"


@pytest.fixture
def registry() -> Registry[type[Base]]:
    made: Registry[type[Base]] = Registry("box", package="train.synthesis", default="small")
    made.register(SmallConfig)(Base)
    return made


def test_a_union_is_built_of_what_is_registered_by_then(registry: Registry[type[Base]]) -> None:
    adapter = TypeAdapter(Annotated[Any, registry])
    assert adapter.validate_python({"width": 2}) == SmallConfig(2)
    with pytest.raises(ValidationError, match=r"expected tags: .small"):
        adapter.validate_python({"kind": "large"})

    class Large(Base):
        pass

    registry.register(LargeConfig, example=lambda: LargeConfig((2,)))(Large)
    adapter = TypeAdapter(Annotated[Any, registry])
    found = adapter.validate_python({"kind": "large", "depth": [3, 4]})
    assert found == LargeConfig((3, 4))
    assert adapter.validate_python(adapter.dump_python(found, mode="json")) == found
    assert registry.maker("large") is Large
    assert registry.example("large")() == LargeConfig((2,))
    assert registry.kinds_of(Large) == ("large",)
    some = TypeAdapter(Annotated[Any, Some(registry, lambda: Base, but=("small",))])
    assert some.validate_python(LargeConfig()) == LargeConfig()
    with pytest.raises(ValidationError, match=r"expected tags: .large"):
        some.validate_python({})


def test_a_kind_belongs_to_one_configuration(registry: Registry[type[Base]]) -> None:
    @dataclass(frozen=True)
    class OtherConfig:
        kind: Literal["small"] = "small"

    with pytest.raises(ValueError, match="box small: is registered already"):
        registry.register(OtherConfig)
