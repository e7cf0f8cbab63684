"""A training program of the standard library. Its state is a hash chain, so it shows a lost or repeated step.

Parameters: `steps`, `epoch_steps` (0: no rows), `step_seconds`, `save_every` (steps; absent: when a save is due),
`size` (bytes of an additional file), `await_saves` (wait until each save is committed), `half_written` (the name of a
file that it publishes in the middle of each save), and `kills`: attempt -> [whom, step]. `whom` is program, runner (the
worker's process above it) or worker (the supervisor too).
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import baton


def after(state: bytes, step: int) -> bytes:
    """The state after one more step."""
    return hashlib.sha256(state + step.to_bytes(8, "big")).digest()


def final_state(steps: int) -> bytes:
    """The state at the end of an uninterrupted run."""
    state = b"start"
    for step in range(steps):
        state = after(state, step)
    return state


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def runner_status() -> list[str]:
    """What the kernel says about the process that runs this program."""
    return Path(f"/proc/{parent_of(os.getppid())}/status").read_text().splitlines()


def kill(whom: str) -> None:
    """Kill this process, the process that runs it, or the whole worker."""
    guard = os.getppid()
    runner = parent_of(guard)
    victims = {"program": [os.getpid()], "runner": [runner], "worker": [parent_of(runner), runner]}[whom]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    time.sleep(60)  # the guard kills this process


def save(run: Any, step: int, state: bytes) -> None:
    with run.save(step=step, cursor={"step": step}, metrics={"val_loss": state[0] / 255}) as folder:
        (folder / "state.bin").write_bytes(state)
        if name := run.params.get("half_written"):
            run.publish(name, folder / "state.bin")
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "copy of state.txt").write_text(state.hex())
        if size := run.params.get("size", 0):
            with (folder / "large.bin").open("wb") as file:
                for _ in range(size >> 20):
                    file.write(state * (1 << 15))


def await_uploads() -> None:
    """The worker deletes its folder of a save when it is committed."""
    saves = Path(os.environ["TMPDIR"]).parent / "saves"
    while any(saves.iterdir()):
        time.sleep(0.02)


def main() -> None:
    run = baton.init()
    params = run.params
    saved = run.restore()
    state, step = b"start", 0
    if saved is not None:
        state, step = (saved.folder / "state.bin").read_bytes(), saved.step
        assert saved.cursor == {"step": step}
        assert (saved.folder / "deep" / "er" / "copy of state.txt").read_text() == state.hex()
    print(f"attempt {run.attempt} begins at step {step}", flush=True)
    total, epoch_steps = params["steps"], params.get("epoch_steps", 10)
    whom, when = params.get("kills", {}).get(str(run.attempt), ("", -1))
    while step < total:
        if step == when:
            kill(whom)
        state = after(state, step)
        step += 1
        time.sleep(params.get("step_seconds", 0.0))
        run.log({"loss": state[0] / 255, "train/first": state[1]}, step=step)
        run.progress(step=step, total=total)
        if epoch_steps and step % epoch_steps == 0:
            run.epoch({"val_loss": state[0] / 255}, epoch=step // epoch_steps, step=step)
        every = params.get("save_every")
        if run.save_due() if every is None else (step % every == 0 or run.save_due()):
            save(run, step, state)
            if params.get("await_saves"):
                await_uploads()
        run.check()
    Path("final.txt").write_text(state.hex())
    run.publish("final.txt", "final.txt")
    (status,) = (line for line in runner_status() if line.startswith("VmHWM"))
    run.note(f"the runner used at most {status.split()[1]} kB")
    print("the program is done", flush=True)


if __name__ == "__main__":
    main()
