"""Lists the files of a folder that git does not ignore.

git itself lists them, so `.gitignore` has exactly git's meaning, also in a folder that is no repository. Without git
only folders without `.gitignore` can be packed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from baton.client.errors import LocalDataError

SECONDS = 120.0
ALWAYS_OUT = frozenset(
    (
        ".git", ".hg", ".svn", ".DS_Store", "Thumbs.db", "__MACOSX", "__pycache__", "node_modules", ".mypy_cache",
        ".pytest_cache", ".ruff_cache", ".tox", ".nox", ".ipynb_checkpoints", ".venv", ".baton", ".baton-run",
    )
)  # fmt: skip
"""Names of files and folders that are never packed. Nor are virtual environments: folders with a `pyvenv.cfg`."""


def list_files(folder: Path) -> list[str]:
    """The relative paths of the files and links to consider, unsorted. Raises LocalDataError."""
    git = shutil.which("git")
    if git is None:
        return _without_git(folder)
    if _is_repository(git, folder):
        return _listed([git, "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    with tempfile.TemporaryDirectory(prefix="baton-git-") as empty:
        _run([git, "init", "--quiet", "--bare", empty])
        place = [git, f"--git-dir={empty}", f"--work-tree={folder}", "-C", str(folder)]
        return _listed([*place, "ls-files", "-z", "--others", "--exclude-standard"])


def _is_repository(git: str, folder: Path) -> bool:
    """Whether the folder is in a working tree of git. Raises LocalDataError if git refuses to answer."""
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return False
    return _run([git, "-C", str(folder), "rev-parse", "--is-inside-work-tree"]).strip() == b"true"


def _listed(command: list[str]) -> list[str]:
    names = (os.fsdecode(name) for name in _run(command).split(b"\0") if name)
    return list(dict.fromkeys(names))  # a file in a merge conflict is listed three times


def _run(command: list[str]) -> bytes:
    # The variables of a git hook name another repository. fsmonitor may be a program that the repository names.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    program, *arguments = command
    try:
        done = subprocess.run(
            [program, "-c", "core.fsmonitor=false", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LocalDataError(f"git cannot list the files to pack: {error}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise LocalDataError(f"git cannot list the files to pack, so what to leave out is not known: {said}")
    return done.stdout


def _without_git(folder: Path) -> list[str]:
    if any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        raise LocalDataError(f"{folder} is a git repository, and git is not installed: install git, or pack a copy")
    paths = list(_walk(folder, ""))
    ignoring = next((path for path in paths if path.rpartition("/")[2] == ".gitignore"), None)
    if ignoring is not None:
        raise LocalDataError(f"git is needed to read {ignoring}: install git, or pack a copy without that file")
    return paths


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise LocalDataError(f"{folder} cannot be listed: {error.strerror}") from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in ALWAYS_OUT:
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name
