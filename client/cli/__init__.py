"""The `baton` command line."""

from client.cli import access, dashboard, doctor, evaluate, fetch, files, follow, jobs, local, notify, plans, report
from client.cli.app import app

__all__ = [
    "access",
    "app",
    "dashboard",
    "doctor",
    "evaluate",
    "fetch",
    "files",
    "follow",
    "jobs",
    "local",
    "main",
    "notify",
    "plans",
    "report",
]


def main() -> None:
    """Entry point of the `baton` script."""
    app(prog_name="baton")
