"""The wheel of the running Baton: built from a checkout, packed again from an installation, with the same content."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from sysconfig import get_path

import pytest

from baton.local.own_wheel import own_wheel

pytestmark = pytest.mark.process
MAKE = """
import sys
from pathlib import Path
from baton.local.own_wheel import own_wheel
print(own_wheel(Path(sys.argv[1])))
"""
NOT_FILES = (".dist-info/RECORD",)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield own_wheel(tmp_path_factory.mktemp("built"))


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith(NOT_FILES)}


def test_a_checkout_is_built_once(built: Path) -> None:
    before = built.stat().st_mtime_ns
    again = own_wheel(built.parent.parent)
    assert (again, again.stat().st_mtime_ns) == (built, before)
    needed = ("requirements/worker-gpu.txt", "service/install/worker.py")
    assert {"baton/local/notebook_cell.txt", *(f"baton/_programs/{one}" for one in needed)} <= set(contents(built))


def test_an_installation_is_packed_to_the_same_wheel(built: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    with zipfile.ZipFile(built) as archive:
        archive.extractall(installed)
    (info,) = installed.glob("*.dist-info")
    (info / "INSTALLER").write_text("pip\n")
    (info / "direct_url.json").write_text('{"url": "https://user:secret@example.org/x.whl"}')
    with (info / "RECORD").open("a") as record:
        record.writelines(f"{name},,\n" for name in (f"{info.name}/INSTALLER", f"{info.name}/direct_url.json"))
        record.write("../../../bin/baton,,\nbaton/__pycache__/x.pyc,,\n")
    environment = {**os.environ, "PYTHONPATH": f"{installed}:{get_path('purelib')}"}
    done = subprocess.run(
        [sys.executable, "-c", MAKE, str(tmp_path / "made")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    packed = Path(done.stdout.strip())
    assert packed.name == built.name
    assert contents(packed) == contents(built)
    with zipfile.ZipFile(packed) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/RECORD"))
        rows = list(csv.reader(archive.read(name).decode().splitlines()))
        assert {row[0] for row in rows} == set(archive.namelist())
        for file, digest, size in rows:
            if file != name:
                expected = base64.urlsafe_b64encode(hashlib.sha256(archive.read(file)).digest()).rstrip(b"=").decode()
                assert (digest, size) == (f"sha256={expected}", str(len(archive.read(file))))
