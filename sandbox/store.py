"""A central store on this machine, reached over SFTP: the folder, the server, and the keys to it.

The server is the system's own sshd with a configuration of its own (`kind` "sshd"), or where there is none
the embedded one ("embedded", see `sftp_server`).  "auto" takes sshd if it exists and lets us in.

Promises: loopback only; login by the one key made here; the same `home` keeps both keys, and the port if it
is still free, so a `known_hosts` copied elsewhere stays true; the server ends on exit, with every session
it serves, and when this process is killed.

It does not empty the folder, ever, and it gives no user of sshd more than the account that runs it: `user` is
that account, with its own shell unless `shell` is False.

The surprise: one store per `home` at a time.
"""

import getpass
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paramiko import Ed25519Key, SSHClient, SSHException

from sandbox.sftp_files import Before
from sandbox.sftp_server import EmbeddedSftpServer
from sandbox.sshd import Sshd

HOST = "127.0.0.1"


class SftpStore:
    """The store.  A context manager for one use; every attribute below is true from `__enter__` on.

    `options` are further lines of sshd_config; one that names a keyword we set replaces our line, and a
    `Match` block may follow.  `before` scripts faults of the embedded server (see `sftp_files`).  Each needs
    its server, so with "auto" either decides.  `shell=False` leaves file transfer only, no commands.
    """

    host: str
    port: int
    user: str
    key: Path
    """The client's private key, OpenSSH format, mode 0600."""
    known_hosts: Path
    host_key: str
    """The server's public key as "ssh-ed25519 AAAA...", for pinning."""
    root: Path
    """The folder on disk, a real path: what clients ask for begins with it."""
    kind: Literal["sshd", "embedded"]

    def __init__(
        self,
        root: Path,
        *,
        home: Path,
        server: Literal["auto", "sshd", "embedded"] = "auto",
        shell: bool = True,
        options: Sequence[str] = (),
        before: Before | None = None,
    ) -> None:
        if options and (before is not None or server == "embedded"):
            raise ValueError("sshd_config options for the embedded server: sandbox store. Leave one out.")
        if before is not None and server == "sshd":
            raise ValueError('a script of faults for sshd: sandbox store. Use server="embedded".')
        self.host = HOST
        self.user = _account()
        self.root = Path(root)
        self._home = Path(home)
        self._wanted = "sshd" if options else "embedded" if before is not None else server
        self._options = tuple(options) if shell else ("ForceCommand internal-sftp", *options)
        self._before = before
        self._running = ExitStack()

    def __enter__(self) -> Self:
        """Start the server and wait until it answers.

        Raises FileNotFoundError if sshd was asked for and is not installed, RuntimeError if it won't start.
        """
        self._furnish()
        with ExitStack() as started:
            self._server = self._start(started)
            self._running = started.pop_all()
        self.port = self._server.port
        _rewrite(self._home / "port", f"{self.port}\n")
        _rewrite(self.known_hosts, f"[{HOST}]:{self.port} {self.host_key}\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def cut(self) -> None:
        """Drop every open connection, as a server that restarts does; new ones are welcome."""
        self._server.cut()

    def _furnish(self) -> None:
        """Make what is missing of folders and keys; keep what is there."""
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root.mkdir(parents=True, exist_ok=True)
        self.root = Path(os.path.realpath(self.root))
        self._home = Path(os.path.realpath(self._home))
        self.key = self._home / "client_key"
        self.known_hosts = self._home / "known_hosts"
        self._host_key = _key_pair(self._home / "host_key")
        self._client_key = _key_pair(self.key)
        self.host_key = f"ssh-ed25519 {self._host_key.get_base64()}"
        _rewrite(self._home / "authorized_keys", f"ssh-ed25519 {self._client_key.get_base64()} sandbox\n")

    def _start(self, started: ExitStack) -> Sshd | EmbeddedSftpServer:
        if self._wanted == "sshd":
            sshd: Sshd | None = started.enter_context(self._sshd())
        else:
            sshd = self._sshd_that_lets_us_in(started) if self._wanted == "auto" else None
        self.kind = "sshd" if sshd else "embedded"
        return sshd or self._embedded(started)

    def _sshd(self) -> Sshd:
        return Sshd(self._home, port=self._last_port(), options=self._options)

    def _sshd_that_lets_us_in(self, started: ExitStack) -> Sshd | None:
        """Start sshd and log in once.  None if that fails: not installed, account locked, local policy."""
        with ExitStack() as attempt, SSHClient() as client:
            try:
                sshd = attempt.enter_context(self._sshd())
                client.get_host_keys().add(f"[{HOST}]:{sshd.port}", "ssh-ed25519", self._host_key)
                client.connect(
                    HOST, sshd.port, self.user, pkey=self._client_key, look_for_keys=False, allow_agent=False
                )
            except (RuntimeError, OSError, SSHException):
                return None
            started.push(attempt.pop_all())
            return sshd

    def _embedded(self, started: ExitStack) -> EmbeddedSftpServer:
        def server(port: int) -> EmbeddedSftpServer:
            return EmbeddedSftpServer(
                self.root,
                host_key=self._host_key,
                client_key=self._client_key,
                port=port,
                before=self._before,
            )

        try:
            return started.enter_context(server(self._last_port()))
        except OSError:
            # Somebody else has our port by now; known_hosts is written anew for the next one.
            return started.enter_context(server(0))

    def _last_port(self) -> int:
        """Return the port of the last run, or 0 if there was none."""
        try:
            return int((self._home / "port").read_text())
        except (FileNotFoundError, ValueError):
            return 0


def _account() -> str:
    """Return the account that runs us, which is the only one an unprivileged sshd can serve."""
    if sys.platform == "win32":
        return getpass.getuser()
    # Not getpass: it believes LOGNAME, sshd does not.
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _key_pair(path: Path) -> Ed25519Key:
    """Return the key in `path`, made on first use (Ed25519, OpenSSH format, mode 0600)."""
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        _rewrite(path, made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode())
    return Ed25519Key.from_private_key_file(str(path))


def _rewrite(path: Path, text: str) -> None:
    """Put `text` into a file of mode 0600 in one step: a run that dies here leaves no half a key."""
    partial = path.with_name(f"{path.name}.new")
    partial.unlink(missing_ok=True)
    with open(partial, "x", encoding="ascii", opener=_private) as file:
        file.write(text)
    partial.replace(path)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
