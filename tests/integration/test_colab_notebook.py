"""examples/colab_worker.ipynb: its cells run as they stand, in a folder of their own, against a real service."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.support.fast_jobs import fast
from tests.support.jobs import Jobs
from tests.support.service import ROOT, TOKEN, ServiceProcess

NOTEBOOK = ROOT / "examples/colab_worker.ipynb"
COLAB = {
    "auth.py": "import os\ndef authenticate_user():\n    os.environ['AUTHENTICATED'] = 'yes'\n",
    "userdata.py": f"def get(name):\n    return {{'BATON_TOKEN': {TOKEN!r}}}[name]\n",
}
UV = "import os, sys\nopen(os.environ['UV_LOG'], 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
BATON = """#!/bin/sh
[ "$1" = worker ] && shift && exec {python} -m tests.support.fake_worker "$@" --once
"""


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text())["cells"]
    return found


def source(number: int, **fields: str) -> str:
    """A cell as plain Python, with its form filled in, and `!` run by bash as IPython does it."""
    text = "".join(cells()[number]["source"])
    for name, value in fields.items():
        text, count = re.subn(
            rf'^{name} = "[^"]*"  # @param ', lambda m, v=value, n=name: f"{n} = {v!r}  # ", text, flags=re.M
        )
        assert count == 1, f"no field {name}"
    shell = "__import__('subprocess').run({!r}, shell=True, executable='/bin/bash', check=True)"
    return re.sub(r"^!(.*)$", lambda m: shell.format(m[1]), text, flags=re.M)


def run(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    path = f"{folder / 'modules'}:{ROOT}"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**clean, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def colab(tmp_path: Path) -> Path:
    """A folder with what Colab has: google.colab."""
    for name, text in COLAB.items():
        file = tmp_path / "modules/google/colab" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def test_it_is_a_notebook_of_three_cells_that_were_never_run() -> None:
    book = json.loads(NOTEBOOK.read_text())
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert set(book) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert book["metadata"]["kernelspec"]["name"] == "python3"
    assert len(book["cells"]) == 3
    assert len({cell["id"] for cell in book["cells"]}) == 3
    for cell in book["cells"]:
        assert (cell["cell_type"], cell["outputs"], cell["execution_count"]) == ("code", [], None)
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", cell["id"])
        assert isinstance(cell["metadata"], dict)
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        assert not cell["source"][-1].endswith("\n")


def test_the_first_cell_installs_what_the_lock_says(colab: Path) -> None:
    repository = colab / "repository"
    shutil.copytree(ROOT / "requirements", repository / "requirements")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(repository)]
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main", str(repository)], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "x"], check=True)
    for name in ("uv", "pip"):
        (colab / f"modules/{name}.py").write_text(UV)
    code = source(0, repository=str(repository), device="gpu") + "\nprint(os.environ['BATON_HOME'])"
    done = run(code, colab, UV_LOG=str(colab / "log"))
    home = colab / "baton-worker"
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(home)
    log = (colab / "log").read_text()
    (lock,) = re.findall(r"--require-hashes --requirement (\S+)", log)
    assert Path(lock).samefile(home / "requirements/worker-gpu.txt")
    assert re.search(rf"pip install .*--no-deps .*{home}$", log, re.M)


@pytest.mark.parametrize(
    ("number", "fields", "complaint"),
    [
        (0, {}, "Fill in `repository`"),
        (0, {"repository": "/nowhere/at/all"}, "git clone"),
        (1, {"store": "gs://b/p"}, "Fill in `service_url`"),
        (1, {"store": "gs://b/p", "service_url": "http://127.0.0.1:1"}, "cannot be reached from here"),
    ],
)
def test_what_is_missing_is_said(colab: Path, number: int, fields: dict[str, str], complaint: str) -> None:
    done = run(source(number, **fields), colab)
    assert (done.returncode, complaint in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_token_is_said_before_anything_is_trained(colab: Path, service: ServiceProcess) -> None:
    (colab / "modules/google/colab/userdata.py").write_text("def get(name):\n    return 'wrong'\n")
    done = run(source(1, service_url=service.url, store=service.store_url), colab)
    assert (done.returncode, "answered 401" in done.stderr) == (1, True), done.stderr


def test_a_token_that_may_not_work_is_said_too(colab: Path, service: ServiceProcess) -> None:
    with service.client() as http:
        made = http.post("/v1/tokens", json={"name": f"reader-{uuid.uuid4().hex[:8]}", "scopes": ["read"]}).json()
    (colab / "modules/google/colab/userdata.py").write_text(f"def get(name):\n    return {made['token']!r}\n")
    done = run(source(1, service_url=service.url, store=service.store_url), colab)
    assert (done.returncode, "may not work" in done.stderr) == (1, True), done.stderr


def test_the_second_and_the_third_cell_train_a_job(colab: Path, service: ServiceProcess, jobs: Jobs) -> None:
    baton = colab / "home/.venv/bin/baton"
    baton.parent.mkdir(parents=True)
    baton.write_text(BATON.format(python=sys.executable))
    baton.chmod(0o755)
    job = jobs.submit(fast(queue="colab"))
    fields = {"service_url": service.url + "/", "store": service.store_url, "queue": "colab"}
    settings = {"BATON_HOME": str(colab / "home"), "BATON_WORKER_NAME": "notebook", "BATON_CACHE": str(colab / "cache")}
    done = run(source(1, **fields) + "\n" + source(2), colab, **settings)
    assert done.returncode == 0, done.stderr
    view = jobs.show(job)
    assert (view["status"], view["attempts"]) == ("succeeded", 1)
    assert "--deadline 11h30m" in done.stderr
    assert jobs.items(job, "attempts")[0]["worker"] == "notebook"


def test_only_a_bucket_asks_for_an_account(colab: Path, service: ServiceProcess) -> None:
    tell = "\nprint(os.environ.get('AUTHENTICATED'), os.environ['BATON_TOKEN'])"
    told = [
        run(source(1, service_url=service.url, store=store) + tell, colab).stdout.splitlines()[-1]
        for store in ("gs://bucket/prefix", service.store_url)
    ]
    assert told == [f"yes {TOKEN}", f"None {TOKEN}"]


def test_in_another_notebook_the_token_comes_from_the_environment(colab: Path, service: ServiceProcess) -> None:
    shutil.rmtree(colab / "modules/google")
    code = source(1, service_url=service.url, store="gs://bucket/prefix")
    done = run(code, colab, BATON_TOKEN=TOKEN)
    assert (done.returncode, "Go on with the next cell" in done.stdout) == (0, True), done.stderr
