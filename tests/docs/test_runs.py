"""Runs the commands, Python code and specs of the pages in their order, with one stack like that of `baton up`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from baton import Client
from baton.client.connection import Connection, read_connection
from tests.client.waiting import eventually
from tests.docs.blocks import COMMANDS, Block, all_blocks
from tests.support.service import ROOT

pytestmark = pytest.mark.docs

UP = """
import sys
from pathlib import Path
from baton.cli.app import say
from baton.local.stack import StackOptions, run_stack
service, worker = ((sys.executable, "-m", f"tests.{name}") for name in ("docs.small_service", "support.forking_worker"))
options = StackOptions(Path(".baton"), port=0, workers=1, service_command=service, worker_command=worker)
run_stack(options, say, lambda stack: say("ready"))
"""
SETTINGS = {
    "BATON_LEASE_SECONDS": "6",
    "BATON_HEARTBEAT_SECONDS": "1",
    "BATON_NOTICES": "none",
    "BATON_AUGMENTATION_PROCESSES": "1",
    "BROWSER": "true",
}
"""Faster heartbeats than by default, because some pages kill a worker or pause a job.

The browser is the command `true`.
"""
PRELUDE = "import os\nurl, token, job_id = (os.environ[name] for name in ('BATON_URL', 'BATON_TOKEN', 'JOB'))\n"
RUN = (*COMMANDS, "python")
BLOCKS = [one for one in all_blocks() if one.marker == "write" or (one.marker == "" and one.language in RUN)]
PAGES = list(dict.fromkeys(one.page for one in BLOCKS if one.language in RUN))
NEEDS_JOB = re.compile(r"\$JOB\b|\bjob_id\b|baton (?!submit|plan)[a-z]+ digits-demo|all_jobs")
"""A pattern for blocks that need a trained digits-demo job."""
SECONDS = 600


@dataclass
class House:
    """A folder like a clone in which `make up` runs."""

    folder: Path
    connection: Connection

    def run(self, block: Block, state: Path, job: str) -> None:
        """Run a block. The variables that it exports are set for the next block of the page."""
        if block.marker == "write":
            (self.folder / block.argument).write_text(block.text)
            return
        text = block.script.replace("http://127.0.0.1:8080", self.connection.url)
        command = [sys.executable, "-c", PRELUDE + text] if block.language == "python" else ["bash", "-c", _sh(text)]
        around = {"cwd": self.folder, "env": self.environment(state, job), "timeout": SECONDS}
        done = subprocess.run(command, **around, capture_output=True, text=True, check=False)
        told = textwrap.indent(done.stdout[-2000:] + done.stderr[-4000:], "  ")
        assert done.returncode == 0, f"{block.id} ended with {done.returncode}:\n{block.script}\n{told}"

    def finished(self) -> str:
        """The id of a digits-demo job that has succeeded: an existing one, or one that is trained now."""
        with Client(self.connection.url, self.connection.token) as baton:
            ready = (job.id for job in baton.all_jobs(status="succeeded") if job.name == "digits-demo")
            return next(ready, None) or baton.submit_plan("digits-demo").wait(timeout=SECONDS).id

    def environment(self, state: Path, job: str) -> dict[str, str]:
        """The environment of a user's shell, with the variables that the pages expect."""
        path = f"{self.folder / '.venv/bin'}:{os.environ['PATH']}"
        url, token = self.connection.url, self.connection.token
        named = {"BATON_URL": url, "BATON_TOKEN": token, "JOB": job, "STATE": str(state)}
        return {**outside(self.folder), **named, "PATH": path}


def _sh(text: str) -> str:
    return f'set -euo pipefail\n[ ! -e "$STATE" ] || . "$STATE"\nset -a\n{text}\nexport -p > "$STATE"\n'


def packages() -> str:
    """PYTHONPATH with Baton's folder first."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def outside(folder: Path) -> dict[str, str]:
    """The environment of the tests without Baton's variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    return {**clean, **SETTINGS, "BATON_CACHE": str(folder / "cache"), "PYTHONPATH": packages()}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("clone")
    for name, target in {".venv": Path(sys.prefix), "examples": ROOT / "examples"}.items():
        (folder / name).symlink_to(target)
    log = (folder / "up.log").open("wb")
    up = subprocess.Popen([sys.executable, "-c", UP], cwd=folder, env=outside(folder), stdout=log, stderr=log)
    try:
        eventually(lambda: read_connection(folder / ".baton"), "the stack", seconds=120)
        yield House(folder, read_connection(folder / ".baton") or pytest.fail("the stack has not started"))
    finally:
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0, (folder / "up.log").read_text()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_runs(house: House, tmp_path: Path, page: str) -> None:
    blocks = [block for block in BLOCKS if block.page == page]
    job = house.finished() if any(NEEDS_JOB.search(block.text) for block in blocks) else ""
    for block in blocks:
        house.run(block, tmp_path / "state", job)


def test_something_is_run() -> None:
    assert {"README.md", "docs/tutorials/first-job.md", "docs/tutorials/own-data.md"} <= set(PAGES)
