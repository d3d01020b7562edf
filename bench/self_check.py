"""Is the delay line what it says?  Its round trip and its throughput, against a server that only answers or counts."""

import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator

from bench.lines import delayed

PINGS = 20
PIECE = b"\0" * (1 << 20)


def delay_line(*, mebibytes: int) -> dict[str, float]:
    """Milliseconds of a round trip, and MB/s through one connection and back (with this process at both ends)."""
    with _serving(_echo) as port, delayed("127.0.0.1", port) as there:
        round_trip = _round_trip(there)
    with _serving(_count) as port, delayed("127.0.0.1", port) as there:
        throughput = _throughput(there, mebibytes)
    return {"round_trip_ms": round(1000 * round_trip, 2), "throughput_mb_s": round(throughput / 1e6)}


def _round_trip(port: int) -> float:
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        taken = []
        for _ in range(PINGS):
            begun = time.perf_counter()
            line.sendall(b"?")
            line.recv(1)
            taken.append(time.perf_counter() - begun)
    # Not the first: it waits for the connection too.
    return statistics.median(taken[1:])


def _throughput(port: int, mebibytes: int) -> float:
    """Bytes per second, the two delays taken off."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"?")
        line.recv(1)
        begun = time.perf_counter()
        for _ in range(mebibytes):
            line.sendall(PIECE)
        line.shutdown(socket.SHUT_WR)
        line.recv(1)
        seconds = time.perf_counter() - begun
    return mebibytes * len(PIECE) / max(seconds - 0.05, 0.001)


@contextlib.contextmanager
def _serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """One connection is answered, in a thread."""

    def serve() -> None:
        client, _ = door.accept()
        with client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answer(client)

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=serve, name="self-check")
        thread.start()
        yield door.getsockname()[1]
        thread.join(timeout=10)


def _echo(client: socket.socket) -> None:
    while byte := client.recv(1):
        client.sendall(byte)


def _count(client: socket.socket) -> None:
    """Answer the first byte, swallow the rest, answer the end."""
    client.sendall(client.recv(1))
    memory = bytearray(len(PIECE))
    while client.recv_into(memory):
        pass
    client.sendall(b"!")
