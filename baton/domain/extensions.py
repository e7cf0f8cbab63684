"""Extensions: networks, data sets and augmentations that users install next to a worker, by name.

A spec names the extensions that it needs, and each worker reports those that it has. The service gives a job only to
workers that have all of them. Only the worker loads their code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Annotated, Literal

from pydantic import Field

Kind = Literal["network", "dataset", "augmentation"]
KINDS: tuple[Kind, ...] = ("network", "dataset", "augmentation")
TITLES: dict[Kind, str] = {"network": "network", "dataset": "data set", "augmentation": "augmentation"}
NAME = r"[a-z0-9][a-z0-9._-]{0,62}"
Extension = Annotated[str, Field(pattern=rf"^({'|'.join(KINDS)})/{NAME}$")]
"""An extension as kind and name, e.g. `network/my-net`."""

Extensions = Annotated[tuple[Extension, ...], Field(max_length=500)]


def extension(kind: Kind, name: str) -> str:
    """The name of an extension in messages.

    >>> extension("network", "my-net")
    'network/my-net'
    """
    return f"{kind}/{name}"


def names_of(kind: Kind, extensions: Iterable[str]) -> list[str]:
    """The names of one kind, sorted."""
    return sorted({name for found, _, name in (one.partition("/") for one in extensions) if found == kind})


def missing(needs: Collection[str], extensions: Collection[str]) -> list[str]:
    """The extensions that a job needs and a worker does not have, as text for users."""
    return [f"{TITLES[kind]} {name}" for kind in KINDS for name in names_of(kind, set(needs) - set(extensions))]
