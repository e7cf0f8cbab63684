"""Installs a Baton worker on this machine and runs it. A Baton service hands this script out, with its own release.

    python3 worker.py --service https://baton.example.org --token TOKEN

Service and token are also read from BATON_URL and BATON_TOKEN. The worker gets an environment of its own in a folder
below --folder: this service's wheel, and the versions of its lock file, all checked by SHA-256. Later runs use the same
environment. The script passes unknown options, such as --queue or --once, to `baton worker`.

It needs Python and its standard library only. It uses uv if it is installed, else the module venv, else it fetches uv.
Exit status: that of `baton worker`; 2 if something is missing here, with a sentence that names it.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import hashlib
import http.client
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

RELEASE: dict[str, Any] = {}
BAD_START = 2
ROOM = {"cpu": 4 * 10**9, "gpu": 10 * 10**9}
"""Bytes that an installation needs, including what the installer downloads."""
TRIES = 5
PR_SET_PDEATHSIG = 1
LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "MPLBACKEND", "VIRTUAL_ENV")
"""Variables of the notebook's Python. They name packages and a matplotlib backend that the new environment lacks."""


class Problem(Exception):
    """Something is missing or wrong here. The message is a sentence for the user."""


def main(arguments: list[str]) -> int:
    """Check, install, and replace this process by the worker. Returns only after an error."""
    options, others = _options(arguments)
    try:
        if options.end_with_parent:
            end_with_parent()
        check_python()
        if not options.service or not options.token:
            raise Problem("Give --service URL and --token TOKEN, or set BATON_URL and BATON_TOKEN.")
        device = choose_device(options.device)
        python = Installation(Path(options.folder).expanduser().resolve(), device, options).ready()
    except Problem as problem:
        print(f"worker.py: {problem}", file=sys.stderr, flush=True)
        return BAD_START
    start(python, options, others)
    return BAD_START


def _options(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description="Install a Baton worker and run it.", allow_abbrev=False)
    parser.add_argument("--service", default=os.environ.get("BATON_URL", ""), metavar="URL", help="the service")
    parser.add_argument("--token", default=os.environ.get("BATON_TOKEN", ""), metavar="T", help="a token for workers")
    parser.add_argument("--folder", default="baton-worker", metavar="DIR", help="where to install (baton-worker)")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="what to train on (auto)")
    parser.add_argument("--end-with-parent", action="store_true", help="stop when the process that started it ends")
    options, others = parser.parse_known_args(arguments)
    options.service = options.service.strip().rstrip("/")
    options.token = options.token.strip()
    return options, others


def end_with_parent() -> None:
    """From now on this process gets SIGTERM when its parent ends: the worker then saves its job (Linux only)."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise Problem("The process that started this one has ended.")


def check_python() -> None:
    """Raise Problem if the service's release does not run on this Python."""
    first, beyond = (tuple(one) for one in RELEASE["python"])
    if not first <= sys.version_info[:2] < beyond:
        here, last = "%d.%d" % sys.version_info[:2], "%d.%d" % (beyond[0], beyond[1] - 1)  # noqa: UP031
        raise Problem(
            f"This is Python {here}, and Baton {RELEASE['version']} needs {'%d.%d' % first} to {last}: "  # noqa: UP031
            "run this script with such a Python."
        )


def choose_device(wanted: str) -> str:
    """cpu or gpu. Raises Problem if a GPU is wanted and none is visible."""
    gpu = visible_gpu()
    if wanted == "gpu" and not gpu:
        raise Problem(
            "No GPU is visible here (nvidia-smi lists none). In Colab choose one with Runtime > Change runtime type. "
            "To train on the CPU choose the device cpu."
        )
    device = "gpu" if gpu and wanted != "cpu" else "cpu"
    tell(f"GPU: {gpu}" if device == "gpu" else "This worker trains on the CPU.")
    return device


def visible_gpu() -> str:
    """The first GPU that the driver lists; empty without one."""
    if shutil.which("nvidia-smi") is None:
        return ""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout.strip().splitlines() or [""])[0].strip()


class Installation:
    """The environment for one device, and what is installed in it."""

    def __init__(self, folder: Path, device: str, options: argparse.Namespace) -> None:
        self.folder, self.device, self.options = folder, device, options
        self.wheel, self.lock = RELEASE["wheel"], RELEASE[device]
        version = "py%d%d" % sys.version_info[:2]  # noqa: UP031
        self.environment = folder / f"{device}-{version}-{self.lock['sha256'][:12]}"
        self.python = self.environment / "bin/python"
        self.record = self.environment / "installed.json"

    def ready(self) -> Path:
        """The Python of the environment, after an installation where one is needed."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "lock").open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # another run of this script may install here
                self._install()
        except OSError as error:
            raise Problem(f"Cannot install in {self.folder}: {error.strerror or error}.") from None
        return self.python

    def _install(self) -> None:
        have = self._installed()
        wanted = {"lock": self.lock["sha256"], "wheel": self.wheel["sha256"]}
        if have == wanted:
            tell(f"Baton {RELEASE['version']} is installed in {self.environment}.")
            return
        begun = time.monotonic()
        wheel = self._download(self.wheel)
        installer = find_installer(self.folder, self.python)
        if have.get("lock") != wanted["lock"]:
            self._install_lock(installer)
        tell(f"Installing Baton {RELEASE['version']}.")
        self.record.unlink(missing_ok=True)
        run([*installer.install, "--no-deps", "--force-reinstall", str(wheel)])
        self.record.write_text(json.dumps(wanted))
        tell(f"Installed in {time.monotonic() - begun:.0f} s, in {self.environment}.")

    def _installed(self) -> dict[str, str]:
        try:
            found = json.loads(self.record.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _install_lock(self, installer: Installer) -> None:
        check_room(self.folder, self.device)
        lock = self._download(self.lock)
        shutil.rmtree(self.environment, ignore_errors=True)
        run([*installer.make, str(self.environment)])
        size = "about 3 GB" if self.device == "gpu" else "about 0.6 GB"
        tell(f"Installing the packages of {lock.name} ({size}) into {self.environment}. This takes some minutes.")
        run([*installer.install, "--no-deps", "--require-hashes", "--requirement", str(lock)])

    def _download(self, file: dict[str, str]) -> Path:
        target = self.folder / file["name"]
        if not (target.exists() and sha256(target.read_bytes()) == file["sha256"]):
            content = fetch(f"{self.options.service}/v1/install/{file['name']}", self.options.token)
            if sha256(content) != file["sha256"]:
                raise Problem(
                    f"{file['name']} has another SHA-256 than this script expects. If the service was updated, "
                    "fetch the script again."
                )
            target.write_bytes(content)
        return target


class Installer:
    """The commands of uv or pip: `make` a virtual environment (its folder follows), `install` packages in it."""

    def __init__(self, make: list[str], install: list[str]) -> None:
        self.make, self.install = make, install


def find_installer(folder: Path, python: Path) -> Installer:
    """uv if it is installed, else venv and pip, else uv fetched with pip. Raises Problem."""
    if uv := shutil.which("uv"):
        return _uv(uv, python)
    if importlib.util.find_spec("ensurepip") is not None:
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        return Installer([sys.executable, "-m", "venv"], pip)
    if importlib.util.find_spec("pip") is None:
        raise Problem("Neither uv nor the modules venv and pip are installed here: install uv or python3-venv.")
    tools = folder / "tools"
    run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(tools), "--upgrade", "uv"])
    return _uv(str(tools / "bin/uv"), python)


def _uv(uv: str, python: Path) -> Installer:
    return Installer(
        [uv, "venv", "--quiet", "--python", sys.executable],
        [uv, "pip", "install", "--quiet", "--python", str(python)],
    )


def check_room(folder: Path, device: str) -> None:
    """Raise Problem if the disk is too full for an installation."""
    free = shutil.disk_usage(folder).free
    if free < ROOM[device]:
        raise Problem(
            f"{folder} has {free / 1e9:.1f} GB free and the installation needs {ROOM[device] / 1e9:.0f} GB: "
            "free some space, or choose another folder with --folder."
        )


def run(command: list[str]) -> None:
    """Run an installer. Raises Problem with its last lines if it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-10:])
        raise Problem(f"The installation failed (status {done.returncode}): {' '.join(command)}\n{last}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would send the token to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


def fetch(url: str, token: str) -> bytes:
    """The content at the URL. Tries again when the connection breaks. Raises Problem."""
    headers = {"Authorization": f"Bearer {token}", "User-Agent": "baton-install"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  # http is for tests and private networks
    why = ""
    for number in range(TRIES):
        time.sleep(min(2**number, 10) if number else 0)
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=60) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            why = f"{url} answered {error.code}: {_detail(error)}"
            if error.code < 500 and error.code != 429:
                break
        except (OSError, ValueError, http.client.HTTPException) as error:
            why = f"{url} cannot be reached: {getattr(error, 'reason', error)}"
    raise Problem(f"{why}.")


def _detail(error: urllib.error.HTTPError) -> str:
    """The detail text in the service's problem document."""
    try:
        return str(json.load(error)["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return "this answer does not come from a Baton service"


def sha256(content: bytes) -> str:
    """In hex."""
    return hashlib.sha256(content).hexdigest()


def start(python: Path, options: argparse.Namespace, others: list[str]) -> None:
    """Become the worker. The token is in its environment, because all users of a machine can read command lines."""
    environment = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    environment.update(BATON_URL=options.service, BATON_TOKEN=options.token)
    if options.device == "cpu":
        environment["BATON_GPUS"] = "0"
    tell(f"Starting the worker for {options.service}.")
    command = [str(python), "-m", "baton.cli", "worker", "--poll", *others]
    os.execve(python, command, environment)  # noqa: S606  # the worker gets signals and exit status of this process


def tell(text: str) -> None:
    """Show a line."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
