"""A tunnel without the internet: a TCP forwarder on another port of loopback that prints what ngrok prints.

`write_tunnel(folder)` puts it there as the program `ngrok`. Needs only the standard library.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from pathlib import Path


def write_tunnel(folder: Path) -> Path:
    """The folder, for PATH, with a program `ngrok` in it."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "ngrok"
    program.write_text(f"#!{sys.executable} -I\nimport runpy\nrunpy.run_path({__file__!r}, run_name='__main__')\n")
    program.chmod(0o755)
    return folder


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        target.close()


def _forward(port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        line = {
            "addr": f"http://127.0.0.1:{port}",
            "lvl": "info",
            "msg": "started tunnel",
            "obj": "tunnels",
            "url": url,
        }
        print(json.dumps(line), flush=True)
        while True:
            client, _ = door.accept()
            try:
                service = socket.create_connection(("127.0.0.1", port))
            except OSError:
                client.close()
                continue
            for ends in ((client, service), (service, client)):
                threading.Thread(target=_copy, args=ends, daemon=True).start()


if __name__ == "__main__":
    found = re.fullmatch(r"http http://127\.0\.0\.1:(\d+) --log stdout --log-format json", " ".join(sys.argv[1:]))
    if found is None:
        sys.exit(f"unknown arguments: {sys.argv[1:]}")
    _forward(int(found[1]))
