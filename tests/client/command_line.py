"""Calls the command line in this process."""

from collections.abc import Callable

from typer.testing import Result

Baton = Callable[..., Result]
