"""Code and pushed data below a real worker: a program gets what was sent, and runs with uv where the code says so.

A stub stands for uv: it runs the same command lines without environments. If uv is installed, it runs them itself. The
code needs no packages, so nothing is fetched.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from baton.client.client import Client
from tests.support.jobs import Jobs
from tests.support.service import TOKEN, ServiceProcess
from tests.support.worker import workers as make_workers

READ = """
import hashlib, json
from pathlib import Path
import baton

with baton.init() as run:
    found = {}
    for name in run.params["names"]:
        folder = run.data(name)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        found[name] = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    Path("found.json").write_text(json.dumps(found))
    run.publish("found.json", "found.json")
"""
TELL = """
import json, os, sys
from pathlib import Path
import baton

with baton.init() as run:
    told = {"uv": os.environ.get("UV"), "arguments": sys.argv[1:], "prefix": sys.prefix, "folder": sorted(os.listdir())}
    Path("told.json").write_text(json.dumps(told))
    run.publish("told.json", "told.json")
"""
INLINE = '# /// script\n# requires-python = ">=3.11"\n# dependencies = []\n# ///\n'
PROJECT = '[project]\nname = "mine"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n'
LOCK = (
    'version = 1\nrequires-python = ">=3.11"\n\n'
    '[[package]]\nname = "mine"\nversion = "0.1.0"\nsource = { virtual = "." }\n'
)
STUB = """#!{python}
import os, sys
asked = sys.argv[1:]
assert asked[0] == "run", asked
if "--script" in asked:
    assert asked[1:3] == ["--no-project", "--script"], asked
    command = [sys.executable, *asked[3:]]
else:
    folder, command = asked[2], asked[asked.index("--") + 1 :]
    assert asked[1] == "--project" and os.path.isfile(os.path.join(folder, "pyproject.toml")), asked
    assert ("--frozen" in asked) == os.path.isfile(os.path.join(folder, "uv.lock")), asked
    command = [sys.executable if command[0] == "python" else command[0], *command[1:]]
os.environ["UV"] = os.path.abspath(__file__)
os.execv(command[0], command)
"""


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of uv, or of a stub."""
    if (found := shutil.which("uv")) is not None:
        return found
    stub = tmp_path_factory.mktemp("bin") / "uv"
    stub.write_text(STUB.format(python=sys.executable))
    stub.chmod(0o755)
    return str(stub)


@pytest.fixture(scope="module")
def worker(service: ServiceProcess, uv: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("worker")
    alone = {"UV_OFFLINE": "1", "UV_PYTHON": sys.executable, "UV_CACHE_DIR": str(folder / "uv")}
    path = os.pathsep.join([str(Path(uv).parent), os.environ["PATH"]])
    with make_workers(service, folder, "tests.support.light_worker") as made:
        made.start("--programs", "--queue", "code", PATH=path, **alone)
        yield


@pytest.fixture
def client(service: ServiceProcess) -> Iterator[Client]:
    with Client(service.url, TOKEN) as made:
        yield made


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def run(jobs: Jobs, client: Client, folder: Path, *command: str, **changes: Any) -> str:
    """A job that has run this command in this folder of code."""
    code = client.push_code(folder).code
    spec = {"name": "mine", "queue": "code", "program": {"command": list(command), "code": code}, **changes}
    job = jobs.submit(spec)
    assert jobs.await_end(job)["status"] == "succeeded", jobs.items(job, "attempts")
    return job


@pytest.mark.usefixtures("worker")
def test_a_program_reads_the_data_that_was_pushed(jobs: Jobs, client: Client, tmp_path: Path) -> None:
    pushed = {
        "photos": {"a/1.bin": os.urandom(100_000), "a/2 with a space.bin": b"", "ü/deep/er/3.txt": b"three"},
        "words": {"all.txt": b"one\ntwo\n"},
    }
    for name, files in pushed.items():
        client.push_data(write(tmp_path / name, files), name)
    code = write(tmp_path / "code", {"read.py": READ.encode()})
    data = {"train": "photos", "text": "words"}
    job = run(jobs, client, code, "python", "read.py", data=data, params={"names": ["train", "text"]})
    expected = {
        name: {path: hashlib.sha256(content).hexdigest() for path, content in pushed[of].items()}
        for name, of in data.items()
    }
    assert json.loads(jobs.download(job, "found.json")) == expected
    assert all("@sha256:" in one for one in jobs.show(job)["spec"]["data"].values())
    # A newer version under the same name does not change what a job with the pinned version reads.
    client.push_data(write(tmp_path / "words", {"all.txt": b"three\n"}), "words")
    again = jobs.submit({"clone": job})
    assert jobs.await_end(again)["status"] == "succeeded"
    assert json.loads(jobs.download(again, "found.json")) == expected


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("files", "with_uv"),
    [
        ({"tell.py": INLINE + TELL}, True),
        ({"tell.py": TELL, "pyproject.toml": PROJECT}, True),
        ({"tell.py": TELL, "pyproject.toml": PROJECT, "uv.lock": LOCK}, True),
        ({"tell.py": TELL, "pyproject.toml": "[tool.ruff]\n"}, False),
    ],
    ids=["inline metadata", "a project", "a lock", "no project"],
)
def test_code_runs_with_uv_where_it_says_so(
    jobs: Jobs, client: Client, uv: str, tmp_path: Path, files: dict[str, str], with_uv: bool
) -> None:
    code = write(tmp_path / "code", {name: text.encode() for name, text in files.items()})
    job = run(jobs, client, code, "python", "tell.py", "--lr", "3e-4")
    told = json.loads(jobs.download(job, "told.json"))
    assert told["arguments"] == ["--lr", "3e-4"]
    assert set(files) <= set(told["folder"])
    assert (told["uv"] is not None) == with_uv
    if with_uv:
        assert Path(told["uv"]).samefile(uv)
    else:
        assert told["prefix"] == sys.prefix
