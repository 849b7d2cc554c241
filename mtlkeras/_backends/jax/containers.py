"""JAX: containers that functions of arrays take and give."""

from __future__ import annotations

from typing import Any, TypeVar

import jax

Container = TypeVar("Container", bound=type)


def container(cls: Container) -> Container:
    """Class decorator: lets transformations take and give a container, which its `parts()` make anew."""

    def parts(value: Any) -> tuple[Any, None]:
        return value.parts(), None

    def whole(_: None, found: Any) -> Any:
        return cls(*found)

    jax.tree_util.register_pytree_node(cls, parts, whole)
    return cls
