"""An SFTP server in a thread, for machines without sshd.

It serves one folder on loopback to the holder of one key; `sftp_files` says how its requests behave.

Promises: any number of connections, each with any number of channels; `posix-rename@openssh.com`, advertised
as OpenSSH does; after `stop` no thread, socket or open file of it is left.

It does not run commands (there is no remote hash: callers read back), forward ports, or take passwords.

The surprise: the requests of one channel are answered strictly one after the other and all of it is Python,
so it is a good deal slower than OpenSSH.
"""

import contextlib
import logging
import os
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from paramiko import PKey, ServerInterface, Transport
from paramiko.channel import Channel
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)
from paramiko.message import Message
from paramiko.sftp import CMD_INIT, CMD_VERSION, SFTPError
from paramiko.sftp_server import SFTPServer

from sandbox.sftp_files import Before, RootedFiles

LOG_CHANNEL = "sandbox.sftp"

# paramiko logs a traceback when a client leaves early; without a handler Python would show it to everybody.
logging.getLogger(LOG_CHANNEL).addHandler(logging.NullHandler())


class _Login(ServerInterface):
    """One connection: lets the holder of the key in, and starts SFTP on as many channels as asked for."""

    def __init__(self, root: Path, client_key: PKey, before: Before) -> None:
        self.handlers: list[threading.Thread] = []
        self._root = root
        self._client_key = client_key
        self._before = before

    def get_allowed_auths(self, _username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, _username: str, key: PKey) -> int:
        return AUTH_SUCCESSFUL if key == self._client_key else AUTH_FAILED

    def check_channel_request(self, kind: str, _number: int) -> int:
        return OPEN_SUCCEEDED if kind == "session" else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_subsystem_request(self, channel: Channel, name: str) -> bool:
        if name != "sftp":
            return False
        transport = channel.get_transport()
        handler = _Subsystem(channel, name, self, RootedFiles, self._root, self._before, transport)
        handler.start()
        self.handlers = [known for known in self.handlers if known.is_alive()] + [handler]
        return True


class _Subsystem(SFTPServer):
    """paramiko's request loop, greeting with what OpenSSH offers and without paramiko's own hash command."""

    # paramiko has no public way to change the greeting; the types package leaves these two out.
    _read_packet: Any
    _send_packet: Any

    def _send_server_version(self) -> int:
        kind, body = self._read_packet()
        if kind != CMD_INIT:
            raise SFTPError("the client did not begin with INIT")
        greeting = Message()
        greeting.add_int(3)
        greeting.add_string("posix-rename@openssh.com")
        greeting.add_string("1")
        self._send_packet(CMD_VERSION, greeting)
        return int.from_bytes(body[:4], "big")


Connection = tuple[socket.socket, Transport, _Login]


def _no_faults(_operation: str, _path: str) -> None:
    """The script of a server that behaves."""


class EmbeddedSftpServer:
    """The server of one folder on 127.0.0.1.  A context manager for one use; `port` 0 takes a free one."""

    host = "127.0.0.1"

    def __init__(
        self, root: Path, *, host_key: PKey, client_key: PKey, port: int = 0, before: Before | None = None
    ) -> None:
        self.root = Path(os.path.realpath(root))
        self.port = port
        self._host_key = host_key
        self._client_key = client_key
        self._before = before or _no_faults
        self._stopping = threading.Event()
        self._connections: list[Connection] = []
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        """Listen and answer.  Raises OSError if the port is taken."""
        self._listener = socket.create_server((self.host, self.port), backlog=128)
        self._listener.settimeout(0.1)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=f"sftp-{self.port}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port and every connection, and wait until their threads are gone."""
        self._stopping.set()
        self._thread.join()
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Drop every open connection; new ones are welcome."""
        with self._guard:
            connections, self._connections = self._connections, []
        for connection in connections:
            _close(*connection)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                self._welcome(self._listener.accept()[0])
            self._forget_the_gone()

    def _welcome(self, line: socket.socket) -> None:
        transport = Transport(line)
        transport.set_log_channel(LOG_CHANNEL)
        transport.add_server_key(self._host_key)
        login = _Login(self.root, self._client_key, self._before)
        # With an event it returns at once: a client that never speaks must not keep the others waiting.
        transport.start_server(event=threading.Event(), server=login)
        with self._guard:
            self._connections.append((line, transport, login))

    def _forget_the_gone(self) -> None:
        gone: list[Connection] = []
        here: list[Connection] = []
        with self._guard:
            for connection in self._connections:
                (here if _busy(*connection) else gone).append(connection)
            self._connections = here
        for connection in gone:
            _close(*connection)


def _busy(_line: socket.socket, transport: Transport, login: _Login) -> bool:
    return transport.is_alive() or any(handler.is_alive() for handler in login.handlers)


def _close(line: socket.socket, transport: Transport, login: _Login) -> None:
    transport.close()
    line.close()
    transport.join()
    for handler in login.handlers:
        handler.join()
