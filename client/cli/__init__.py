"""The `baton` command line."""

from client.cli import doctor, files, jobs, local
from client.cli.app import app

__all__ = ["app", "doctor", "files", "jobs", "local", "main"]


def main() -> None:
    """Entry point of the `baton` script."""
    app(prog_name="baton")
