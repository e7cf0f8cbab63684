"""Errors of the local stack."""

from __future__ import annotations

from typing import ClassVar

from baton.domain.errors import BatonError


class StackError(BatonError):
    """The stack cannot run. The message contains the next step. `exit_status`: of the command."""

    code: ClassVar[str] = "stack"
    exit_status: ClassVar[int] = 1


class Occupied(StackError):
    """A port or a directory that the stack needs is in use."""

    code: ClassVar[str] = "occupied"
    exit_status: ClassVar[int] = 2
