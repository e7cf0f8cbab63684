"""Runs a PostgreSQL server for as long as its own standard input is open, and leaves nothing of it behind.

`python postgres_keeper.py FOLDER USER COMMAND...`: the end of the input, which is the end of the process that holds its
other side, stops the server and removes FOLDER. One byte before it keeps the folder: `s` for a shutdown that says
goodbye to its clients, `c` for a crash. Run by path, it needs nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 20.0
STOPS = {b"s": signal.SIGINT, b"c": signal.SIGQUIT, b"": signal.SIGQUIT}


def as_user(name: str) -> dict[str, Any]:
    """Arguments of Popen that make the child another user; an empty name is the present one."""
    if not name:
        return {}
    user = pwd.getpwnam(name)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def end_with_keeper() -> None:
    """Between fork and exec, after the change of user, which would undo it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)


def run(folder: Path, user: str, command: list[str]) -> int:
    """The server's life."""
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_keeper,
            **as_user(user),
        )
    order = wait_for_order(server)
    if server.poll() is None:
        server.send_signal(STOPS.get(order, signal.SIGQUIT))
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    if not order:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def wait_for_order(server: subprocess.Popen[bytes]) -> bytes:
    """What came before the end of the input; a server that ended by itself keeps its folder for who asks why."""
    while server.poll() is None:
        ready, _, _ = select.select([0], [], [], 0.5)
        if ready:
            return os.read(0, 1)
    return os.read(0, 1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
