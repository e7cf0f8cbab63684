"""What a code bundle gets of a folder: what git does not ignore, and no secrets."""

from __future__ import annotations

import io
import os
import socket
import subprocess
from pathlib import Path

import pytest

from baton.client.errors import LocalDataError
from baton.client.packing import listing, selection
from baton.client.packing.push import write_archive
from baton.client.packing.selection import LINK, REPOSITORY, SECRET, SPECIAL, Selection, select_files
from baton.domain.code_bundle import members

pytestmark = pytest.mark.process

KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "my-training"
    write(root, {"train.py": b"print(1)\n", "src/model.py": b"", "run.sh": b"#!/bin/sh\n"})
    (root / "run.sh").chmod(0o755)
    return root


def write(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def packed(folder: Path) -> set[str]:
    return {one.member.path for one in select_files(folder).files}


def left_out(folder: Path) -> dict[str, str]:
    return dict(select_files(folder).left_out)


def archive_of(found: Selection) -> bytes:
    made = io.BytesIO()
    write_archive(found, made)
    return made.getvalue()


@pytest.mark.parametrize("repository", [True, False])
def test_what_git_ignores_is_left_out_in_a_repository_and_elsewhere(folder: Path, repository: bool) -> None:
    ignored = {"out/model.bin": b"x", "src/debug.log": b"x", "src/data/big.bin": b"x"}
    write(folder, {**ignored, ".gitignore": b"out/\n*.log\n", "src/.gitignore": b"/data/\n", "new.py": b""})
    if repository:
        git(folder, "init")
        git(folder, "add", "train.py", "run.sh")
        git(folder, "commit", "-m", "first")
    expected = {"train.py", "src/model.py", "run.sh", ".gitignore", "src/.gitignore", "new.py"}
    assert (packed(folder), left_out(folder)) == (expected, {})
    # A repository's rules hold in each folder of it.
    assert packed(folder / "src") == {"model.py", ".gitignore"} | (set() if repository else {"debug.log"})


def test_a_tracked_file_that_was_deleted_is_no_trouble(folder: Path) -> None:
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "first")
    (folder / "src" / "model.py").unlink()
    assert packed(folder) == {"train.py", "run.sh"}


def test_environments_and_caches_are_never_packed(folder: Path) -> None:
    git(folder, "init")
    write(folder, {
        "__pycache__/train.pyc": b"", "node_modules/x/index.js": b"", ".baton-run/checkpoint": b"",
        "my-env/pyvenv.cfg": b"", "my-env/lib/a.py": b"", ".venv/b.py": b"",
    })  # fmt: skip
    git(folder, "add", "--force", ".")
    assert (packed(folder), left_out(folder)) == ({"train.py", "src/model.py", "run.sh"}, {})


def test_files_that_look_like_secrets_are_left_out_and_named(folder: Path) -> None:
    secrets = {
        ".env": b"TOKEN=1", "src/.env.production": b"TOKEN=1", "deploy/id_rsa": b"x", "key.pem": KEY,
        "notes.txt": b"my key:\n" + KEY, "account.json": b'{"private_key": "-----BEGIN PRIVATE KEY-----\\n"}',
        ".aws/config": b"x", "Credentials": b"x", "terraform.tfstate": b"{}", ".netrc": b"x", "store.p12": b"x",
    }  # fmt: skip
    fine = {".env.example": b"TOKEN=", "ca.pem": b"-----BEGIN CERTIFICATE-----\n", "keys.py": b"", "id_rsa.pub": b"x"}
    write(folder, {**secrets, **fine})
    assert left_out(folder) == dict.fromkeys(secrets, SECRET)
    assert set(fine) <= packed(folder)


def test_a_link_brings_in_only_what_is_packed_too(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, {"outside.txt": b"secret"})
    write(folder, {".env": b"TOKEN=1", ".gitignore": b"ignored.txt\n", "ignored.txt": b"x", ".git-hooks/x": b""})
    links = {
        "out.txt": "../outside.txt", "etc": "/etc", "hidden": ".env", "ignored": "ignored.txt", "gone": "nowhere",
        "loop": "loop", "sources": "src",
    }  # fmt: skip
    for name, target in links.items():
        (folder / name).symlink_to(target)
    (folder / "main.py").symlink_to("train.py")
    assert left_out(folder) == {**dict.fromkeys(links, LINK), ".env": SECRET}
    archive = io.BytesIO(archive_of(select_files(folder)))
    contents = {one.path: b"".join(chunks) for one, chunks in members(archive.read)}
    assert contents["main.py"] == contents["train.py"] == b"print(1)\n"


def test_other_repositories_and_special_files_are_left_out_and_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "vendored", {"a.py": b""})
    git(folder, "init")
    git(folder / "vendored", "init")
    git(folder / "vendored", "add", ".")
    git(folder / "vendored", "commit", "-m", "first")
    assert left_out(folder) == {"vendored": REPOSITORY}
    monkeypatch.setattr(listing.shutil, "which", lambda _name: None)
    plain = folder.parent / "plain"
    write(plain, {"train.py": b""})
    os.mkfifo(plain / "pipe")
    monkeypatch.chdir(plain)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket")
        assert (packed(plain), left_out(plain)) == ({"train.py"}, {"pipe": SPECIAL, "socket": SPECIAL})


def test_equal_folders_make_equal_archives(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    write(other, {"src/model.py": b"", "run.sh": b"#!/bin/sh\n", "train.py": b"print(1)\n"})
    (other / "run.sh").chmod(0o700)
    os.utime(other / "train.py", (1, 1))
    assert archive_of(select_files(folder)) == archive_of(select_files(other))
    (other / "run.sh").chmod(0o600)
    assert archive_of(select_files(folder)) != archive_of(select_files(other))


def test_a_file_that_changes_meanwhile_is_reported(folder: Path) -> None:
    found = select_files(folder)
    (folder / "train.py").write_bytes(b"print(12345)\n")
    with pytest.raises(LocalDataError, match=r"train\.py changed while it was packed"):
        archive_of(found)


def test_a_folder_that_is_too_large_names_its_largest_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, {"data/large.bin": bytes(90_000), "data/small.bin": b"1"})
    monkeypatch.setattr(selection, "BUNDLE_BYTES", 50_000)
    with pytest.raises(LocalDataError, match=r"data/large\.bin: 0\.09 MB") as caught:
        select_files(folder)
    assert str(caught.value).index("large.bin") < str(caught.value).index("small.bin")
    monkeypatch.setattr(selection, "BUNDLE_FILES", 3)
    with pytest.raises(LocalDataError, match=r"5 files to pack, the limit is 3.*baton data push"):
        select_files(folder)


def test_a_file_that_no_archive_can_have_is_too_large(folder: Path) -> None:
    (folder / "images.bin").touch()
    os.truncate(folder / "images.bin", 2**34)  # without blocks on the disk
    with pytest.raises(LocalDataError, match=r"images\.bin: 17,180 MB"):
        select_files(folder)


def test_names_that_no_bundle_can_have_are_named_together(folder: Path) -> None:
    write(folder, {"Train.py": b"", "a\nb.py": b"", "back\\slash.py": b""})
    with pytest.raises(LocalDataError, match="3 files cannot be packed") as caught:
        select_files(folder)
    assert all(one in str(caught.value) for one in ("train.py differs from Train.py", "control character", "backslash"))


def test_wrong_folders(folder: Path, tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none", "No such file"), (folder / "train.py", "is a file")):
        with pytest.raises(LocalDataError, match=why):
            select_files(path)
    write(folder, {".gitignore": b"*\n"})
    with pytest.raises(LocalDataError, match="has no file to pack"):
        select_files(folder)


def test_a_repository_that_git_cannot_read_is_an_error_and_packs_nothing_ignored(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".git").write_text("gitdir: /nowhere\n")
    with pytest.raises(LocalDataError, match="git cannot list the files to pack"):
        select_files(folder)
    monkeypatch.setattr(listing.shutil, "which", lambda _name: None)
    with pytest.raises(LocalDataError, match="is a git repository, and git is not installed"):
        select_files(folder)
    (folder / ".git").unlink()
    write(folder, {"src/.gitignore": b"*.log\n"})
    with pytest.raises(LocalDataError, match=r"git is needed to read src/\.gitignore"):
        select_files(folder)
