"""A violation of a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.control_plane.record import Event, Record


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong. The checker sets `rule`."""

    text: str
    sequence: int | None = None
    rule: str = ""

    def __str__(self) -> str:
        at = f" at event {self.sequence}" if self.sequence is not None else ""
        return f"{self.rule}{at}: {self.text}"


Rule = Callable[[Record], Iterator[Violation]]


def at(event: Event, text: str) -> Violation:
    """A violation in an event."""
    return Violation(f"{event.kind} by {event.actor}: {text}", event.sequence)
