"""The delay line hands on exactly the bytes it was given, both ways; how late is not asserted here."""

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from bench.delay_line import DelayLine


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    def serve() -> None:
        client, _ = door.accept()
        with client:
            answer(client)

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=serve)
        thread.start()
        yield door.getsockname()[1]
        thread.join(timeout=20)


@contextlib.contextmanager
def delayed(port: int) -> Iterator[int]:
    ours, its = socket.socketpair()
    line = DelayLine("127.0.0.1", port, 0.002)
    thread = threading.Thread(target=line.serve, args=(its,))
    thread.start()
    try:
        yield line.port
    finally:
        ours.send(b"!")
        thread.join(timeout=20)
        line.close()
        ours.close()
        its.close()


def read_all(line: socket.socket) -> bytes:
    pieces = []
    while piece := line.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def give_back(client: socket.socket) -> None:
    """Answer only when the other side has said all: a half-closed line must go on."""
    client.sendall(read_all(client)[::-1])


@pytest.mark.parametrize("size", [0, 1, 300_000, 9_000_000])
def test_bytes_come_in_order_and_so_does_the_end(size: int):
    sent = random.Random(size).randbytes(size)
    with (
        serving(give_back) as port,
        delayed(port) as there,
        socket.create_connection(("127.0.0.1", there), timeout=20) as line,
    ):
        line.sendall(sent)
        line.shutdown(socket.SHUT_WR)
        assert read_all(line) == sent[::-1]


def test_a_client_that_went_away_ends_the_far_side_too():
    heard = threading.Event()

    def listen(client: socket.socket) -> None:
        client.settimeout(20)
        read_all(client)
        heard.set()

    with serving(listen) as port, delayed(port) as there:
        socket.create_connection(("127.0.0.1", there)).close()
        assert heard.wait(20)


def test_a_server_that_is_not_there_closes_the_line():
    with socket.create_server(("127.0.0.1", 0)) as door:
        nobody = door.getsockname()[1]
    with (
        delayed(nobody) as there,
        socket.create_connection(("127.0.0.1", there), timeout=20) as line,
        contextlib.suppress(ConnectionResetError),
    ):
        assert line.recv(1) == b""
