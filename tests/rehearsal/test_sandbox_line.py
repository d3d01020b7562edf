"""A line that can be made bad: bytes arrive whole and in order, unless the script says otherwise."""

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from sandbox.line import Line

SIZE = 1 << 20


def echo(door: socket.socket) -> None:
    """Give back what comes, to each caller in a thread of its own."""

    def answer(caller: socket.socket) -> None:
        with caller:
            try:
                while piece := caller.recv(1 << 16):
                    caller.sendall(piece)
            except OSError:
                return

    while True:
        try:
            caller, _ = door.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(caller,), daemon=True).start()


@pytest.fixture
def line() -> Iterator[Line]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=echo, args=(door,), daemon=True)
        thread.start()
        with Line("127.0.0.1", door.getsockname()[1]) as made:
            yield made
        door.shutdown(socket.SHUT_RDWR)
        thread.join()


def talk(line: Line, said: bytes) -> bytes:
    """Say it, and answer what came back until the other side closed.  Raises OSError when the line broke."""
    heard = bytearray()
    with socket.create_connection((line.host, line.port), timeout=20) as caller:

        def listen() -> None:
            try:
                while piece := caller.recv(1 << 16):
                    heard.extend(piece)
            except OSError:
                broken.append(True)

        broken: list[bool] = []
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            caller.sendall(said)
            caller.shutdown(socket.SHUT_WR)
        finally:
            thread.join()
    if broken:
        raise ConnectionResetError
    return bytes(heard)


def test_bytes_arrive_whole_and_in_order_both_ways(line: Line) -> None:
    said = os.urandom(3 * SIZE)
    assert talk(line, said) == said
    assert line.made.total() == 1


def test_a_longer_line_loses_nothing(line: Line) -> None:
    line.delay = 0.02
    said = os.urandom(SIZE)
    assert talk(line, said) == said


def test_a_cut_resets_as_many_connections_as_it_says(line: Line) -> None:
    trouble = line.trouble("cut", after=SIZE // 2, times=2)
    said = os.urandom(SIZE)
    assert talk(line, said[:1000]) == said[:1000]
    for _ in range(2):
        with pytest.raises(OSError):
            talk(line, said)
    assert talk(line, said) == said
    assert trouble.met == 2


def test_a_turned_bit_is_one_bit(line: Line) -> None:
    trouble = line.trouble("flip", after=SIZE // 2)
    said = os.urandom(SIZE)
    heard = talk(line, said)
    (place,) = [at for at in range(SIZE) if heard[at] != said[at]]
    assert heard[place] ^ said[place] == 1
    assert place >= SIZE // 2 - 1
    assert trouble.met == 1


def test_a_silent_line_stays_open_and_says_nothing(line: Line) -> None:
    line.trouble("stall", after=1000)
    with socket.create_connection((line.host, line.port), timeout=0.3) as caller:
        caller.sendall(b"x" * 2000)
        with pytest.raises(TimeoutError):
            caller.recv(1)
        caller.sendall(b"still taken")
    assert talk(line, b"the next one") == b"the next one"


def test_all_connections_of_a_moment_can_be_reset_and_new_ones_are_welcome(line: Line) -> None:
    with socket.create_connection((line.host, line.port), timeout=20) as caller:
        caller.sendall(b"x")
        assert caller.recv(1) == b"x"
        line.cut()
        with pytest.raises(ConnectionResetError):
            caller.recv(1)
    assert talk(line, b"again") == b"again"


def test_it_can_be_led_to_another_server_and_counts_by_server(line: Line) -> None:
    first = line.server
    assert talk(line, b"one") == b"one"
    with socket.create_server(("127.0.0.1", 0)) as door:
        line.server = ("127.0.0.1", door.getsockname()[1])
        with socket.create_connection((line.host, line.port), timeout=20) as caller:
            other, _ = door.accept()
            with other:
                caller.sendall(b"hello")
                assert other.recv(5) == b"hello"
    assert dict(line.made) == {first: 1, line.server: 1}


def test_a_server_that_is_not_there_is_a_broken_line(line: Line) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        line.server = ("127.0.0.1", door.getsockname()[1])
    with pytest.raises(OSError):
        talk(line, b"anybody?")


def test_when_the_with_ends_no_thread_is_left_and_open_connections_break() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door, Line("127.0.0.1", door.getsockname()[1]) as line:
        caller = socket.create_connection((line.host, line.port), timeout=20)
        name = f"line-{line.port}"
        assert any(thread.name == name for thread in threading.enumerate())
    assert not any(thread.name == name for thread in threading.enumerate())
    with caller, pytest.raises(OSError):
        caller.recv(1)
