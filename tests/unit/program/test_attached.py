"""A program below a worker: what it sends in which order, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from baton.program.protocol import (
    CANCELLED,
    EXIT_STOPPED,
    PREEMPTED,
    Epoch,
    Log,
    Note,
    Progress,
    Publish,
    Save,
    SaveDue,
    Step,
    Stop,
    Stopped,
)
from tests.support.program_worker import ProgramWorker, program_worker

pytestmark = pytest.mark.process

LOOP = """
import baton, time
run = baton.init()
step = 0
print("begun", flush=True)
while True:
    run.log({"loss": 1 / (step + 1)}, step=step)
    step += 1
    if run.save_due():
        with run.save(step=step) as folder:
            (folder / "state").write_text(str(step))
    run.check()
    time.sleep(0.001)
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[ProgramWorker]:
    with program_worker(tmp_path / "w") as one:
        yield one


def test_a_program_gets_its_job_and_the_state_to_continue_from(tmp_path: Path) -> None:
    saved = {"step": 7, "epoch": 1, "cursor": {"next": [3]}, "folder": str(tmp_path), "last_epoch": 1}
    with program_worker(tmp_path / "w", params={"lr": 0.5}, data={"d": "/data/d"}, saved=saved) as worker:
        status, out, err = worker.run(
            "import baton\n"
            "run = baton.init(params={'lr': 0.1, 'layers': 2}, data={'d': 'ignored'})\n"
            "saved = run.restore()\n"
            "print(run.params, run.attempt, len(run.job), run.data('d'))\n"
            "print(saved.step, saved.epoch, saved.cursor, saved.folder)\n"
            "try: run.data('other')\n"
            "except baton.ProgramError as error: print(error)\n"
            "try: run.epoch({}, epoch=1, step=9)\n"
            "except baton.ProgramError as error: print(error)\n"
        )
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == ["{'lr': 0.5, 'layers': 2} 2 32 /data/d", f"7 1 {{'next': [3]}} {tmp_path}"]
    assert "the job has no such data; it has d" in lines[2]
    assert lines[3] == "epoch: 1 comes after 1, and epochs only increase"


def test_points_and_rows_are_sent_before_the_save_that_they_belong_to(worker: ProgramWorker, tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"png")
    status, _, err = worker.run(
        "import baton\n"
        "with baton.init() as run:\n"
        "    for step in range(3000): run.log({'a': step, 'b': 2}, step=step)\n"
        "    run.epoch({'val': 0.5}, epoch=1, step=3000)\n"
        "    with run.save(step=3000, epoch=1, cursor={'k': (1, 2)}, metrics={'val': 0.5}) as folder:\n"
        "        (folder / 'state').write_text('x')\n"
        f"    run.publish('image.png', {str(tmp_path / 'image.png')!r})\n"
        "    run.progress(step=3000, total=6000)\n"
        "    run.note('half')\n"
        "    run.log({'a': 1}, step=3000)\n"
    )
    assert (status, err) == (0, "")
    kinds = [type(one) for one in worker.seen]
    save = worker.seen[kinds.index(Save)]
    assert isinstance(save, Save)
    sent_before = [one for one in worker.seen[: kinds.index(Save)] if isinstance(one, Log)]
    assert sum(len(one.points) for one in sent_before) == 6000
    assert worker.points() == [
        *(point for step in range(3000) for point in [("a", step, float(step)), ("b", step, 2.0)]),
        ("a", 3000, 1.0),
    ]
    assert kinds.index(Epoch) < kinds.index(Save) < kinds.index(Publish) < kinds.index(Note)
    assert (save.step, save.epoch, save.cursor, save.metrics) == (3000, 1, {"k": [1, 2]}, {"val": 0.5})
    assert (save.last_point_step, save.last_epoch) == (2999, 1)
    assert save.stall is not None
    assert (worker.folder / "taken/3000/state").read_text() == "x"


def test_a_save_in_the_background_names_the_points_and_rows_before_it(worker: ProgramWorker) -> None:
    status, _, err = worker.run(
        "import baton, threading\n"
        "run, go = baton.init(), threading.Event()\n"
        "run.log({'a': 1}, step=4)\n"
        "run.save_in_background(step=5, write=lambda folder: go.wait())\n"
        "run.log({'a': 2}, step=5)\n"
        "run.epoch({'a': 2}, epoch=3, step=6)\n"
        "go.set()\n"
        "run.close()\n"
    )
    assert (status, err) == (0, "")
    save = worker.next(Save)
    assert isinstance(save, Save)
    assert (save.step, save.last_point_step, save.last_epoch) == (5, 4, None)


def test_the_worker_decides_when_a_save_is_due(worker: ProgramWorker) -> None:
    process = worker.start(LOOP, BATON_SAVE_EVERY="0s")
    worker.send(SaveDue())
    first = worker.next(Save)
    worker.send(SaveDue())
    second = worker.next(Save)
    process.kill()
    process.communicate()
    assert isinstance(first, Save)
    assert isinstance(second, Save)
    assert second.step > first.step
    assert sum(isinstance(one, Save) for one in worker.seen) == 2


@pytest.mark.parametrize(("why", "saves"), [(PREEMPTED, 1), (CANCELLED, 0)])
def test_a_stop_ends_the_program_after_a_save_and_a_cancel_at_once(worker: ProgramWorker, why: str, saves: int) -> None:
    process = worker.start(LOOP)
    worker.send(Stop(why, seconds=20))
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (EXIT_STOPPED, "")
    saved = [one for one in worker.seen if isinstance(one, Save)]
    assert len(saved) == saves
    assert worker.seen[-1] == Stopped(saved[-1].step if saves else None)
    assert max(step for _, step, _ in worker.points()) >= (saved[-1].step - 1 if saves else 0)


def test_nothing_continues_when_the_connection_closes(worker: ProgramWorker) -> None:
    process = worker.start("import baton, time\nrun = baton.init()\nrun.note('here')\nwhile True: time.sleep(1)")
    worker.next(Note)
    worker.close()
    _, err = process.communicate(timeout=30)
    assert process.returncode == EXIT_STOPPED
    assert "the connection to the worker is closed" in err


def test_a_refused_save_is_an_error_of_the_program(worker: ProgramWorker) -> None:
    worker.refuse["save"] = "the disk of the worker is full"
    status, out, _ = worker.run(
        "import baton, os\n"
        "run = baton.init()\n"
        "try:\n"
        "    with run.save(step=1) as folder: (folder / 'x').write_text('x')\n"
        "except baton.ProgramError as error: print(error, folder.exists(), run.save_due())\n"
    )
    assert (status, out) == (0, "save: the disk of the worker is full False True\n")


def test_a_process_that_the_program_forks_cannot_use_its_run(worker: ProgramWorker) -> None:
    status, out, err = worker.run(
        "import baton, os, sys\n"
        "run = baton.init()\n"
        "run.log({'a': 1}, step=0)\n"
        "if os.fork() == 0:\n"
        "    try: run.log({'a': 2}, step=1)\n"
        "    except baton.ProgramError as error: print(error, flush=True)\n"
        "    try: baton.init()\n"
        "    except baton.ProgramError as error: print(error, flush=True)\n"
        "    sys.exit(3)\n"
        "assert os.waitstatus_to_exitcode(os.wait()[1]) == 3\n"
        "run.note('the parent continues')\n"
    )
    assert (status, err) == (0, "")
    assert out.count("only that one may use the run") == 2
    assert worker.points() == [("a", 0, 1.0)]
    assert worker.seen[-1] == Note("the parent continues")


def test_the_last_progress_is_sent_at_the_end(worker: ProgramWorker) -> None:
    status, _, err = worker.run(
        "import baton\nrun = baton.init()\nfor step in range(9): run.progress(step=step, total=8)"
    )
    assert (status, err) == (0, "")
    told = [one for one in worker.seen if isinstance(one, Progress)]
    assert told[-1].step == 8


def test_a_program_that_closes_the_connection_ends(worker: ProgramWorker) -> None:
    status, out, err = worker.run(
        "import baton, os\n"
        "run = baton.init()\n"
        "os.closerange(3, 100)\n"
        "run.epoch({'a': 1}, epoch=1, step=1)\n"
        "print('recorded')\n"
    )
    assert (status, out) == (EXIT_STOPPED, "")
    assert "A program must not close files that it has not opened" in err


def test_a_handler_of_a_signal_cannot_call_in_the_middle_of_a_call(worker: ProgramWorker) -> None:
    status, out, _ = worker.run(
        "import baton, signal\n"
        "run = baton.init()\n"
        "def handler(*_):\n"
        "    try: run.note('from a handler')\n"
        "    except baton.ProgramError as error: print('let the handler only set' in str(error))\n"
        "signal.signal(signal.SIGUSR1, handler)\n"
        "with run._backend._send_lock: signal.raise_signal(signal.SIGUSR1)\n"
        "run.note('the program continues')\n"
    )
    assert (status, out) == (0, "True\n")
    assert worker.seen[-1] == Note("the program continues")


def test_a_process_without_the_secret_is_refused(worker: ProgramWorker) -> None:
    status, _, err = worker.run("import baton\nbaton.init()", BATON_PROGRAM_SECRET="another")
    assert status == 1
    assert "the worker does not accept this process: wrong secret" in err


def test_a_program_whose_worker_is_gone_says_so(worker: ProgramWorker) -> None:
    worker.close()
    status, _, err = worker.run("import baton\nbaton.init()")
    assert status == 1
    assert "the attempt has ended" in err


def test_a_program_shows_that_it_is_alive_and_how_far_it_is(worker: ProgramWorker) -> None:
    process = worker.start(LOOP.replace("    step += 1\n", "    step += 1\n    run.progress(step=step, total=9)\n"))
    told, alive, later = worker.next(Progress), worker.next(Step), worker.next(Step)
    process.kill()
    process.communicate()
    assert isinstance(told, Progress)
    assert isinstance(alive, Step)
    assert isinstance(later, Step)
    assert (told.total, told.epochs) == (9, None)
    assert alive.step is not None
    assert later.calls > alive.calls > 0
