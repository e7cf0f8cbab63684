"""A real `baton up --share` through the stub tunnel, and a fresh machine with a stand-in for uv."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from sysconfig import get_path
from typing import Any

import httpx

from tests.support.service import ROOT
from tests.support.stub_tunnel import write_tunnel

SECONDS = 60.0
CELL = re.compile(r"paste this cell[^\n]*\n\n(.*?)\n\n\(the cell ends here\)", re.DOTALL)
UV = """#!{python}
import json, subprocess, sys, zipfile
from pathlib import Path
words = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(json.dumps(words) + "\\n")
if words[0] == "venv":
    folder = Path(words[-1])
    subprocess.run([words[words.index("--python") + 1], "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # The dependencies of the environment that runs the tests. A .pth file there is not read: the checkout stays out.
    (packages / "dependencies.pth").write_text({packages!r} + "\\n")
elif words[-1].endswith(".whl"):
    (packages,) = Path(words[words.index("--python") + 1]).parent.parent.glob("lib/python*/site-packages")
    zipfile.ZipFile(words[-1]).extractall(packages)
"""


@dataclass
class SharedStack:
    """`baton up --share` with no workers of its own. Its output and its data are in `folder`."""

    folder: Path
    more: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.folder / "data"

    @property
    def output(self) -> str:
        """What it has printed."""
        return (self.folder / "output").read_text()

    def start(self) -> None:
        """Start it and wait until it shows a cell."""
        tools = write_tunnel(self.folder / "tools")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        environment = {**clean, "PYTHONPATH": str(ROOT), "PATH": f"{tools}:{os.environ['PATH']}", "COLUMNS": "80"}
        command = [sys.executable, "-m", "baton.cli", "up", "--share", "--tunnel", "ngrok", "--port", "0"]
        with (self.folder / "output").open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--workers", "0", "--data", str(self.data), *self.more],
                env=environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.await_cell(1)

    def await_cell(self, number: int) -> str:
        """The `number`-th cell that the stack shows, from 1."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            found = CELL.findall(self.output)
            if len(found) >= number:
                return str(found[number - 1])
            time.sleep(0.05)
        raise RuntimeError(f"no cell number {number} in:\n{self.output}")

    def children(self) -> dict[str, int]:
        """The process ids of its children by name."""
        return dict(json.loads((self.data / "processes.json").read_text()))

    def client(self) -> httpx.Client:
        """The owner of the stack."""
        known = json.loads((self.data / "connection.json").read_text())
        return httpx.Client(base_url=known["url"], headers={"Authorization": f"Bearer {known['token']}"}, timeout=30.0)

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(SECONDS)


@contextlib.contextmanager
def running_share(folder: Path, *more: str) -> Iterator[SharedStack]:
    """A share that is stopped at the end of the block."""
    stack = SharedStack(folder, more)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@dataclass
class Machine:
    """A machine without Baton: a Python of its own in `folder`, and a program `uv` that needs no package index."""

    folder: Path

    def __post_init__(self) -> None:
        tools = self.folder / "bin"
        tools.mkdir(parents=True)
        uv = tools / "uv"
        uv.write_text(UV.format(python=sys.executable, log=str(self.folder / "uv.log"), packages=get_path("purelib")))
        smi = tools / "nvidia-smi"
        smi.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed: no driver'\nexit 9\n")
        for program in (uv, smi):
            program.chmod(0o755)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.folder / "venv")], check=True)

    @property
    def python(self) -> Path:
        """Its Python, without any package."""
        return self.folder / "venv/bin/python"

    @property
    def environment(self) -> dict[str, str]:
        """Its environment, without variables of the tests."""
        return {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "BATON_CACHE": str(self.folder / "cache"),
            "BATON_GRACE": "5",
        }

    def installations(self) -> list[list[str]]:
        """The arguments of each call of uv."""
        log = self.folder / "uv.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def run(self, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a cell until it ends."""
        with self.start(code, **variables) as process:
            text, _ = process.communicate(timeout=120)
        return subprocess.CompletedProcess([], process.returncode, text)

    def start(self, code: str, **variables: str) -> subprocess.Popen[str]:
        """Start a cell in its folder."""
        (self.folder / "cell.py").write_text(code)
        return subprocess.Popen(
            [self.python, "cell.py"],
            cwd=self.folder,
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def with_fields(cell: str, **fields: Any) -> str:
    """The cell with other values in its form."""
    for name, value in fields.items():
        cell, count = re.subn(rf'^{name} = "[^"]*"', f'{name} = "{value}"', cell, flags=re.MULTILINE)
        assert count == 1, f"no field {name}"
    return cell
