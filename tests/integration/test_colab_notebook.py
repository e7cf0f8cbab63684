"""The one cell of examples/colab_worker.ipynb: a fresh machine with nothing but a URL and a token trains a job."""

from __future__ import annotations

import json
import signal
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from baton.local.notebook import notebook_cell
from tests.service.helpers import eventually
from tests.support.fast_jobs import fast
from tests.support.jobs import Jobs
from tests.support.redis import free_port
from tests.support.service import ROOT
from tests.support.shared_stack import Machine, SharedStack, running_share, with_fields

pytestmark = pytest.mark.process
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
NOTEBOOK = ROOT / "examples/colab_worker.ipynb"


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedStack]:
    with running_share(tmp_path_factory.mktemp("share")) as stack:
        yield stack


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


@pytest.fixture
def cell(share: SharedStack) -> str:
    return with_fields(share.await_cell(1), device="cpu")


def test_the_notebook_is_that_cell_with_empty_fields() -> None:
    book = json.loads(NOTEBOOK.read_text())
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    (only,) = book["cells"]
    assert (only["cell_type"], only["outputs"], only["execution_count"]) == ("code", [], None)
    assert only["metadata"] == {"cellView": "form"}
    assert "".join(only["source"]) == notebook_cell().rstrip("\n")
    assert book["metadata"]["accelerator"] == "GPU"


@pytest.mark.slow  # installs the worker into a new environment
def test_a_fresh_machine_becomes_a_worker_and_trains(share: SharedStack, machine: Machine, cell: str) -> None:
    # In Colab the machine has no access to the laptop's store. Here the directory is on the same machine.
    through = {"BATON_STORE": "service", "BATON_REPORTS": "0"}
    with share.client() as http, machine.start(cell, COLAB_RELEASE_TAG="release", **through) as notebook:
        try:
            jobs = Jobs(http)
            (listed,) = eventually(jobs.workers)
            assert listed["device"] == "cpu"
            assert [words[0] for words in machine.installations()] == ["venv", "pip", "pip"]
            _, lock, wheel = machine.installations()
            assert "--require-hashes" in lock
            assert Path(lock[-1]).read_text() == (ROOT / "requirements/worker-cpu.txt").read_text()
            assert "--no-deps" in wheel
            job = jobs.submit(fast(epochs=2))
            jobs.await_job(job, lambda view: view["status"] == "succeeded")
            assert "best.keras" in {one["name"] for one in jobs.items(job, "artifacts")}
        finally:
            notebook.send_signal(signal.SIGINT)  # Colab's stop button
            text, _ = notebook.communicate(timeout=60)
    assert "this is Colab: using --deadline 11h30m" in text
    assert "Interrupted: the worker saves its job" in text
    assert text.endswith("The worker has ended.\n")
    with machine.start(cell, **through) as again:
        assert again.stdout is not None
        lines = [next(again.stdout) for _ in range(3)]
        again.send_signal(signal.SIGINT)
        again.communicate(timeout=60)
    assert f"Baton {VERSION} is installed in" in lines[1]
    assert len(machine.installations()) == 3


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"service_url": ""}, "Fill in service_url: the https address of the service."),
        ({"service_url": "http://example.org"}, "Fill in service_url: the https address of the service."),
        ({"token": ""}, "Fill in token, or the secret BATON_TOKEN with notebook access"),
        ({"token": "wrong"}, "does not accept this token"),
        ({"script_sha256": "0" * 64}, "worker.py has another SHA-256 than script_sha256"),
        ({"device": "gpu"}, "No GPU is visible here (nvidia-smi lists none). In Colab choose one"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_what_is_wrong_is_said_in_a_sentence_before_anything_is_installed(
    machine: Machine, cell: str, fields: dict[str, str], sentence: str
) -> None:
    done = machine.run(with_fields(cell, **fields))
    assert sentence in done.stdout
    assert "Traceback" not in done.stdout
    assert machine.installations() == []


def test_a_service_that_is_not_there_is_said(machine: Machine, cell: str) -> None:
    nobody = machine.run(with_fields(cell, service_url=f"http://127.0.0.1:{free_port()}"))
    assert "cannot be reached from here" in nobody.stdout
    assert "is `baton up --share` still running?" in nobody.stdout


def test_a_token_of_a_person_is_not_taken(share: SharedStack, machine: Machine, cell: str) -> None:
    with share.client() as http:
        body = {"name": f"t-{uuid.uuid4().hex[:8]}", "scopes": ["read", "submit"]}
        token = http.post("/v1/tokens", json=body).json()["token"]
    done = machine.run(with_fields(cell, token=token))
    assert "This token is not for workers: use one that has only the scope work." in done.stdout
