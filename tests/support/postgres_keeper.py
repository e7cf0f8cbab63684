"""Runs a PostgreSQL server until its own standard input ends, and then removes all that the server left.

`python postgres_keeper.py FOLDER USER COMMAND...`: when the input ends, the server is stopped and FOLDER is removed.
The input also ends when the process that holds the other end dies. A byte before the end keeps the folder: `s` for a
clean shutdown, `c` for a crash. This file is run by its path, so it imports only the standard library.
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
    """Arguments of Popen that run the child as another user. An empty name means the current user."""
    if not name:
        return {}
    user = pwd.getpwnam(name)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def end_with_keeper() -> None:
    """Set the parent-death signal.

    Call it between fork and exec, after the change of the user, which would reset it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)


def run(folder: Path, user: str, command: list[str]) -> int:
    """Run the server until the input ends."""
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_keeper,  # noqa: PLW1509 - there is but one thread
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
    """Return the byte that came before the end of the input.

    If the server ended by itself, its folder is kept for debugging.
    """
    while server.poll() is None:
        ready, _, _ = select.select([0], [], [], 0.5)
        if ready:
            return os.read(0, 1)
    return os.read(0, 1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
