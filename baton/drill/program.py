"""The program under drill, and the folders of its runs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import baton
from baton.client.packing.selection import Selection, select_files
from baton.domain.errors import BatonError
from baton.program.drill.plan import DRILL_VARIABLE
from baton.program.local import DATA_VARIABLE, FOLDER_VARIABLE, KEEP_VARIABLE, PARAMS_VARIABLE

DATA_FOLDER = "data"
ALL_SAVES = 1_000_000
HASH_SEED = "PYTHONHASHSEED"
_ENVIRONMENTS = ("VIRTUAL_ENV", "CONDA_PREFIX")


class DrillError(BatonError):
    """The drill cannot be done. The message says what to do."""

    code = "drill"
    exit_status = 2


@dataclass(frozen=True)
class Program:
    """A program and how it is started.

    `command`: words. `code`: the folder with its files; each run gets copies of those that `baton submit --code` would
    send. `params`: as in a spec. `data`: name -> absolute path. `variables`: of its environment. `working_directory`:
    where it starts, below `code`. `hash_seed`: PYTHONHASHSEED, unless it is set: the order of sets.
    """

    command: tuple[str, ...]
    code: Path
    params: Mapping[str, object] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = "."
    hash_seed: str | None = None

    def files(self) -> Selection:
        """The files that a run gets."""
        return select_files(self.code)

    def environment(self, folder: RunFolder, plan: Path) -> dict[str, str]:
        """The environment of a process of a run."""
        own = {name: one for name, one in os.environ.items() if not name.startswith("BATON_")}
        found = {
            **own,
            "PATH": search_path(own),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(folder.library()), own.get("PYTHONPATH", "")])),
            "PYTHONUNBUFFERED": "1",
            **self.variables,
            DRILL_VARIABLE: str(plan),
            FOLDER_VARIABLE: str(folder.run),
            KEEP_VARIABLE: str(ALL_SAVES),
            PARAMS_VARIABLE: json.dumps(dict(self.params)),
            DATA_VARIABLE: json.dumps({**self._data_beside_the_code(), **self.data}),
        }
        return found if self.hash_seed is None else {HASH_SEED: self.hash_seed, **found}

    def _data_beside_the_code(self) -> dict[str, str]:
        """`data/NAME` in the folder of the code, which `run.data(NAME)` finds there when the program runs by hand."""
        folder = self.code / DATA_FOLDER
        return {one.name: str(one.resolve()) for one in folder.iterdir()} if folder.is_dir() else {}


def search_path(environment: Mapping[str, str]) -> str:
    """The PATH of the program. Without an active environment, `python` is the interpreter of this command."""
    path = environment.get("PATH", os.defpath)
    if any(environment.get(name) for name in _ENVIRONMENTS):
        return path
    return os.pathsep.join([str(Path(sys.executable).parent), path])


class RunFolder:
    """The folder of one run: `run`, which is BATON_RUN_DIR, copies of the code; plans, traces and logs of attempts."""

    def __init__(self, root: Path, name: str, files: Selection) -> None:
        self.root = root / name
        self.run = self.root / "run"
        self.root.mkdir(parents=True)
        self.files = files
        self._copies = 0
        self.code = self.new_copy()

    def new_copy(self) -> Path:
        """A new copy of the code, as another machine would have it."""
        self._copies += 1
        self.code = self.root / f"code-{self._copies}"
        self.code.mkdir()
        for chosen in self.files.files:
            target = self.code / chosen.member.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(chosen.source, target)
        return self.code

    def library(self) -> Path:
        """A folder with the package `baton` of this command, for any interpreter."""
        folder = self.root / "lib"
        if not folder.exists():
            folder.mkdir()
            (folder / "baton").symlink_to(Path(baton.__file__).resolve().parent, target_is_directory=True)
        return folder
