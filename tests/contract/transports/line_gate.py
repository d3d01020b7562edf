"""A way to a server that only so many connections may take at a time."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class Gate:
    """Listens on `port` and carries at most `most` connections to the server; any other is closed at once.

    `refused` counts those.
    """

    def __init__(self, host: str, port: int, *, most: int) -> None:
        self._server = (host, port)
        self._most = most
        self.refused = 0
        self._open: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads.append(threading.Thread(target=self._accept))
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        with self._guard:
            for pair in self._open:
                for end in pair:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            with self._guard:
                if len(self._open) >= self._most:
                    self.refused += 1
                    client.close()
                    continue
                pair = (client, socket.create_connection(self._server))
                self._open.append(pair)
            thread = threading.Thread(target=self._carry, args=[pair])
            self._threads.append(thread)
            thread.start()

    def _carry(self, pair: tuple[socket.socket, socket.socket]) -> None:
        client, server = pair
        back = threading.Thread(target=_copy, args=[server, client])
        back.start()
        _copy(client, server)
        back.join()
        with self._guard:
            self._open.remove(pair)
            for end in pair:
                end.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 18):
            sink.sendall(piece)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
