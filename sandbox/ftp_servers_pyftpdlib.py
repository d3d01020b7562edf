"""pyftpdlib's server in a thread of this process, on loopback: a modern server whose faults can be scripted.

It has MLST, MLSD and MFMT; HASH, XMD5 and AVBL are added here on wish, to stand for servers that have them.

Promises: leaving ends the thread and every connection.  `before` is called with each command's verb and
argument, in the server's thread, before it is obeyed; a text it returns is sent in its place, and `HANG_UP`,
`CLOSE_DATA` (after the first bytes) and `SILENCE` do what they
say.

The surprise: one thread serves all connections, so a `before` that blocks blocks them all.
"""

import errno
import hashlib
import shutil
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

HOST = "127.0.0.1"
HANG_UP, CLOSE_DATA, SILENCE = "hang up", "close data", "silence"
_TURN = 0.02  # seconds between two looks whether to stop

Before = Callable[[str, str], str | None]


class Pyftpd:
    """The server.

    `extras` are any of "XMD5", "XSHA256", "HASH" and "AVBL"; `capacity` is how many bytes its disk holds, and
    `when_full` its reply when they are used up (pyftpdlib itself falls silent then).

    `permissions` are pyftpdlib's letters for what the account may do, `settings` attributes of its handler.
    """

    user = "lab"
    remote_root = "/store"

    def __init__(
        self,
        root: Path,
        *,
        password: str,
        certificate: Path | None,
        before: Before | None = None,
        extras: Sequence[str] = (),
        capacity: int | None = None,
        when_full: str = "452 Insufficient storage space.",
        permissions: str = "elradfmwMT",
        settings: dict[str, Any] | None = None,
    ) -> None:
        self._root = root
        self._password = password
        self._certificate = certificate
        self._before = before
        self._extras = tuple(extras)
        self._capacity = capacity
        self._when_full = when_full
        self._permissions = permissions
        self._settings = settings or {}
        self._stopping = threading.Event()
        self._cutting = threading.Event()
        self._freezing = threading.Event()
        self._cut_done = threading.Event()

    def __enter__(self) -> Self:
        with warnings.catch_warnings():
            # It stands on asyncore, which Python 3.11 calls old and later ones get from PyPI.
            warnings.simplefilter("ignore", DeprecationWarning)
            from pyftpdlib.ioloop import IOLoop  # type: ignore[import-untyped,unused-ignore]
            from pyftpdlib.servers import FTPServer  # type: ignore[import-untyped,unused-ignore]
        self._server = FTPServer((HOST, 0), self._handler(), ioloop=IOLoop())
        self.port: int = self._server.address[1]
        self._thread = threading.Thread(target=self._serve, name="sandbox-ftp", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def cut(self) -> None:
        """Drop every open connection; new ones are welcome."""
        self._cut_done.clear()
        self._cutting.set()
        self._cut_done.wait(10)

    def freeze(self, release: threading.Event) -> None:
        """Do nothing at all, on no connection, until `release` is set."""
        self._release = release
        self._freezing.set()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._server.ioloop.loop(_TURN, blocking=False)
            if self._freezing.is_set():
                self._freezing.clear()
                self._release.wait()
            if self._cutting.is_set():
                self._cutting.clear()
                for connection in list(self._server.ioloop.socket_map.values()):
                    if connection is not self._server:
                        _drop(connection)
                self._cut_done.set()
        self._server.close_all()

    def _handler(self) -> type[Any]:
        from pyftpdlib.authorizers import DummyAuthorizer  # type: ignore[import-untyped,unused-ignore]
        from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler  # type: ignore[import-untyped,unused-ignore]

        authorizer = DummyAuthorizer()
        authorizer.add_user(self.user, self._password, str(self._root.parent), perm=self._permissions)
        settings: dict[str, Any] = {
            "authorizer": authorizer,
            "banner": "sandbox",
            "auth_failed_timeout": 0.1,
            "use_sendfile": False,
            "pre_process_command": _scripted(self._before),
            "log": lambda *_a, **_k: None,
            "logline": lambda *_a, **_k: None,
            "logerror": lambda *_a, **_k: None,
            "log_cmd": lambda *_a, **_k: None,
            "log_exception": lambda *_a, **_k: None,
            "log_transfer": lambda *_a, **_k: None,
            "proto_cmds": {**TLS_FTPHandler.proto_cmds},
        }
        if self._capacity is not None:
            settings["abstracted_fs"] = _small_disk(self._root, self._capacity)
        if self._certificate is None:
            base = FTPHandler
            settings["proto_cmds"] = {**FTPHandler.proto_cmds}
        else:
            base = TLS_FTPHandler
            settings |= {
                "certfile": str(self._certificate),
                "tls_control_required": True,
                "tls_data_required": True,
            }
        settings["dtp_handler"] = _talking(base.dtp_handler, self._when_full)
        settings |= _extra_commands(self._extras, settings["proto_cmds"])
        return type("SandboxHandler", (base,), settings | self._settings)


def _talking(base: type[Any], when_full: str) -> type[Any]:
    """A data connection that says on the control connection why it closes, and that can be made to break."""

    def break_off(data: Any, reply: str) -> None:
        data._error = True
        data._resp = (reply, lambda *_a, **_k: None)
        data.close()

    def breaking(event: Callable[[Any], None]) -> Callable[[Any], None]:
        def handle(data: Any) -> None:
            if data.get_transmitted_bytes() and getattr(data.cmd_channel, "breaks_data", False):
                data.cmd_channel.breaks_data = False
                break_off(data, "426 Connection closed; transfer aborted.")
            else:
                event(data)

        return handle

    return type(
        "SandboxData",
        (base,),
        {
            "handle_error": lambda data: break_off(data, when_full),
            "handle_read_event": breaking(base.handle_read_event),
            "handle_write_event": breaking(base.handle_write_event),
        },
    )


def _drop(connection: Any) -> None:
    """Close without any farewell."""
    connection._error = True
    connection.close()


def _scripted(before: Before | None) -> Callable[[Any, str, str, str], None]:
    from pyftpdlib.handlers import FTPHandler  # type: ignore[import-untyped,unused-ignore]

    def pre_process_command(handler: Any, line: str, verb: str, argument: str) -> None:
        answer = before(verb, argument) if before is not None else None
        match answer:
            case None:
                FTPHandler.pre_process_command(handler, line, verb, argument)
            case "hang up":
                _drop(handler)
            case "close data":
                handler.breaks_data = True
                FTPHandler.pre_process_command(handler, line, verb, argument)
            case "silence":
                return
            case reply:
                handler.respond(reply)

    return pre_process_command


def _extra_commands(extras: Sequence[str], commands: dict[str, Any]) -> dict[str, Any]:
    """Methods for the commands in `extras`, which are entered into `commands` and into FEAT."""
    from pyftpdlib.handlers import FTPHandler  # type: ignore[import-untyped,unused-ignore]

    made: dict[str, Any] = {}
    chosen = {"HASH": "SHA-1"}
    answers: dict[str, Callable[[Any, str], None]] = {
        "XMD5": lambda handler, path: _say_digest(handler, path, "md5", "250 {digest}"),
        "XSHA256": lambda handler, path: _say_digest(handler, path, "sha256", "250 {digest}"),
        "HASH": lambda handler, path: _say_digest(
            handler, path, chosen["HASH"].replace("-", "").lower(), "213 {name} 0-{size} {digest} {path}"
        ),
        "AVBL": lambda handler, path: handler.respond(f"213 {shutil.disk_usage(path).free}"),
    }
    for name in extras:
        commands[name] = {"perm": "l", "auth": True, "arg": True, "help": name}
        made[f"ftp_{name}"] = answers[name]
    features = [{"HASH": "HASH MD5;SHA-1*;SHA-256"}.get(name, name) for name in extras]

    def ftp_FEAT(handler: Any, line: str) -> None:
        handler._extra_feats = [*handler._extra_feats, *features]
        FTPHandler.ftp_FEAT(handler, line)

    def ftp_OPTS(handler: Any, line: str) -> None:
        if line.upper().startswith("HASH "):
            chosen["HASH"] = line[5:]
            handler.respond(f"200 {line[5:]}")
        else:
            FTPHandler.ftp_OPTS(handler, line)

    return {**made, "ftp_FEAT": ftp_FEAT, "ftp_OPTS": ftp_OPTS} if extras else {}


def _say_digest(handler: Any, path: str, algorithm: str, form: str) -> None:
    place = Path(path)
    if not place.is_file():
        handler.respond("550 No such file or directory.")
        return
    content = place.read_bytes()
    digest = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    name = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256"}[algorithm]
    handler.respond(form.format(name=name, size=len(content), digest=digest, path=handler.fs.fs2ftp(path)))


def _small_disk(root: Path, capacity: int) -> type[Any]:
    """A file system that holds `capacity` bytes and then says ENOSPC."""
    from pyftpdlib.filesystems import AbstractedFS  # type: ignore[import-untyped,unused-ignore]

    def used() -> int:
        return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())

    class Cramped:
        """A file that is written past no capacity."""

        def __init__(self, file: IO[bytes]) -> None:
            self._file = file
            self._left = capacity - used()

        def write(self, piece: bytes) -> int:
            self._left -= len(piece)
            if self._left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self._file.write(piece)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    class SmallDisk(AbstractedFS):  # type: ignore[misc,unused-ignore]
        def open(self, filename: str, mode: str) -> Any:
            file = super().open(filename, mode)
            return Cramped(file) if "r" not in mode or "+" in mode else file

    return SmallDisk
