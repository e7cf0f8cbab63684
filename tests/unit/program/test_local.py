"""A run without a worker: what it keeps, when a save is due, what it refuses, how it stops."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import multiprocessing.process
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import baton
from baton.program.local import LocalBackend
from baton.program.protocol import EXIT_STOPPED
from tests.support.service import ROOT

SECONDS = 60


@pytest.fixture(autouse=True)
def _saves_are_due_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_SAVE_EVERY", "0s")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[baton.Run]:
    with baton.init(tmp_path / "run") as one:
        yield one


def saved(run: baton.Run, step: int, **arguments: object) -> None:
    with run.save(step=step, **arguments) as folder:  # type: ignore[arg-type]
        (folder / "state").write_text(str(step))


def test_a_run_continues_from_its_newest_save(tmp_path: Path) -> None:
    with baton.init(tmp_path) as run:
        assert run.restore() is None
        run.log({"loss": np.float32(0.5)}, step=np.int64(0))
        run.epoch({"val": 1}, epoch=1, step=1)
        saved(run, 1, epoch=4, cursor={"at": (1, 2)})
        run.log({"loss": 9}, step=1)
        run.epoch({"val": 9}, epoch=2, step=2)
    with baton.init(tmp_path) as run:
        state = run.restore()
        assert state is not None
        assert (state.step, state.epoch, state.cursor) == (1, 4, {"at": [1, 2]})
        assert (state.folder / "state").read_text() == "1"
        assert (run.attempt, run.job) == (2, None)
        run.log({"loss": 0.25, "other": 1}, step=1)
        run.epoch({"val": 2, "more": 3}, epoch=2, step=2)
    assert (tmp_path / "series.csv").read_text() == "name,step,value\nloss,0,0.5\nloss,1,0.25\nother,1,1.0\n"
    assert (tmp_path / "history.csv").read_text() == "epoch,step,val,more\n1,1,1.0,\n2,2,2.0,3.0\n"


def test_a_run_says_where_it_begins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def told() -> list[str]:
        caplog.clear()
        with baton.init(tmp_path) as run:
            run.restore()
            if run.attempt == 2:
                saved(run, 7)
        return [record.getMessage() for record in caplog.records]

    assert told() == []
    assert told() == [f"baton: an earlier start in {tmp_path} left no save: the run begins at step 0"]
    assert told() == [f"baton: continues at step 7 of {tmp_path} (delete the folder to start again)"]


def test_the_newest_saves_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_SAVE_KEEP", "2")
    with baton.init(tmp_path) as run:
        for step in (1, 2, 3, 3):
            saved(run, step)
    assert sorted(one.name for one in (tmp_path / "saves").iterdir()) == ["00000003-3", "00000004-3"]


def test_a_damaged_save_is_set_aside_and_the_one_before_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with baton.init(tmp_path) as run:
        for step in (1, 2):
            run.log({"loss": step}, step=step - 1)
            saved(run, step)
    (tmp_path / "saves/00000002-2/files/state").write_text("longer")
    with baton.init(tmp_path) as run:
        state = run.restore()
        assert state is not None
        assert state.step == 1
        saved(run, 2)
    assert "files are missing, or have another size" in capsys.readouterr().err
    names = sorted(one.name for one in (tmp_path / "saves").iterdir())
    assert names == ["00000001-1", "00000003-2", "damaged-00000002-2"]
    assert (tmp_path / "series.csv").read_text() == "name,step,value\nloss,0,1.0\n"


def test_a_save_is_due_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_SAVE_EVERY", "1h")
    with baton.init(tmp_path / "a") as run:
        assert not run.save_due()
    monkeypatch.setenv("BATON_SAVE_EVERY", "0")
    with baton.init(tmp_path / "b") as run:
        assert run.save_due()


def test_a_block_that_fails_saves_nothing(run: baton.Run) -> None:
    saved(run, 1)
    with pytest.raises(ZeroDivisionError), run.save(step=2) as folder:
        (folder / "state").write_text(str(1 / 0))
    assert run.save_due()
    saved(run, 2)


def test_an_error_in_the_background_is_raised_by_the_next_call(run: baton.Run) -> None:
    run.save_in_background(step=1, write=lambda folder: 1 / 0)
    with pytest.raises(baton.ProgramError, match="in the background failed: division by zero"):
        saved(run, 2)
    saved(run, 2)


def test_a_save_waits_for_the_one_in_the_background(run: baton.Run) -> None:
    written: list[int] = []
    started = threading.Event()

    def write(folder: Path) -> None:
        started.wait(SECONDS)
        written.append(1)

    run.save_in_background(step=1, write=write)
    assert not run.save_due()
    started.set()
    saved(run, 2)
    assert written == [1]


def with_link(run: baton.Run) -> None:
    with run.save(step=1) as folder:
        (folder / "link").symlink_to("/etc")


def with_odd_name(run: baton.Run) -> None:
    with run.save(step=1) as folder:
        (folder / "a\nb").write_text("")


def without_folder(run: baton.Run) -> None:
    with run.save(step=1) as folder:
        folder.rmdir()


def nested_dicts(depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for _ in range(depth):
        found = {"in": found}
    return found


def in_itself() -> dict[str, object]:
    found: dict[str, object] = {}
    found["in"] = [found]
    return found


def nested(run: baton.Run) -> None:
    with run.save(step=1), run.save(step=2):
        pass


WRONG: dict[str, tuple[Callable[[baton.Run], object], str]] = {
    "a step that decreases": (lambda run: (saved(run, 5), saved(run, 4)), r"the last save has step 5"),
    "a step that is no number": (lambda run: run.save(step=1.5), "step: must be a whole number, not float"),
    "a negative step": (lambda run: run.log({"a": 1}, step=-1), "step: must be from 0"),
    "a cursor that is no dict": (lambda run: run.save(step=1, cursor=[1]), "cursor: must be a dict, not list"),
    "a cursor that is not JSON": (lambda run: run.save(step=1, cursor={"a": {1}}), "cursor: cannot be stored as JSON"),
    "a NaN in the cursor": (lambda run: run.save(step=1, cursor={"a": float("nan")}), "cursor: cannot be stored"),
    "a key that is not text": (lambda run: run.save(step=1, cursor={"a": [{1: 2}]}), r"cursor\.a\.0: the key 1"),
    "a deep cursor": (lambda run: run.save(step=1, cursor=nested_dicts(101)), "more than 100 dicts and lists"),
    "a cursor in itself": (lambda run: run.save(step=1, cursor=in_itself()), "or contains itself"),
    "a large cursor": (lambda run: run.save(step=1, cursor={"a": "x" * 2**20}), "write it into a file"),
    "a NaN": (lambda run: run.log({"loss": float("nan")}, step=1), r"metrics\.loss: is nan\. Metrics are finite"),
    "an array": (lambda run: run.log({"loss": np.zeros(2)}, step=1), r"metrics\.loss: must be one number, not ndarray"),
    "a name with a space": (lambda run: run.epoch({"a b": 1}, epoch=1, step=1), "'a b' is no name of a metric"),
    "a name of the worker": (lambda run: run.log({"system/cpu": 1}, step=1), "'system/cpu': the worker records"),
    "an epoch that counts from 0": (lambda run: run.epoch({}, epoch=0, step=1), "rows count from 1"),
    "points that are no dict": (lambda run: run.log([("a", 1)], step=1), "metrics: must be a dict of names"),
    "a large epoch": (lambda run: run.epoch({}, epoch=100_001, step=1), "epoch: 100001 is more than 100,000"),
    "no dict": (lambda run: run.epoch([1], epoch=1, step=1), "metrics: must be a dict of names and numbers"),
    "an epoch twice": (
        lambda run: (run.epoch({}, epoch=1, step=1), run.epoch({}, epoch=1, step=2)),
        "epoch: 1 comes after 1",
    ),
    "a save without `with`": (lambda run: (run.save(step=1), run.save(step=2)), r"save\(step=1\) wrote nothing"),
    "a link": (with_link, "contains link, which is not a regular file"),
    "a name that no store has": (with_odd_name, r"contains 'a\\nb', a name that has a backslash or a control"),
    "a folder that is gone": (without_folder, "was deleted or replaced"),
    "a save in a save": (nested, r"save\(step=2\) inside save\(step=1\)"),
    "a late restore": (lambda run: (run.log({"a": 1}, step=0), run.restore()), r"call run\.restore\(\) before"),
    "a file that is missing": (lambda run: run.publish("a", "/nowhere"), "/nowhere is not a file"),
    "a folder as a file": (lambda run: run.publish("a", "/"), "/ is a folder: publish one file"),
    "no path": (lambda run: run.publish("a", None), "path: must be a path, not NoneType"),
    "a reserved name": (lambda run: run.publish("logs", __file__), "is a folder beside the files of a job"),
    "a path as a name": (lambda run: run.publish("../a", __file__), "is no name of a file to publish"),
    "unknown data": (lambda run: run.data("pets"), "data 'pets': data/pets does not exist"),
    "a closed run": (lambda run: (run.close(), run.save_due()), "the run is closed"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_says_what_is_wrong(run: baton.Run, name: str) -> None:
    call, message = WRONG[name]
    with pytest.raises(baton.ProgramError, match=message):
        call(run)


def test_a_program_that_does_not_restore_cannot_overwrite(tmp_path: Path) -> None:
    with baton.init(tmp_path) as run:
        saved(run, 3)
    with baton.init(tmp_path) as run, pytest.raises(baton.ProgramError, match=r"save at step 3: call run\.restore"):
        run.log({"loss": 1}, step=0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("BATON_SAVE_EVERY", "often", "BATON_SAVE_EVERY=often: must be a duration"),
        ("BATON_SAVE_KEEP", "0", "BATON_SAVE_KEEP=0: must be a whole number"),
        ("BATON_PARAMS", "[1]", "BATON_PARAMS: must be a JSON object"),
        ("BATON_PARAMS", "{", "BATON_PARAMS: must be a JSON object"),
    ],
)
def test_a_wrong_setting_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(baton.ProgramError, match=message):
        baton.init(tmp_path)


def damaged_history(folder: Path) -> None:
    (folder / "history.csv").write_bytes(b"\xff\xfe\0")
    baton.init(folder)


WRONG_STARTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "params that are no dict": (lambda at: baton.init(at, params=["lr"]), "params: must be a dict, not list"),
    "data that is no dict": (lambda at: baton.init(at, data=["pets"]), "data: must be a dict, not list"),
    "data that is no path": (lambda at: baton.init(at, data={"pets": 3}), r"data\.pets: must be a path, not int"),
    "a folder that is no path": (lambda _: baton.init(3), "folder: must be a path, not int"),
    "a file as the folder": (lambda _: baton.init(__file__), "cannot be the folder of the run: .*File exists"),
    "a folder that cannot be made": (lambda _: baton.init("/proc/run"), "/proc/run cannot be the folder of the run"),
    "a damaged history": (damaged_history, r"history\.csv is damaged .* or delete it"),
}


@pytest.mark.parametrize("name", WRONG_STARTS)
def test_a_start_that_cannot_be_says_why(tmp_path: Path, name: str) -> None:
    call, message = WRONG_STARTS[name]
    with pytest.raises(baton.ProgramError, match=message):
        call(tmp_path)


def test_blank_params_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_PARAMS", " ")
    with baton.init(tmp_path) as run:
        assert run.params == {}


def test_a_handler_of_a_signal_in_the_middle_of_a_call_gets_an_error(
    run: baton.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    def handler(*_: object) -> None:
        with pytest.raises(baton.ProgramError) as error:
            run.log({"loss": 2}, step=1)
        found.append(str(error.value))

    before = signal.signal(signal.SIGUSR1, handler)
    monkeypatch.setattr(run._backend._series, "_flush", lambda: signal.raise_signal(signal.SIGUSR1))  # type: ignore[attr-defined]
    monkeypatch.setattr(run._backend._series, "_flushed_at", 0.0)  # type: ignore[attr-defined]
    run.log({"loss": 1}, step=0)
    monkeypatch.undo()
    signal.signal(signal.SIGUSR1, before)
    assert found
    assert "let the handler only set a variable" in found[0]


def test_threads_record_each_epoch_once(run: baton.Run, tmp_path: Path) -> None:
    def record() -> None:
        for epoch in range(1, 20):
            with contextlib.suppress(baton.ProgramError):
                run.epoch({"a": 1}, epoch=epoch, step=epoch)

    threads = [threading.Thread(target=record) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    rows = (tmp_path / "run/history.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [str(epoch) for epoch in range(1, 20)]


def test_params_and_data_have_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.json").write_text('{"lr": 2}')
    monkeypatch.setenv("BATON_PARAMS", str(tmp_path / "params.json"))
    with baton.init(tmp_path, params={"lr": 1, "layers": 3}, data={"pets": tmp_path}) as run:
        assert run.params == {"lr": 2, "layers": 3}
        assert run.data("pets") == tmp_path


def test_published_files_and_notes_are_kept(run: baton.Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first")
    run.publish("a.txt", tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text("second")
    run.publish("a.txt", tmp_path / "a.txt")
    run.note("half\ndone \ud800")
    run.note("x" * 5_000_000)
    assert (tmp_path / "run/published/a.txt").read_text() == "second"
    assert (tmp_path / "run/notes.txt").read_text() == "half done \\ud800\n" + "x" * 20_000 + "\n"


def test_a_cell_of_a_notebook_may_run_again(tmp_path: Path) -> None:
    first = baton.init(tmp_path)
    saved(first, 1)
    with baton.init(tmp_path) as second:
        state = second.restore()
        assert state is not None
        with pytest.raises(baton.ProgramError, match="the run is closed"):
            first.save_due()


def test_threads_may_log_at_the_same_time(run: baton.Run, tmp_path: Path) -> None:
    def log(name: str) -> None:
        for step in range(500):
            run.log({name: step}, step=step)

    threads = [threading.Thread(target=log, args=(f"series{k}",)) for k in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    run.close()
    points = (tmp_path / "run/series.csv").read_text().splitlines()[1:]
    for k in range(4):
        assert [p for p in points if p.startswith(f"series{k},")] == [f"series{k},{s},{float(s)!r}" for s in range(500)]


@pytest.mark.process
def test_two_processes_cannot_use_one_folder(run: baton.Run, tmp_path: Path) -> None:
    code = f"import baton\nbaton.init({str(tmp_path / 'run')!r})"
    other = program(code)
    _, err = other.communicate(timeout=SECONDS)
    assert f"is in use by process {os.getpid()}" in err


def test_a_process_of_multiprocessing_is_told_where_to_begin(
    run: baton.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing.process, "parent_process", lambda: "a process")
    with pytest.raises(baton.ProgramError, match="in the process that trains, below `if __name__ =="):
        LocalBackend(tmp_path / "run", {}, {})


def program(code: str, folder: Path = ROOT, **environment: str) -> subprocess.Popen[str]:
    own = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=own, stdout=pipe, stderr=pipe, text=True)


LOOP = """
import baton
run = baton.init()
saved = run.restore()
print(saved.step if saved else 0, flush=True)
step = saved.step if saved else 0
while True:
    step += 1
    if run.save_due():
        with run.save(step=step):
            pass
    run.check()
"""


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(tmp_path: Path, number: signal.Signals) -> None:
    process = program(LOOP, tmp_path, BATON_SAVE_EVERY="1h")
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == EXIT_STOPPED
    assert "Traceback" not in err
    assert "Start the program again to continue" in err
    (save,) = (tmp_path / ".baton-run/saves").iterdir()
    assert json.loads((save / "save.json").read_text())["step"] > 0


@pytest.mark.process
def test_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    process = program(
        "import baton, time\n"
        "run = baton.init()\n"
        "print('begun', flush=True)\n"
        "while not run.stopping: time.sleep(0.01)\n"
        "print('stopping', flush=True)\n"
        "while True: time.sleep(0.01)\n",
        tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SECONDS)
    assert "KeyboardInterrupt" in err


@pytest.mark.process
def test_a_forked_process_has_the_signal_handlers_of_before(tmp_path: Path) -> None:
    process = program(
        "import baton, os, signal, time\n"
        "run = baton.init()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    print('forked', flush=True)\n"
        "    while True: time.sleep(1)\n"
        "while not run.stopping: time.sleep(0.01)\n"
        "os.kill(child, signal.SIGTERM)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)\n"
        "with run.save(step=1): pass\n"
        "run.check()\n",
        tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "forked\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=SECONDS)
    assert (out, process.returncode) == (f"{-signal.SIGTERM}\n", EXIT_STOPPED)
