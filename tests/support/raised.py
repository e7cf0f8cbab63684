"""The errors of Baton in processes without pytest."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from baton.program.errors import ProgramError


def raised(pattern: str, call: Callable[..., object], *arguments: Any, **named: Any) -> str:
    """The message of the ProgramError that the call raises, which has the pattern."""
    try:
        call(*arguments, **named)
    except ProgramError as error:
        message = str(error)
    else:
        raise AssertionError(f"{pattern!r} was not raised")
    assert re.search(pattern, message), f"{pattern!r} is not in {message!r}"
    return message
