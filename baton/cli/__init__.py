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
    job_list,
    jobs,
    notifications,
    plans,
    programs,
    projects,
    report,
    series,
    steering,
    tokens,
    usage,
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
    "job_list",
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
    "usage",
]


def main() -> None:
    """Entry point of the `baton` script."""
    app(prog_name="baton")
