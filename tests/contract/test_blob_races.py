"""Concurrent readers and writers, the same in every blob store."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from baton.storage import AlreadyExists, BlobStore

pytestmark = pytest.mark.process


def test_one_of_many_racing_threads_wins(store: BlobStore) -> None:
    start = threading.Barrier(8)

    def write(number: int) -> int | None:
        start.wait(60)
        try:
            store.put("run/manifest.json", f"writer {number}".encode(), if_absent=True)
        except AlreadyExists:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        won = [number for number in pool.map(write, range(8)) if number is not None]
    assert len(won) == 1
    assert store.get("run/manifest.json") == f"writer {won[0]}".encode()


def test_one_of_many_racing_processes_wins(store: BlobStore) -> None:
    command = [sys.executable, "-m", "tests.contract.racing_writer", store.url, "run/manifest.json"]
    pipe = subprocess.PIPE
    writers = [subprocess.Popen([*command, str(n)], stdin=pipe, stdout=pipe, text=True) for n in range(3)]
    assert [writer.stdout and writer.stdout.readline() for writer in writers] == ["ready\n"] * 3
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    answers = [writer.communicate(timeout=20)[0].strip() for writer in writers]
    assert sorted(answers) == ["lost", "lost", "won"]
    assert store.get("run/manifest.json") == str(answers.index("won")).encode()


def test_readers_see_old_or_new_and_never_half(store: BlobStore) -> None:
    contents = [bytes([value]) * 300_000 for value in range(12)]
    store.put("a", contents[0])
    done = threading.Event()

    def write() -> None:
        for content in contents:
            store.put("a", content)
        done.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not done.is_set() and not writing.done():
            assert store.get("a") in contents
        writing.result()
    assert store.get("a") == contents[-1]
