"""Why a stack did not start."""

from __future__ import annotations

from typing import ClassVar

from baton.domain.errors import BatonError


class StackError(BatonError):
    """The stack cannot run. The message says what to do next; `exit_status` is the command's."""

    code: ClassVar[str] = "stack"
    exit_status: ClassVar[int] = 1


class Occupied(StackError):
    """Something that the stack needs for itself is taken."""

    code: ClassVar[str] = "occupied"
    exit_status: ClassVar[int] = 2
