"""What may be installed beside a worker: networks, data sets and augmentations of users' own, by name.

A spec names them, a worker says which it has, the service sees to it that the two meet. Nobody but the worker that
trains ever loads their code.
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
"""One of them, e.g. `network/my-net`."""

Extensions = Annotated[tuple[Extension, ...], Field(max_length=500)]


def extension(kind: Kind, name: str) -> str:
    """How one of them is called among workers and service."""
    return f"{kind}/{name}"


def names_of(kind: Kind, extensions: Iterable[str]) -> list[str]:
    """The names of one kind, sorted."""
    return sorted({name for found, _, name in (one.partition("/") for one in extensions) if found == kind})


def missing(needs: Collection[str], extensions: Collection[str]) -> list[str]:
    """What a job needs and a worker does not have, in words."""
    return [f"{TITLES[kind]} {name}" for kind in KINDS for name in names_of(kind, set(needs) - set(extensions))]
