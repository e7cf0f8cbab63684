"""The program of `make bench-program-files`: saves files, dies when they are committed, and restores them.

Parameters: `files`, `megabytes` (of each file), `report` (a folder; each attempt writes its times there as JSON).
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import baton

BLOCK = 1 << 20


def write(folder: Path, files: int, megabytes: int) -> None:
    """Writes files of random bytes."""
    block = os.urandom(BLOCK)
    for number in range(files):
        with (folder / f"part-{number}.bin").open("wb", buffering=0) as file:
            for _ in range(megabytes):
                file.write(block)


def main() -> None:
    """Attempt 1 saves and kills itself, attempt 2 restores."""
    run = baton.init()
    files, megabytes, report = run.params["files"], run.params["megabytes"], Path(run.params["report"])
    saved = run.restore()
    if saved is not None:
        sizes = [path.stat().st_size for path in saved.folder.iterdir()]
        assert sizes == [megabytes * BLOCK] * files, sizes
        run.log({"restored": 1.0}, step=saved.step)
        return
    with run.save(step=1) as folder:
        begun = time.time()
        write(folder, files, megabytes)
        written = time.time()
    handed_over = time.time()
    (report / "times.json").write_text(json.dumps([begun, written, handed_over]))
    saves = Path(os.environ["TMPDIR"]).parent / "saves"
    while any(saves.iterdir()):  # the worker deletes the files of a save when it is committed
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
