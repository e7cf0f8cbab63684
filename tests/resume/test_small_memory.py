"""A device too small for a batch of the evaluation. The error is TensorFlow's own, but the test raises it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.storage import open_store
from tests.resume.in_process_run import Ending, assert_equal, run, spec
from worker.checkpointing.checkpoint_files import read_checkpoint
from worker.training.step.engine import Engine

MOST = 16
"""The number of images that fit."""


def short_of_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    step = Engine._evaluate_step

    def tried(self: Engine, images: Any, rows: Any, labels: Any, weights: Any) -> Any:
        if int(labels.shape[0]) > most:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return step(self, images, rows, labels, weights)

    monkeypatch.setattr(Engine, "_evaluate_step", tried)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ending, list[tuple[str, str]], Path]:
    """An uninterrupted run, its events and its folder."""
    notes: list[tuple[str, str]] = []
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        short_of_memory(monkeypatch, MOST)
        return run(spec(), folder, notes=notes), notes, folder


def test_it_goes_on_with_smaller_batches_and_says_so(whole: tuple[Ending, list[tuple[str, str]], Path]) -> None:
    _, notes, _ = whole
    assert {kind for kind, _ in notes} == {"evaluation_batch_halved"}
    assert "at a time do not fit on the device" in notes[0][1]
    assert len(set(notes)) == len(notes)  # each size is tried once for each batch


def test_the_size_is_saved_before_anything_comes_of_it(whole: tuple[Ending, list[tuple[str, str]], Path]) -> None:
    store = open_store(f"file://{whole[2]}/store")
    prefixes = sorted({found.name.rsplit("/", 1)[0] for found in store.list("jobs/")})
    cursors = [read_checkpoint(store, prefix)[0].cursor for prefix in prefixes]
    assert any(cursor["evaluation_batches"] and not cursor["history"] for cursor in cursors)


def test_resumed_it_ends_with_the_same_bits(
    whole: tuple[Ending, list[tuple[str, str]], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_of_memory(monkeypatch, MOST)
    notes: list[tuple[str, str]] = []
    stops = tuple(1 + int(part * (whole[0].asked - 2)) for part in (0.45, 0.2))
    assert_equal(whole[0], run(spec(), tmp_path / "run", stops, notes))
    assert {kind for kind, _ in notes} == {"evaluation_batch_halved"}


def test_where_not_one_image_fits_the_message_names_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(monkeypatch, 0)
    with pytest.raises(JobFailure, match="one image of 8 pixels a side: take a smaller image_size") as failed:
        run(spec(), tmp_path / "run", notes=[])
    assert failed.value.reason is Reason.OUT_OF_MEMORY
