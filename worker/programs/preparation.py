"""What a program needs before it starts: its code, its pushed data, and the command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from baton.domain.data_reference import DataReference
from baton.domain.spec import ProgramJobSpec
from baton.domain.wire import Phase
from worker.attempt.protocols import ProgramControl
from worker.background import in_background
from worker.fetched.entries import Entries, Filling
from worker.fetched.packs import PackFetch
from worker.programs.code import unpacked, working_copy
from worker.programs.command import command_for, command_of_package

Report = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """A program that is ready to start. `folder`: where it starts. `data`: paths of pushed data by name."""

    command: list[str]
    folder: Path
    data: dict[str, Path] = field(default_factory=dict)


def prepare(spec: ProgramJobSpec, control: ProgramControl, scratch: Path, entries: Entries) -> Prepared:
    """Fetches code and data into the cache of the machine, and copies the code for this attempt.

    `entries`: the cache; the data stays in it until `entries` is closed.

    Raises:
        JobFailure: code_refused, unsupported, store_refused, disk_full, cache_unusable.
        Stopped, LeaseLost: the attempt is to end.
    """
    told = partial(control.tell, Phase.LOADING, None, None)
    data = {}
    for name, reference in spec.data.items():
        digest = DataReference.parse(reference).digest
        assert digest is not None, "the service pins each reference to a digest at submission"
        what = f"the data {name}"
        get = partial(entries.get, digest, what, partial(_fetch, control, digest))
        data[name] = in_background(get, told, control.raise_if_stopping)
    code = spec.program.code
    if code is None:
        folder = scratch / "work"
        folder.mkdir()
        return Prepared(command_of_package(spec.program.command), folder, data)
    root = in_background(partial(_code, entries, control, code, scratch), told, control.raise_if_stopping)
    command = command_for(root, spec.program.command, spec.program.working_directory, uv=shutil.which("uv"))
    return Prepared(command, root / spec.program.working_directory, data)


def _fetch(control: ProgramControl, digest: str, filling: Filling) -> None:
    PackFetch(control.store, digest, filling).run()


def _code(entries: Entries, control: ProgramControl, code: str, scratch: Path, report: Report) -> Path:
    root = scratch / "code"
    working_copy(unpacked(entries, control.store, code, report), root)
    return root
