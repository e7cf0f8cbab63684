"""The proxy injects the faults that its methods describe."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.support.gcs import until
from tests.support.proxy import Fault, Proxy, Way, running_proxy


class Echo(socketserver.ThreadingTCPServer):
    """Sends each line back in capitals, and keeps what it received."""

    daemon_threads, allow_reuse_address = True, True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Line)
        self.got: list[bytes] = []


class _Line(socketserver.StreamRequestHandler):
    server: Echo

    def handle(self) -> None:
        try:
            for line in self.rfile:
                self.server.got.append(line)
                self.wfile.write(line.upper())
        except OSError:
            return


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def seen() -> list[tuple[int, Way, bytes]]:
    return []


@pytest.fixture
def proxy(echo: Echo, seen: list[tuple[int, Way, bytes]]) -> Iterator[Proxy]:
    with running_proxy(
        ("127.0.0.1", echo.server_address[1]), tap=lambda line, way, chunk: seen.append((line, way, chunk))
    ) as made:
        yield made


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=60)


def say(line: socket.socket, text: bytes) -> bytes:
    line.sendall(text)
    return line.recv(100)


def test_it_forwards_and_the_tap_sees_all_bytes(proxy: Proxy, seen: list[tuple[int, Way, bytes]]) -> None:
    with connect(proxy) as one, connect(proxy) as other:
        assert (say(one, b"hello\n"), say(other, b"you\n")) == (b"HELLO\n", b"YOU\n")
    lines = {chunk: number for number, _, chunk in seen}
    assert [(way, chunk) for number, way, chunk in seen if number == lines[b"hello\n"]] == [
        (Way.REQUEST, b"hello\n"),
        (Way.ANSWER, b"HELLO\n"),
    ]


def test_refused_then_accepted_again(proxy: Proxy) -> None:
    with connect(proxy) as open_before:
        assert say(open_before, b"x\n") == b"X\n"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        assert say(open_before, b"still\n") == b"STILL\n"
    proxy.accept()
    with connect(proxy) as line:
        assert say(line, b"x\n") == b"X\n"


def test_open_connections_are_reset(proxy: Proxy) -> None:
    with connect(proxy) as line:
        assert say(line, b"x\n") == b"X\n"
        proxy.reset_all()
        with pytest.raises(ConnectionResetError):
            line.recv(100)


def test_what_stalls_comes_later(proxy: Proxy, echo: Echo) -> None:
    with connect(proxy) as line:
        assert say(line, b"x\n") == b"X\n"
        proxy.stall()
        line.sendall(b"y\n")
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.recv(100)
        assert echo.got == [b"x\n"]
        proxy.flow()
        line.settimeout(60)
        assert line.recv(100) == b"Y\n"


@pytest.mark.parametrize(
    ("fault", "delivered", "answered"),
    [(Fault.LOSE_REQUEST, [], b""), (Fault.LOSE_ANSWER, [b"abcd\n"], b""), (Fault.CUT_ANSWER, [b"abcd\n"], b"AB")],
)
def test_an_exchange_breaks_where_it_was_planned(
    proxy: Proxy, echo: Echo, fault: Fault, delivered: list[bytes], answered: bytes
) -> None:
    proxy.plan(fault)
    got = b""
    with connect(proxy) as line:
        line.sendall(b"abcd\n")
        with pytest.raises(ConnectionResetError):
            while chunk := line.recv(100):
                got += chunk
    # RST may arrive before bytes that were sent earlier.
    assert (echo.got, got) in ((delivered, answered), (delivered, b""))
    assert proxy.happened[fault] == 1
    with connect(proxy) as line:
        assert say(line, b"x\n") == b"X\n"


def test_odds_are_drawn_from_the_seed(echo: Echo) -> None:
    def outcomes(seed: int) -> list[bool]:
        with running_proxy(("127.0.0.1", echo.server_address[1]), seed=seed) as proxy:
            proxy.inject({Fault.LOSE_ANSWER: 0.5})
            return [_answered(proxy) for _ in range(12)]

    assert outcomes(1) == outcomes(1)
    assert len(set(outcomes(1))) == 2
    assert outcomes(1) != outcomes(2)


def _answered(proxy: Proxy) -> bool:
    with connect(proxy) as line:
        try:
            return bool(say(line, b"x\n"))
        except ConnectionResetError:
            return False


def test_another_upstream_takes_over(echo: Echo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with running_proxy(("127.0.0.1", port), ("127.0.0.1", echo.server_address[1])) as proxy:
        for _ in range(5):
            with connect(proxy) as line:
                assert say(line, b"x\n") == b"X\n"


def test_nobody_there_is_a_reset(echo: Echo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with running_proxy(("127.0.0.1", port)) as proxy, connect(proxy) as line:
        line.settimeout(60)

        def gone() -> bool:
            try:
                return line.recv(1) == b""
            except ConnectionResetError:
                return True

        until(gone, 60, "the connection ends")
