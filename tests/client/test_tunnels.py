"""Each tunnel program: what it is started with, and what is read from its output. Stub programs print the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from baton.local.child_process import Child, ChildSpec
from baton.local.tunnels import TUNNELS, Cloudflared, Ngrok, NoTunnel, TailscaleFunnel, Tunnel, find_tunnel
from tests.client.waiting import eventually

CLOUDFLARED = """\
2026-11-30T09:56:33Z INF Thank you for trying Cloudflare Tunnel. Doing so, without a Cloudflare account, is a quick \
way to experiment and try it out. However, be aware that these account-less Tunnels have no uptime guarantee: \
https://developers.cloudflare.com/cloudflare-one/connections/connect-apps
2026-11-30T09:56:33Z INF Requesting new quick Tunnel on trycloudflare.com...
2026-11-30T09:56:36Z INF +--------------------------------------------------------------------------------------------+
2026-11-30T09:56:36Z INF |  Your quick Tunnel has been created! Visit it at (it may take some time to be reachable):  |
2026-11-30T09:56:36Z INF |  https://disciplinary-tennis-breaking-under.trycloudflare.com                              |
2026-11-30T09:56:36Z INF +--------------------------------------------------------------------------------------------+
2026-11-30T09:56:36Z INF Initial protocol quic
"""
CLOUDFLARED_CONNECTED = """\
2026-11-30T09:56:37Z INF Registered tunnel connection connIndex=0 connection=bb527b3a event=0 ip=198.41.200.1 \
location=fra04 protocol=quic
"""
CLOUDFLARED_OFFLINE = """\
2026-11-30T09:56:33Z INF Requesting new quick Tunnel on trycloudflare.com...
failed to request quick Tunnel: Post "https://api.trycloudflare.com/tunnel": dial tcp: lookup api.trycloudflare.com: \
no such host
"""
TAILSCALE = """\
Available on the internet:

https://laptop.tail1a2b3.ts.net/
|-- proxy http://127.0.0.1:4711

Press Ctrl+C to exit.
"""
TAILSCALE_DISABLED = """\

Funnel is not enabled on your tailnet.
To enable, visit:

         https://login.tailscale.com/f/funnel?node=nWNmPtVzjN11CNTRL

"""
NGROK = """\
{"lvl":"info","msg":"no configuration paths supplied","t":"2026-11-30T09:00:00Z"}
{"addr":"127.0.0.1:4040","lvl":"info","msg":"starting web service","obj":"web","t":"2026-11-30T09:00:00Z"}
{"addr":"http://127.0.0.1:4711","lvl":"info","msg":"started tunnel","name":"command_line","obj":"tunnels",\
"t":"2026-11-30T09:00:01Z","url":"https://ab12-203-0-113-7.ngrok-free.app"}
"""
NGROK_UNKNOWN = """\
{"err":"authentication failed: Usage of ngrok requires a verified account and authtoken.\\r\\nERR_NGROK_4018",\
"lvl":"eror","msg":"failed to reconnect session","obj":"tunnels.session","t":"2026-11-30T09:00:01Z"}
{"err":"<nil>","lvl":"eror","msg":"terminating with error","obj":"app","t":"2026-11-30T09:00:01Z"}
ERROR:  authentication failed
"""
CASES = [
    (
        Cloudflared(),
        "tunnel --no-autoupdate --config /dev/null --url http://127.0.0.1:4711",
        CLOUDFLARED + CLOUDFLARED_CONNECTED,
        "https://disciplinary-tennis-breaking-under.trycloudflare.com",
    ),
    (TailscaleFunnel(), "funnel 4711", TAILSCALE, "https://laptop.tail1a2b3.ts.net"),
    (
        Ngrok(),
        "http http://127.0.0.1:4711 --log stdout --log-format json",
        NGROK,
        "https://ab12-203-0-113-7.ngrok-free.app",
    ),
]


def put(folder: Path, tunnel: Tunnel, arguments: str, output: str) -> None:
    """A program that checks its arguments, prints to standard error, and stays."""
    (folder / "output").write_text(output)
    program = folder / tunnel.name
    program.write_text(f'#!/bin/sh\n[ "$*" = "{arguments}" ] || exit 9\ncat "{folder}/output" >&2\nexec sleep 600\n')
    program.chmod(0o755)


@pytest.mark.process
@pytest.mark.parametrize(("tunnel", "arguments", "output", "url"), CASES, ids=lambda one: getattr(one, "name", None))
def test_a_program_is_found_started_and_its_address_read(
    tmp_path: Path, tunnel: Tunnel, arguments: str, output: str, url: str
) -> None:
    put(tmp_path, tunnel, arguments, output)
    found, program = find_tunnel(which=lambda name: shutil.which(name, path=str(tmp_path)))
    assert found is tunnel or found.name == tunnel.name
    child = Child(ChildSpec("tunnel", (program, *found.arguments(4711)), dict(os.environ), tmp_path / "log"))
    (tmp_path / "log").write_text("https://of-an-earlier-run.trycloudflare.com\nRegistered tunnel connection\n")
    child.start(0.0)
    try:
        assert eventually(lambda: found.url(child.output()), "an address") == url
        assert child.ended is None
    finally:
        child.kill()


def test_an_address_that_is_not_connected_yet_is_none() -> None:
    assert Cloudflared().url(CLOUDFLARED) is None
    assert [tunnel.url("") for tunnel in TUNNELS] == [None] * 3


@pytest.mark.parametrize(
    ("tunnel", "output", "words"),
    [
        (Cloudflared(), CLOUDFLARED_OFFLINE, "no such host"),
        (TailscaleFunnel(), TAILSCALE_DISABLED, "https://login.tailscale.com/f/funnel?node=nWNmPtVzjN11CNTRL"),
        (Ngrok(), NGROK_UNKNOWN, "requires a verified account and authtoken. ERR_NGROK_4018"),
    ],
    ids=lambda one: getattr(one, "name", None),
)
def test_what_is_wrong_is_read_and_is_no_address(tunnel: Tunnel, output: str, words: str) -> None:
    assert tunnel.url(output) is None
    trouble = tunnel.trouble(output)
    assert trouble is not None
    assert words in trouble
    assert "\n" not in trouble


def test_the_first_that_is_installed_is_used_unless_one_is_named() -> None:
    installed = {"tailscale": "/t", "ngrok": "/n"}
    assert find_tunnel(which=installed.get)[1] == "/t"
    assert find_tunnel("ngrok", which=installed.get)[1] == "/n"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (None, ["cloudflared (no account needed)", "tailscale.com/download", "ngrok.com/download"]),
        ("cloudflared", ["cloudflared is not installed", "brew install cloudflared"]),
        ("frp", ["choose one of cloudflared, tailscale, ngrok"]),
    ],
)
def test_what_is_missing_is_said_with_the_way_to_get_it(wanted: str | None, words: list[str]) -> None:
    with pytest.raises(NoTunnel) as found:
        find_tunnel(wanted, which=lambda _: None)
    assert [word for word in words if word not in str(found.value)] == []
    assert found.value.exit_status == 2
