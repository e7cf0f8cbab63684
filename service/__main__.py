"""`python -m service`: migrates the database and serves until SIGTERM or Ctrl-C."""

from __future__ import annotations

import gc
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from types import FrameType

import uvicorn
from fastapi import FastAPI
from starlette.responses import Response

from baton.storage import StoreError
from baton.system.addresses import bound_socket, host_in_url, is_loopback
from baton.telemetry import traces
from baton.telemetry.log_format import set_up
from service.api.context import Services
from service.api.problems import problem
from service.app import create_app
from service.db.migrate import migrate, require_current
from service.db.sqlite_lock import exclusive_use
from service.http_server import possible_connections, protocol
from service.migrate import named_setting
from service.settings import Settings, SettingsError, load_settings

BAD_USAGE = 2
GRACE_SECONDS = 3
LONG_ENOUGH = 16
# Longer than the 10 s between two requests of a worker or a poller, so that they reuse their connection.
KEEP_ALIVE_SECONDS = 75
log = logging.getLogger("service")


class Server(uvicorn.Server):
    """Reports when it is ready. Ends long polls when it is asked to stop."""

    def __init__(self, config: uvicorn.Config, services: Services, url: str) -> None:
        super().__init__(config)
        self._services = services
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and report the address."""
        await super().startup(sockets)
        if self.started:
            # Objects that exist now stay alive, so the garbage collector need not check them. Without the freeze, each
            # full collection stops all answers for 0.1 s.
            gc.collect()
            gc.freeze()
            if self._services.settings.log_format == "json":
                log.info("Baton serves %s", self._url)
            else:
                print(f"Baton serves {self._url}", flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End long polls, then stop the server."""
        self._services.let_go()
        super().handle_exit(sig, frame)


def main() -> int:
    """Run the service; the exit status."""
    with ExitStack() as held:
        try:
            settings = load_settings()
            form = settings.log_format
            set_up(form, settings.log_level or ("info" if form == "json" else "warning"), settings.secrets)
            listeners = [_listen(settings.host, settings.port, "BATON_HOST and BATON_PORT")]
            if settings.tunnel_port is not None:
                listeners.append(_listen("127.0.0.1", settings.tunnel_port, "BATON_TUNNEL_PORT"))
            _open_database(settings, held)
            app = create_app(settings)
        except SettingsError as error:
            return _refuse(str(error))
        except StoreError as error:
            return _refuse(f"BATON_STORE: {error}")
        for warning in (*warnings(settings), *filter(None, [traces.set_up("baton-service")])):
            _warn(settings, warning)
        return _serve(app, listeners)


def _warn(settings: Settings, warning: str) -> None:
    if settings.log_format == "json":
        log.warning(warning)
    else:
        print(f"baton: {warning}", file=sys.stderr, flush=True)


def warnings(settings: Settings) -> Iterator[str]:
    """Warnings about settings that work but are insecure."""
    if not settings.tls_proxy and not is_loopback(settings.host):
        yield (
            f"listening on {settings.host} without TLS: anyone who can read the network traffic can read the tokens; "
            "put a proxy with TLS in front, then set BATON_TLS_PROXY=1"
        )
    if len(settings.token.get_secret_value()) < LONG_ENOUGH:
        yield (
            f"BATON_TOKEN has fewer than {LONG_ENOUGH} characters and has all scopes: make a longer one, e.g. with "
            "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _serve(app: FastAPI, listeners: list[socket.socket]) -> int:
    services: Services = app.state.services
    host, port = services.settings.host, listeners[0].getsockname()[1]
    url = f"http://{host_in_url(host)}:{port}"
    most = possible_connections(services.settings.connections)
    config = uvicorn.Config(
        app,
        http=protocol(most, services.settings.slow_seconds, _no_connection_left(most)),
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # service.forwarded_headers handles them, and ignores forged addresses
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        server_header=False,
    )
    server = Server(config, services, url)
    # uvicorn raises the signal again after a clean stop. The default handler would then end the process with an error.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    server.run(sockets=listeners)
    traces.flush()
    return 0 if server.started else 1


def _no_connection_left(most: int) -> Response:
    detail = f"all {most} connections of this service are in use: try again in a second"
    return problem(503, "busy", detail, headers={"Retry-After": "1", "Connection": "close"})


def _listen(host: str, port: int, named: str) -> socket.socket:
    try:
        listener = bound_socket(host, port)
        listener.listen(128)  # from here on a second service on this port gets an error
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; "
            f"stop the program that uses it, or choose another address with {named}"
        ) from None
    return listener


def _open_database(settings: Settings, held: ExitStack) -> None:
    with named_setting():
        held.enter_context(exclusive_use(settings.database_url))
        if settings.migrate:
            migrate(settings.database_url, say=lambda text: _warn(settings, text))
        else:
            require_current(settings.database_url)


def _refuse(message: str) -> int:
    print(f"baton: {message}", file=sys.stderr)
    return BAD_USAGE


if __name__ == "__main__":
    sys.exit(main())
