"""Symbolic links and pipes below the root of a directory store."""

import os
from pathlib import Path

import pytest

from baton.storage import BlobStore, InvalidName, NotFound, open_store
from tests.contract.objects import names


def test_a_linked_folder_leads_nowhere(store: BlobStore, root: Path, outside: Path) -> None:
    (root / "jobs").symlink_to(outside)
    store.put("own", b"1")
    for call in (
        lambda: store.get("jobs/secret"),
        lambda: store.open("jobs/secret"),
        lambda: store.stat("jobs/secret"),
        lambda: store.delete("jobs/secret"),
        lambda: store.put("jobs/new", b"1"),
        lambda: store.put("jobs/deep/new", b"1", if_absent=True),
        lambda: store.copy("own", "jobs/new"),
    ):
        with pytest.raises(InvalidName, match="symbolic link"):
            call()
    assert names(store) == ["own"]
    assert names(store, "jobs/") == []
    assert list(outside.iterdir()) == [outside / "secret"]


def test_a_linked_file_leads_nowhere(store: BlobStore, root: Path, outside: Path) -> None:
    (root / "link").symlink_to(outside / "secret")
    for call in (lambda: store.get("link"), lambda: store.stat("link"), lambda: store.copy("link", "b")):
        with pytest.raises(InvalidName, match="symbolic link"):
            call()
    store.put("link", b"own")
    assert store.get("link") == b"own"
    assert (outside / "secret").read_bytes() == b"secret"


def test_deleting_a_link_keeps_what_it_points_to(store: BlobStore, root: Path, outside: Path) -> None:
    (root / "link").symlink_to(outside / "secret")
    store.delete("link")
    assert names(store) == []
    assert (outside / "secret").exists()


def test_a_link_in_place_of_the_temporary_folder_leads_nowhere(store: BlobStore, root: Path, outside: Path) -> None:
    (root / ".baton-tmp").rmdir()
    (root / ".baton-tmp").symlink_to(outside)
    with pytest.raises(InvalidName, match="symbolic link"):
        store.put("a", b"1")
    assert list(outside.iterdir()) == [outside / "secret"]


def test_the_root_itself_may_be_a_link(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "link").symlink_to(outside)
    assert open_store((tmp_path / "link").as_uri()).get("secret") == b"secret"


def test_a_pipe_is_no_object_and_blocks_nobody(store: BlobStore, root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert names(store) == []
    with pytest.raises(NotFound):
        store.get("pipe")
