"""Programs that make a port of this machine reachable from the internet over HTTPS. Each program has a class.

The command lines and outputs are those of cloudflared 2022.10 and later, Tailscale 1.52 and later, and ngrok 3.
"""

from __future__ import annotations

import json
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from baton.local.errors import StackError


class NoTunnel(StackError):
    """No tunnel program is installed, or not the wanted one. The message explains how to install one."""

    code: ClassVar[str] = "no-tunnel"
    exit_status: ClassVar[int] = 2


class Tunnel(ABC):
    """A tunnel program. `name`: of its executable. `advice`: how to get it, and what it needs."""

    name: ClassVar[str]
    advice: ClassVar[str]

    @abstractmethod
    def arguments(self, port: int) -> tuple[str, ...]:
        """Arguments with which the program runs in the foreground and forwards to `port` on loopback."""

    @abstractmethod
    def url(self, output: str) -> str | None:
        """The public URL, from the program's output. None until the tunnel is connected."""

    @abstractmethod
    def trouble(self, output: str) -> str | None:
        """The error, from the program's output. None if there is none."""


class Cloudflared(Tunnel):
    """Cloudflare's quick tunnels. They need no account. Each start has another URL."""

    name = "cloudflared"
    advice = (
        "cloudflared (no account needed): brew install cloudflared, or "
        "https://github.com/cloudflare/cloudflared/releases"
    )
    # Its messages also contain api.trycloudflare.com and URLs of documentation: these must not match.
    _URL = re.compile(r"https://(?!api\.)[a-z0-9-]+\.trycloudflare\.com")

    def arguments(self, port: int) -> tuple[str, ...]:
        """Uses no configuration file: a file may belong to another tunnel, and set that tunnel's URL or ingress."""
        return ("tunnel", "--no-autoupdate", "--config", "/dev/null", "--url", f"http://127.0.0.1:{port}")

    def url(self, output: str) -> str | None:
        """None before the first connection: resolvers would cache the name as missing if it were looked up earlier."""
        found = self._URL.search(output)
        return found[0] if found and "Registered tunnel connection" in output else None

    def trouble(self, output: str) -> str | None:
        """The last error in the output."""
        found = re.findall(r"(?: ERR |^failed to )(.+)$", output, re.MULTILINE)
        return found[-1].strip() if found else None


class TailscaleFunnel(Tunnel):
    """Tailscale Funnel, for a machine in a tailnet. Each start has the same URL."""

    name = "tailscale"
    advice = "Tailscale (an account; the URL stays the same): https://tailscale.com/download, then `tailscale up`"
    _URL = re.compile(r"https://[a-z0-9.-]+\.ts\.net(?::\d+)?")

    def arguments(self, port: int) -> tuple[str, ...]:
        """Runs the funnel in the foreground, so that it ends with the process."""
        return ("funnel", str(port))

    def url(self, output: str) -> str | None:
        """The URL after "Available on the internet:". A URL before that may be a link to enable Funnel."""
        _, begun, rest = output.partition("Available on the internet:")
        found = self._URL.search(rest) if begun else None
        return found[0] if found else None

    def trouble(self, output: str) -> str | None:
        """The whole output if it has no public URL, e.g. with a link to enable Funnel."""
        if "Available on the internet:" in output:
            return None
        return " ".join(output.split()) or None


class Ngrok(Tunnel):
    """ngrok. It needs an account, and the account's token on this machine."""

    name = "ngrok"
    advice = "ngrok (an account): https://ngrok.com/download, then `ngrok config add-authtoken TOKEN`"

    def arguments(self, port: int) -> tuple[str, ...]:
        """Writes the log as lines of JSON, instead of a full-screen display."""
        return ("http", f"http://127.0.0.1:{port}", "--log", "stdout", "--log-format", "json")

    def url(self, output: str) -> str | None:
        """The URL in the line "started tunnel"."""
        started = (line for line in _json_lines(output) if line.get("msg") == "started tunnel")
        return next((str(line["url"]) for line in started if line.get("url")), None)

    def trouble(self, output: str) -> str | None:
        """The last error in its log."""
        lines = [line for line in _json_lines(output) if line.get("lvl") in ("eror", "error", "crit")]
        errors = [str(line["err"]) for line in lines if line.get("err") not in (None, "", "<nil>", "nil")]
        return " ".join(errors[-1].split()) if errors else None


TUNNELS: tuple[Tunnel, ...] = (Cloudflared(), TailscaleFunnel(), Ngrok())
"""`--share` looks for them in this order."""


def _json_lines(output: str) -> Iterator[dict[str, Any]]:
    for line in output.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def find_tunnel(wanted: str | None = None, which: Callable[[str], str | None] = shutil.which) -> tuple[Tunnel, str]:
    """The tunnel to use, and the path of its program: `wanted`, or the first that is installed.

    Raises:
        NoTunnel: `wanted` is unknown or not installed, or no tunnel is installed.
    """
    known = {tunnel.name: tunnel for tunnel in TUNNELS}
    if wanted is not None and wanted not in known:
        raise NoTunnel(f"--tunnel {wanted!r} is not known: choose one of {', '.join(known)}")
    candidates = [known[wanted]] if wanted is not None else list(TUNNELS)
    for tunnel in candidates:
        if path := which(tunnel.name):
            return tunnel, path
    missing = f"{wanted} is not installed" if wanted is not None else "no tunnel program is installed"
    advice = "\n".join(f"  {tunnel.advice}" for tunnel in candidates)
    raise NoTunnel(f"{missing}, and --share needs one:\n{advice}")
