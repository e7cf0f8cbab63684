"""The `baton` command line."""

from baton.cli import (
    artifacts,
    dashboard,
    data,
    deletion,
    doctor,
    drill,
    evaluate,
    fetch_data,
    follow,
    jobs,
    notifications,
    plans,
    programs,
    projects,
    report,
    series,
    steering,
    tokens,
)
from baton.cli.app import app

__all__ = [
    "app",
    "artifacts",
    "dashboard",
    "data",
    "deletion",
    "doctor",
    "drill",
    "evaluate",
    "fetch_data",
    "follow",
    "jobs",
    "main",
    "notifications",
    "plans",
    "programs",
    "projects",
    "report",
    "series",
    "steering",
    "tokens",
]


def main() -> None:
    """Entry point of the `baton` script."""
    app(prog_name="baton")
