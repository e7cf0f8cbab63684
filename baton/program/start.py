"""`baton.init`: finds out what the run of this process stands on."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from typing import Any

from baton.program import checks
from baton.program.control import Control
from baton.program.drill.plan import DRILL_VARIABLE
from baton.program.errors import ProgramError
from baton.program.protocol import SOCKET_VARIABLE
from baton.program.run import FORKED, Run
from baton.program.signals import StopSignals

_current: Run | None = None
_process: int | None = None


def current_run() -> Run | None:
    """The run of this process: None before `init`, after it was closed, and in a forked process."""
    usable = _current is not None and _process == os.getpid() and not _current.closed
    return _current if usable else None


def init(
    folder: str | os.PathLike[str] | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    data: Mapping[str, str | os.PathLike[str]] | None = None,
) -> Run:
    """Attaches this process to its run. Call it once, in the process that trains.

    Below a worker, the run is the attempt of the job. Without a worker, the run is a local folder: end the program and
    start it again, and it continues from its last save. A warning of the logger `baton.program`, by default on stderr,
    says at which step. `logging.getLogger("baton.program").setLevel("ERROR")` silences it.

    `folder`: of a run without a worker; `.baton-run` in the working directory by default. BATON_RUN_DIR replaces it.
    `params`: defaults; the `params` of the job, or the JSON object in BATON_PARAMS, replace them by name. `data`: name
    -> path, for a run without a worker; the JSON object in BATON_DATA replaces them by name. Without a worker, a save
    is due every BATON_SAVE_EVERY (60s), and the newest BATON_SAVE_KEEP (3) saves stay.

    Raises:
        ProgramError: another process uses the folder, it cannot be written, the worker refuses this process, or an
            argument or a setting is invalid.

    >>> import baton, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, baton.init(folder, params={"lr": 0.1}) as run:
    ...     run.params["lr"], run.attempt
    (0.1, 1)
    """
    global _current, _process
    defaults = checks.mapping({} if params is None else params, "params")
    sources = {name: checks.path(one, f"data.{name}") for name, one in checks.mapping(data or {}, "data").items()}
    at = None if folder is None else checks.path(folder, "folder")
    if _current is not None and SOCKET_VARIABLE in os.environ:
        forked = os.getpid() != _process
        raise ProgramError(FORKED if forked else "this process has its run: baton.init() was called before")
    if _current is not None:
        _current.close()  # a cell of a notebook that is run again
    if SOCKET_VARIABLE in os.environ:
        from baton.program.attached import AttachedBackend

        control = Control()
        run = Run(AttachedBackend(control, defaults), control)
    elif DRILL_VARIABLE in os.environ:
        from baton.program.drill.points import drilled_run

        run = drilled_run(at, defaults, sources)
    else:
        from baton.program.local import LocalBackend, run_folder, save_every

        control = Control(save_every())
        backend = LocalBackend(run_folder(at), defaults, sources)
        backend.tell_where_it_begins()
        run = Run(backend, control, StopSignals(control))
    _current, _process = run, os.getpid()
    atexit.register(run.close)
    return run
