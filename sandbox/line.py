"""A line to a server that can be made bad: longer, cut, silent, or with a bit turned over on the way.

It listens on loopback and hands every byte on to `server`, both ways.  What is scripted with `trouble` befalls the
first connections that carry enough bytes towards the server, as often as it says, and counts how often it was met.

    cut     both ends are reset in the middle of whatever was said
    stall   nothing more arrives on either side; the connection stays open until its client gives up
    flip    one bit of the byte at that place is turned over; everything else goes on

Promises: order is kept; a connection without trouble loses nothing; when the `with` ends no thread and no
connection of it is left.  The bandwidth is not limited: `delay` makes bytes late, not fewer.

The surprise: over SSH or TLS a turned bit never arrives.  Their own check finds it and ends the connection.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

HOST = "127.0.0.1"
Kind = Literal["cut", "stall", "flip"]

_PIECE = 64 * 1024
_MOMENT = 0.02  # seconds
_RESET = struct.pack("ii", 1, 0)  # no lingering: what is unsent is dropped, and the other side hears a reset


@dataclass(slots=True)
class Trouble:
    """One scripted trouble: it waits for a connection that has carried `after` bytes towards the server."""

    kind: Kind
    after: int
    times: int
    met: int = 0

    @property
    def left(self) -> int:
        return self.times - self.met


class Line:
    """A context manager for one use.  `server` and `delay` (seconds, each way) may be set while it runs."""

    host = HOST
    port: int

    def __init__(self, host: str, port: int, *, delay: float = 0.0) -> None:
        self.server = (host, port)
        self.delay = delay
        self.made: Counter[tuple[str, int]] = Counter()
        """How many connections were made so far, by the server they were for."""
        self._troubles: list[Trouble] = []
        self._guard = threading.Lock()
        self._calls: set[asyncio.Task[Any]] = set()
        self._welcomes: set[asyncio.Task[None]] = set()  # the loop itself would forget them
        self._listening = threading.Event()

    def __enter__(self) -> Self:
        self._door = socket.create_server((HOST, 0), backlog=128)
        self._door.setblocking(False)
        self.port = self._door.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name=f"line-{self.port}", daemon=True)
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def trouble(self, kind: Kind, *, after: int, times: int = 1) -> Trouble:
        """Script it for the next `times` connections that carry `after` bytes towards the server."""
        made = Trouble(kind, after, times)
        with self._guard:
            self._troubles.append(made)
        return made

    def cut(self) -> None:
        """Reset every connection of this moment; new ones are welcome."""
        self._loop.call_soon_threadsafe(self._cut)

    # ---- in the line's own thread

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:  # Windows' own has no readers
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        # Not asyncio's own server: one that closes forgets the connection it was just letting in.
        self._loop.add_reader(self._door, self._let_in)
        self._listening.set()
        await self._ended.wait()
        self._loop.remove_reader(self._door)
        self._door.close()
        # Who was let in this moment is a task that has not begun: it begins, and is cut then.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            self._cut()
            await asyncio.wait(others, timeout=_MOMENT)
        await asyncio.sleep(0)  # what was reset is closed in the loop's next turn

    def _let_in(self) -> None:
        with contextlib.suppress(OSError):  # the caller has left already
            caller, _ = self._door.accept()
            caller.setblocking(False)
            welcome = self._loop.create_task(self._welcome(caller))
            self._welcomes.add(welcome)
            welcome.add_done_callback(self._welcomes.discard)

    def _cut(self) -> None:
        for call in self._calls:
            call.cancel()

    async def _welcome(self, caller: socket.socket) -> None:
        call = asyncio.current_task()
        assert call is not None
        reader, writer = await asyncio.open_connection(sock=caller)
        self._calls.add(call)
        self.made[self.server] += 1
        try:
            await _Call(self, reader, writer).carry()
            writer.close()
        except (OSError, asyncio.CancelledError):
            return
        finally:
            if not writer.is_closing():
                _reset(writer)
            self._calls.discard(call)

    def take(self, carried: int) -> Trouble | None:
        """The next trouble for a connection that has carried so many bytes; it counts as met."""
        with self._guard:
            for trouble in self._troubles:
                if trouble.left and carried >= trouble.after:
                    trouble.met += 1
                    return trouble
        return None


class _Call:
    """One connection and what befell it."""

    def __init__(self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._line = line
        self._client = reader, writer
        self._silent = False
        self._carried = 0

    async def carry(self) -> None:
        """Until both sides have said all.  Raises OSError when the line broke, by itself or by the script."""
        reader, writer = await asyncio.open_connection(*self._line.server)
        ways = [
            asyncio.ensure_future(self._way(self._client[0], writer, towards_server=True)),
            asyncio.ensure_future(self._way(reader, self._client[1], towards_server=False)),
        ]
        try:
            await asyncio.gather(*ways)
            writer.close()
        finally:
            for way in ways:
                way.cancel()
            if not writer.is_closing():
                _reset(writer)

    async def _way(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, towards_server: bool
    ) -> None:
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        clock = asyncio.get_running_loop().time
        handing = asyncio.ensure_future(self._hand_on(late, sink))
        try:
            while piece := await source.read(_PIECE):
                if handing.done():
                    break
                if towards_server:
                    piece = self._suffered(piece)
                late.put_nowait((clock() + self._line.delay, piece))
            if self._silent and towards_server:
                raise _Cut  # the client has given up: nothing is to be kept open any more
            late.put_nowait((clock() + self._line.delay, b""))
            await handing
        finally:
            handing.cancel()

    async def _hand_on(self, late: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, piece = await late.get()
            if due > clock():
                await asyncio.sleep(due - clock())
            if self._silent:
                continue
            if not piece:
                with contextlib.suppress(OSError):
                    sink.write_eof()
                return
            sink.write(piece)
            await sink.drain()

    def _suffered(self, piece: bytes) -> bytes:
        """The piece as it goes on, after what may befall this connection."""
        self._carried += len(piece)
        if self._silent:
            return piece
        trouble = self._line.take(self._carried)
        if trouble is None:
            return piece
        match trouble.kind:
            case "cut":
                raise _Cut
            case "stall":
                self._silent = True
                return piece
            case "flip":
                return piece[:-1] + bytes([piece[-1] ^ 1])


class _Cut(OSError):
    """The line breaks here, on purpose."""


def _reset(writer: asyncio.StreamWriter) -> None:
    line = writer.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
