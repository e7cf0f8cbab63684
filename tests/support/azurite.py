"""A real emulator of Azure Blob Storage (Azurite) as a child process, for tests that need a container.

It keeps its objects in memory, verifies signatures, and enforces If-Match and If-None-Match.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from tests.support.server_process import running_server

ACCOUNT = "devstoreaccount1"
# The key that Azurite's documentation publishes for this account.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_VERSION = "2023-11-03"
_SCRIPT = Path(__file__).parents[2] / "scripts" / "azurite.sh"


@dataclass(frozen=True)
class Azurite:
    """A running emulator with one empty container."""

    host: str
    """http://127.0.0.1:port."""
    container: str

    def store_url(self, prefix: str = "") -> str:
        """az://container/prefix, for `open_store` and BATON_STORE."""
        return f"az://{self.container}/{prefix}".rstrip("/")

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs in its environment to use this emulator."""
        return self.environ_at(self.host)

    def environ_at(self, host: str) -> dict[str, str]:
        """The same with a proxy's address."""
        return {
            "AZURE_STORAGE_ENDPOINT": f"{host}/{ACCOUNT}",
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        }


@contextlib.contextmanager
def azurite(container: str = "baton-tests") -> Iterator[Azurite]:
    """Run an emulator, with the container made, until the block ends."""
    found = subprocess.run([str(_SCRIPT)], stdout=subprocess.PIPE, text=True, check=False)
    assert found.returncode == 0, "scripts/azurite.sh failed, see its output"
    main = found.stdout.strip()

    def command(port: int) -> list[str]:
        place = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
        return ["node", main, *place, "--silent", "--disableTelemetry", "--skipApiVersionCheck"]

    with running_server(command) as host:
        _make_container(host, container)
        yield Azurite(host, container)


def _make_container(host: str, container: str) -> None:
    date = formatdate(usegmt=True)
    resource = f"/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container"
    signed = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{_VERSION}\n{resource}"
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)).decode()
    headers = {
        "x-ms-date": date,
        "x-ms-version": _VERSION,
        "Authorization": f"SharedKey {ACCOUNT}:{signature}",
    }
    url = f"{host}/{ACCOUNT}/{container}?restype=container"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers, method="PUT"), timeout=60) as answer:
        assert answer.status == 201
