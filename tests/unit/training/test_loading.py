"""The data of a job is compared with the identity in its checkpoint whenever it is loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from baton.domain.data_identity import DataRecord
from baton.domain.errors import JobFailure
from baton.domain.spec import JobSpec
from baton.domain.wire import Position
from tests.unit.training.loaders import Control, loader, spec
from tests.unit.training.pictures import image_folder, picture, save
from worker.attempt.protocols import Workspace
from worker.checkpointing.snapshot import Snapshot
from worker.training.input.loading import Loader
from worker.training.state.cursor import Cursor


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return image_folder(tmp_path / "data", each=6)


def remembered(of: JobSpec, cache: Path) -> DataRecord:
    first = loader(of, cache)
    first.at(8, lambda: None)
    assert first.record is not None
    return first.record


def refused(found: Loader, size: int = 8) -> str:
    with pytest.raises(JobFailure) as caught:
        found.at(size, lambda: None)
    assert caught.value.reason == "data_changed"
    return str(caught.value)


def test_the_same_data_is_loaded_without_a_word(root: Path, tmp_path: Path) -> None:
    record, control = remembered(spec(root), tmp_path), Control()
    found = loader(spec(root), tmp_path / "other", record, control)
    found.at(16, lambda: None)
    assert (found.changed, found.record, control.notes) == (False, record, [])


def test_a_checkpoint_from_before_takes_what_is_there_and_remembers_it(root: Path, tmp_path: Path) -> None:
    old = Cursor().dump({})
    del old["data"]
    position = Position(stage=0, epoch=0, step=3, global_step=3)
    found = Loader(spec(root), Control(), Workspace(tmp_path, 1, 0), Snapshot(position, {}, old))  # type: ignore[arg-type]  # what it asks
    found.at(8, lambda: None)
    assert found.record == remembered(spec(root), tmp_path)


def test_changed_data_is_refused_with_what_changed_and_what_to_do(root: Path, tmp_path: Path) -> None:
    record = remembered(spec(root), tmp_path)
    save(picture(77), root / "bee" / "new.jpg")
    text = refused(loader(spec(root), tmp_path, record))
    assert "1 file added: bee/new.jpg" in text
    assert "resume the job" in text


def test_images_of_a_later_stage_are_compared_too(root: Path, tmp_path: Path) -> None:
    found = loader(spec(root), tmp_path)
    found.at(8, lambda: None)
    save(picture(77), root / "ant" / "03.jpg")
    assert "1 file altered: ant/03.jpg" in refused(found, 16)


@pytest.mark.parametrize("on_change", ["fail", "continue"])
def test_data_that_cannot_be_read_any_more_is_data_that_changed(root: Path, tmp_path: Path, on_change: str) -> None:
    record = remembered(spec(root), tmp_path)
    what = spec(root, on_change=on_change)
    (root / "ant" / "00.jpg").write_bytes(b"broken")
    text = refused(loader(what, tmp_path, record))
    assert f"cannot be read any more: {root}/ant/00.jpg: no image that can be read" in text
    shutil.rmtree(root)
    assert "is no directory on this worker" in refused(loader(what, tmp_path, record))


def test_a_first_attempt_without_data_is_bad_data_as_before(tmp_path: Path) -> None:
    with pytest.raises(JobFailure) as caught:
        loader(spec(tmp_path / "none"), tmp_path).at(8, lambda: None)
    assert caught.value.reason == "bad_data"


def test_on_change_continue_goes_on_and_tells(root: Path, tmp_path: Path) -> None:
    record, control = remembered(spec(root), tmp_path), Control()
    save(picture(77), root / "bee" / "new.jpg")
    found = loader(spec(root, on_change="continue"), tmp_path, record, control)
    found.at(8, lambda: None)
    ((kind, message),) = control.notes
    assert kind == "resumed_inexactly"
    assert "1 file added: bee/new.jpg" in message
    found.at(16, lambda: None)
    assert (found.changed, len(control.notes)) == (True, 1)
    assert found.record == remembered(spec(root), tmp_path)


@pytest.mark.parametrize(("outputs", "goes_on"), [(None, False), (2, False), (3, True)])
def test_a_network_has_the_outputs_that_it_has(root: Path, tmp_path: Path, outputs: int | None, goes_on: bool) -> None:
    what = spec(root, outputs, on_change="continue")
    record = remembered(what, tmp_path)
    save(picture(1), root / "cow" / "0.jpg")
    for k in range(6):
        save(picture(k), root / "cow" / f"{k}.jpg")
    found = loader(what, tmp_path, record)
    if goes_on:
        assert len(found.at(8, lambda: None).class_names) == 3
    else:
        text = refused(found)
        assert "1 class added: cow (6 images)" in text
        assert "the network has 2 outputs, not 3" in text


def test_files_that_are_left_out_are_told_once_and_not_again_by_an_attempt_that_resumes(
    root: Path, tmp_path: Path
) -> None:
    (root / "bee" / "phone.heic").write_bytes(b"not read")
    (root / "bee" / "99.jpg").write_bytes(b"no image")
    what, control = spec(root, on_broken="skip"), Control()
    first = loader(what, tmp_path, control=control)
    first.at(8, lambda: None)
    first.at(16, lambda: None)
    ((kind, message),) = control.notes
    assert kind == "files_left_out"
    assert message.startswith("2 files of the data set left out: 1 file of kinds that are not read: 1 .heic; 1 broken ")
    assert first.left_out.total == 2

    again = Control()
    resumed = loader(what, tmp_path, first.record, again)
    resumed.at(8, lambda: None)
    assert (again.notes, resumed.left_out.total) == ([], 2)
