"""Exceptions with a traceback."""

from __future__ import annotations


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught
