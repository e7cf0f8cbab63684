"""Extensions: networks, data sets and augmentations that users install next to a worker, by name.

A spec names the extensions that it needs, and each worker reports those that it has. The service gives a job only to
workers that have all of them. Only the worker loads their code.

`program/any` is no package: a worker reports it if it was started with `--programs`, and then runs programs of users.
`program/only` says that it runs nothing else: TensorFlow is not installed there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Annotated, Literal

from pydantic import Field

PackageKind = Literal["network", "dataset", "augmentation"]
PACKAGE_KINDS: tuple[PackageKind, ...] = ("network", "dataset", "augmentation")
"""The kinds that packages add to a worker. A spec names them."""

Kind = PackageKind | Literal["program"]
KINDS: tuple[Kind, ...] = (*PACKAGE_KINDS, "program")
TITLES: dict[Kind, str] = {
    "network": "network",
    "dataset": "data set",
    "augmentation": "augmentation",
    "program": "program",
}
PROGRAMS = "program/any"
"""The extension of a worker that runs programs, and the need of a job that is a program."""

ONLY_PROGRAMS = "program/only"
"""Beside PROGRAMS: the worker runs no image classifier, because TensorFlow is not installed there."""

_IN_WORDS = {PROGRAMS: "programs (`baton worker --programs`)"}
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


def is_of_kind(needs: Collection[str], extensions: Collection[str]) -> bool:
    """Whether a worker with these extensions runs jobs of the kind that a job with these needs is of.

    >>> is_of_kind([], [PROGRAMS]), is_of_kind([], [PROGRAMS, ONLY_PROGRAMS])
    (True, False)
    """
    return PROGRAMS in needs or ONLY_PROGRAMS not in extensions


def missing(needs: Collection[str], extensions: Collection[str]) -> list[str]:
    """The extensions that a job needs and a worker does not have, as text for users."""
    lacking = set(needs) - set(extensions)
    pairs = ((kind, name) for kind in KINDS for name in names_of(kind, lacking))
    found = [_IN_WORDS.get(extension(kind, name), f"{TITLES[kind]} {name}") for kind, name in pairs]
    return found if is_of_kind(needs, extensions) else [*found, "TensorFlow"]


def without_programs(extensions: Iterable[str]) -> tuple[str, ...]:
    """The extensions without those of the kind `program`, which a service before protocol 6 refuses.

    >>> without_programs(["network/my-net", PROGRAMS])
    ('network/my-net',)
    """
    return tuple(one for one in extensions if not one.startswith("program/"))
