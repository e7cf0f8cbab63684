"""The `baton` command line."""

from client.cli import doctor, fetch, files, follow, jobs, local, plans
from client.cli.app import app

__all__ = ["app", "doctor", "fetch", "files", "follow", "jobs", "local", "main", "plans"]


def main() -> None:
    """Entry point of the `baton` script."""
    app(prog_name="baton")
