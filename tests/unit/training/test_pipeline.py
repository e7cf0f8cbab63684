"""The batch pipeline: the same batches with any number of processes, and helper processes that end with the
training and block nothing.
"""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from baton.domain.errors import JobFailure
from baton.domain.spec import AugmentationSpec
from tests.support.gcs import until
from tests.unit.training.batch_sources import open_source, small_split
from worker.training.augmentation import augment
from worker.training.input.host_source import (
    BatchSource,
)
from worker.training.input.shuffle import batch_indices, batch_seed
from worker.training.step.batch import Batch

pytestmark = pytest.mark.process

PARENT = """
import sys
from tests.unit.training.batch_sources import open_source
source = open_source(2)
next(source.batches(0, 0))
print(*source.pids, flush=True)
sys.stdin.read()
"""
OWN = AugmentationSpec.model_validate(
    {
        "order": "random",
        "some_of": [1, None],
        "augmenters": [
            {"name": "fliplr", "p": 0.5},
            {"name": "affine", "rotate": [-20, 20], "scale": [0.8, 1.2], "mode": "reflect", "sometimes": 0.5},
            {"name": "dropout", "p": [0, 0.1], "per_channel": 0.5},
        ],
    }
)


@pytest.fixture(scope="module")
def source() -> Iterator[BatchSource]:
    """Two helpers, shared by all tests that do not end them: starting them takes seconds."""
    with open_source(2) as opened:
        yield opened


def _same(ours: list[Batch], theirs: list[Batch]) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)


def test_batches_are_what_order_and_augmentation_say() -> None:
    batches = list(open_source(0).batches(2, 1))
    split = small_split()
    for number, batch in enumerate(batches, start=1):
        place = {"seed": 5, "stage": 1, "epoch": 2, "batch": number}
        indices = batch_indices(**place, batch_size=6, steps_per_epoch=4, size=14)
        np.testing.assert_array_equal(batch.labels, indices)
        np.testing.assert_array_equal(batch.images, augment("paper-2", split.take(indices), batch_seed(**place)))
    assert (len(batches), batches[0].labels.dtype, batches[0].images.dtype) == (3, np.int32, np.uint8)


def test_processes_give_the_same_batches_over_several_epochs(source: BatchSource) -> None:
    inline = open_source(0)
    for epoch in range(3):
        _same(list(source.batches(epoch)), list(inline.batches(epoch)))


def test_augmenters_of_the_users_own_give_the_same_batches_in_any_number_of_processes() -> None:
    inline = [list(open_source(0, policy=OWN).batches(epoch)) for epoch in range(2)]
    assert not np.array_equal(inline[0][0].images, small_split().take(inline[0][0].labels))
    for processes in (1, 2):
        with open_source(processes, policy=OWN) as source:
            assert len(source.pids) == processes
            for epoch in (0, 1, 0):
                _same(list(source.batches(epoch)), inline[epoch])


def test_any_starting_point_gives_the_same_batches(source: BatchSource) -> None:
    inline = open_source(0)
    for epoch, first in ((7, 2), (7, 0), (3, 3), (4, 0), (0, 4)):
        _same(list(source.batches(epoch, first)), list(inline.batches(epoch, first)))


def test_an_epoch_left_midway_spoils_nothing(source: BatchSource) -> None:
    abandoned = list(itertools.islice(source.batches(1), 2))
    _same(abandoned, list(open_source(0).batches(1))[:2])
    _same(list(source.batches(1, 2)), list(open_source(0).batches(1, 2)))


def test_a_batch_given_out_stays_as_it_is(source: BatchSource) -> None:
    kept = next(source.batches(0))
    before = kept.images.copy()
    for epoch in range(1, 4):
        list(source.batches(epoch))
    np.testing.assert_array_equal(kept.images, before)


def test_helpers_ignore_interrupt_and_termination(source: BatchSource) -> None:
    for number, pid in itertools.product((signal.SIGINT, signal.SIGTERM), source.pids):
        os.kill(pid, number)
    _same(list(source.batches(0)), list(open_source(0).batches(0)))


def test_a_stop_while_they_start_does_not_kill_helpers() -> None:
    with open_source(1) as starting:
        os.kill(starting.pids[0], signal.SIGTERM)
        _same([next(starting.batches(0))], [next(open_source(0).batches(0))])


def test_memory_for_batches_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is at least one slot for each helper, however large a batch is."""
    monkeypatch.setattr("worker.training.input.pool._MEMORY_BYTES", 1)
    with open_source(1) as tight:
        _same(list(tight.batches(0)), list(open_source(0).batches(0)))


def test_helpers_never_load_tensorflow(source: BatchSource) -> None:
    next(source.batches(0))
    for pid in source.pids:
        loaded = Path(f"/proc/{pid}/maps").read_text()
        assert "cv2" in loaded
        assert "tensorflow" not in loaded


def test_policy_none_starts_no_process() -> None:
    plain = open_source(2, policy="none")
    assert plain.pids == ()
    batch = next(plain.batches(0))
    np.testing.assert_array_equal(batch.images, small_split().take(batch.labels))


def test_a_killed_helper_is_told_and_hangs_nobody() -> None:
    with open_source(1) as source:
        next(source.batches(0))
        os.kill(source.pids[0], signal.SIGKILL)
        with pytest.raises(JobFailure, match="was killed by SIGKILL, perhaps for lack of memory") as caught:
            for epoch in range(1, 100):
                list(source.batches(epoch))
    assert caught.value.reason == "augmentation_died"


def test_an_exception_in_a_helper_comes_out_with_its_message() -> None:
    with (
        open_source(1, policy="paper-9") as source,
        pytest.raises(JobFailure, match="augmentation paper-9 is not installed"),
    ):
        next(source.batches(0))


def test_close_ends_the_helpers_and_can_be_repeated() -> None:
    source = open_source(1)
    (pid,) = source.pids
    source.close()
    source.close()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(ValueError, match="closed"):
        next(source.batches(0))


def _running(pid: int) -> bool:
    """Whether the process runs: it is neither gone nor a zombie."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_helpers_die_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    try:
        assert len(pids) == 2
        assert all(map(_running, pids))
    finally:
        parent.kill()
        parent.communicate()
    until(lambda: not any(map(_running, pids)), 60, "the helpers to end with their parent")


def test_a_helper_whose_parent_died_before_it_could_ask_ends_itself() -> None:
    code = f"from baton.system.parent_death import die_with_parent; die_with_parent({os.getpid() + 1}); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
