"""A longer way to a server: every byte is handed on a fixed time after it came, in both directions.

    python -m bench.delay_line HOST PORT [--ms 25]

prints the port it listens on (loopback) and ends when its standard input does.  A process of its own, so that
it takes no time from the interpreter that is measured.

Promises: order is kept; a half-closed connection is handed on half-closed, as late as its bytes; at most
`HELD` bytes wait in each direction of each connection, after which the sender has to wait.  The bandwidth is
not limited and nothing is lost, so what is measured is waiting, not congestion.

A new connection reaches the server three one-way times after it was made: SYN, its answer, and the first
packet after it.  The client's own `connect` returns at once, its bytes arrive no earlier for that.
"""

import argparse
import selectors
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field

HELD = 64 << 20
PIECE = 1 << 20


@dataclass(eq=False)
class Way:
    """One direction of one connection.  An empty piece is the end."""

    source: socket.socket
    sink: socket.socket | None
    waiting: deque[tuple[float, memoryview]] = field(default_factory=deque)
    held: int = 0
    ended: bool = False
    over: bool = False
    not_before: float = 0.0

    def take(self, now: float, delay: float) -> None:
        try:
            piece = self.source.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self.ended = not piece
        self.waiting.append((max(now + delay, self.not_before), memoryview(piece)))
        self.held += len(piece)

    def give(self, now: float) -> bool:
        """Hand on what is due.  True if the sink takes no more just now."""
        assert self.sink is not None
        while self.waiting and self.waiting[0][0] <= now:
            due, piece = self.waiting[0]
            if not piece:
                self._close()
                return False
            try:
                given = self.sink.send(piece)
            except BlockingIOError:
                return True
            except OSError:
                self._give_up()
                return False
            self.held -= given
            if given == len(piece):
                self.waiting.popleft()
            else:
                self.waiting[0] = (due, piece[given:])
        return False

    def _close(self) -> None:
        assert self.sink is not None
        self.waiting.clear()
        self.over = True
        try:
            self.sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def _give_up(self) -> None:
        """The sink is gone: what still comes has nowhere to go."""
        self.waiting.clear()
        self.held, self.ended, self.over = 0, True, True
        try:
            self.source.shutdown(socket.SHUT_RD)
        except OSError:
            return


class DelayLine:
    """Select, not epoll: its clock has microseconds, epoll's would add up to a millisecond."""

    def __init__(self, host: str, port: int, delay: float) -> None:
        self._server, self._delay = (host, port), delay
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.setblocking(False)
        self.port: int = self._door.getsockname()[1]
        self._pairs: list[tuple[Way, Way]] = []
        self._blocked: set[Way] = set()

    def serve(self, stop: socket.socket | int) -> None:
        """Until `stop` is readable."""
        selector = selectors.SelectSelector()
        while True:
            now = time.monotonic()
            self._hand_on(now)
            self._want(selector, stop)
            for key, events in selector.select(self._until_next(time.monotonic())):
                if key.fileobj is stop:
                    return
                self._act(key.fileobj, events)
            for key in list(selector.get_map().values()):
                selector.unregister(key.fileobj)

    def close(self) -> None:
        """Hang up on everybody."""
        self._door.close()
        for pair in self._pairs:
            for way in pair:
                way.source.close()

    def _hand_on(self, now: float) -> None:
        self._blocked.clear()
        for there, back in self._pairs:
            if there.sink is None and now >= there.not_before:
                self._reach(there, back)
            for way in (there, back):
                if way.sink is not None and not way.over and way.give(now):
                    self._blocked.add(way)
        for pair in [pair for pair in self._pairs if pair[0].over and pair[1].over]:
            self._pairs.remove(pair)
            pair[0].source.close()
            pair[1].source.close()

    def _reach(self, there: Way, back: Way) -> None:
        there.sink = back.source
        try:
            back.source.setblocking(True)
            back.source.connect(self._server)
            back.source.setblocking(False)
            back.source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            for way in (there, back):
                way.over = way.ended = True

    def _want(self, selector: selectors.BaseSelector, stop: socket.socket | int) -> None:
        wants: dict[socket.socket | int, int] = {
            self._door: selectors.EVENT_READ,
            stop: selectors.EVENT_READ,
        }
        for there, back in self._pairs:
            for way in (there, back):
                connected = way is there or there.sink is not None
                if connected and not way.ended and way.held < HELD:
                    wants[way.source] = wants.get(way.source, 0) | selectors.EVENT_READ
                if way in self._blocked and way.sink is not None:
                    wants[way.sink] = wants.get(way.sink, 0) | selectors.EVENT_WRITE
        for what, events in wants.items():
            selector.register(what, events)

    def _until_next(self, now: float) -> float | None:
        """Seconds until the next piece is due; None when nothing waits but for a sink."""
        dues = [there.not_before for there, _ in self._pairs if there.sink is None]
        for pair in self._pairs:
            dues += [
                way.waiting[0][0]
                for way in pair
                if way.waiting and way.sink is not None and way not in self._blocked
            ]
        return max(0.0, min(dues) - now) if dues else None

    def _act(self, what: object, events: int) -> None:
        if what is self._door:
            self._let_in()
        elif events & selectors.EVENT_READ:
            now = time.monotonic()
            for pair in self._pairs:
                for way in pair:
                    if way.source is what and not way.ended:
                        way.take(now, self._delay)

    def _let_in(self) -> None:
        client, _ = self._door.accept()
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = socket.socket()
        there = Way(client, None, not_before=time.monotonic() + 3 * self._delay)
        self._pairs.append((there, Way(server, client)))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("host")
    arguments.add_argument("port", type=int)
    arguments.add_argument("--ms", type=float, default=25.0, help="one way, in milliseconds")
    told = arguments.parse_args()
    line = DelayLine(told.host, told.port, told.ms / 1000)
    print(line.port, flush=True)
    line.serve(sys.stdin.fileno())
    line.close()


if __name__ == "__main__":
    main()
