"""Who is told, in tests: a web server that takes Apprise's JSON, and a mail server that keeps what it is given.

Both listen on loopback in a thread and end with the `with`.
"""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PASSWORD = "hunter2-is-secret"
TOKEN = "xoxb-4711-secret-token"


@dataclass
class Web:
    """A web server.  `status` is what it answers; it waits for `hang` before that, if one is set."""

    port: int = 0
    status: int = 200
    hang: threading.Event | None = None
    got: list[dict[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    elsewhere: str = "http://127.0.0.1:9/"

    @property
    def url(self) -> str:
        """Its address for Apprise, with a password and a path that are nobody's business."""
        return f"json://robot:{PASSWORD}@127.0.0.1:{self.port}/hooks/{TOKEN}/"

    @property
    def bodies(self) -> list[str]:
        return [one["message"] for one in self.got]


@contextmanager
def web() -> Iterator[Web]:
    receiver = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.asked.append(self.path)
            if receiver.hang is not None:
                receiver.hang.wait(30)
            if receiver.status == 200:
                receiver.got.append(json.loads(told))
            self.send_response(receiver.status)
            if 300 <= receiver.status < 400:
                self.send_header("Location", receiver.elsewhere)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield receiver
        finally:
            if receiver.hang is not None:
                receiver.hang.set()
            server.shutdown()
            thread.join()


@dataclass
class Mail:
    """A mail server without encryption."""

    port: int = 0
    got: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}?from=transfer@example.org&to=ops@example.org&mode=insecure"


@contextmanager
def mail() -> Iterator[Mail]:
    receiver = Mail()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 here")
            while line := self.rfile.readline().decode().strip():
                match line.split()[0].upper():
                    case "QUIT":
                        self.say("221 bye")
                        return
                    case "DATA":
                        self.say("354 go on")
                        receiver.got.append(self.data())
                        self.say("250 kept")
                    case _:
                        self.say("250 fine")

        def say(self, words: str) -> None:
            self.wfile.write(f"{words}\r\n".encode())

        def data(self) -> str:
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line.decode())
            return "".join(lines)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
