"""vsftpd with a configuration of its own, on loopback: the strictest server there is for encrypted FTP.

It wants each data connection to resume the control connection's TLS session (`require_ssl_reuse`), and each
upload to end with a farewell in TLS (`strict_ssl_read_eof`).  It has no MLSD, no MFMT and no hash command.

The login is its "anonymous" one with a list of passwords, the only one that touches no account of the
machine.  Run as root it serves as the user `ftp` (or `daemon`), shut into `chroot`; run as anybody else it
serves as that user and shuts nobody in.

Promises: `__enter__` returns when *this* vsftpd answers; leaving ends it and every session it forked; when our
process dies, even by SIGKILL, a watcher ends the listener.
"""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
STARTS = 5
"""How many ports to try before giving up: another process may take a free port before vsftpd does."""

PATIENCE = 20.0
"""Seconds a started vsftpd has to greet."""


def find_vsftpd() -> str | None:
    """The path of vsftpd, None where it is not installed."""
    if os.name != "posix":
        return None
    return shutil.which("vsftpd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))


class Vsftpd:
    """The process.  A context manager for one use.

    `root` is a folder inside the folder `chroot`.  `tls` is "explicit", "implicit" or "none".  A line of
    `options` that names a setting of ours replaces it.
    """

    user = "ftp"

    def __init__(
        self, home: Path, *, root: Path, password: str, certificate: Path, tls: str, options: Sequence[str]
    ) -> None:
        self._home = home
        self._root = root
        self._password = password
        self._certificate = certificate
        self._tls = tls
        self._options = tuple(options)
        self._jailed = os.name == "posix" and os.getuid() == 0
        self.port = 0
        self.remote_root = f"/{root.name}" if self._jailed else str(root)

    def __enter__(self) -> Self:
        """Raises FileNotFoundError without a vsftpd, RuntimeError with what it said if it does not start."""
        binary = find_vsftpd()
        if binary is None:
            raise FileNotFoundError('no vsftpd here: sandbox FTP. Install it ("apt-get install vsftpd").')
        self._furnish()
        for _ in range(STARTS):
            self.port = _free_port()
            banner = secrets.token_hex(8)
            config = self._home / "vsftpd.conf"
            config.write_text("\n".join([*self._settings(banner), ""]))
            config.chmod(0o600)
            with ExitStack() as undo:
                self._launch(binary, config)
                undo.callback(self.stop)
                if self._greets(banner):
                    undo.pop_all()
                    return self
        raise RuntimeError(f"vsftpd did not start: {self._home}. It said: {self._said().strip()[-800:]}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the listener and all its sessions, and wait for it."""
        if self._process.poll() is None:
            # Stopped, it cannot fork one more session while we look for them.
            self._process.send_signal(signal.SIGSTOP)
            self.cut()
            self._process.kill()
        self._process.wait()
        self._watcher.kill()
        self._watcher.communicate()

    def cut(self) -> None:
        """Kill the sessions of this moment; the listener goes on."""
        for pid in list(_descendants(self._process.pid)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _furnish(self) -> None:
        (self._home / "empty").mkdir(exist_ok=True)
        passwords = self._home / "passwords"
        passwords.write_text(f"{self._password}\n")
        passwords.chmod(0o600)
        self._account = _account() if self._jailed else getpass.getuser()
        if self._jailed:
            shutil.chown(self._root, self._account)

    def _settings(self, banner: str) -> list[str]:
        ours = {
            "listen": "YES",
            "listen_address": HOST,
            "listen_port": str(self.port),
            "background": "NO",
            "ftpd_banner": banner,
            "anonymous_enable": "YES",
            "local_enable": "NO",
            "ftp_username": self._account,
            "nopriv_user": self._account,
            "anon_root": str(self._root.parent),
            "secure_email_list_enable": "YES",
            "email_password_file": str(self._home / "passwords"),
            "write_enable": "YES",
            "anon_upload_enable": "YES",
            "anon_mkdir_write_enable": "YES",
            "anon_other_write_enable": "YES",
            "anon_world_readable_only": "NO",
            "anon_umask": "022",
            "secure_chroot_dir": str(self._home / "empty"),
            # Its system call filter is older than the C library it runs on, and kills sessions in containers.
            "seccomp_sandbox": "NO",
            "run_as_launching_user": "NO" if self._jailed else "YES",
            "xferlog_enable": "NO",
            **self._encryption(),
        }
        named = {option.partition("=")[0] for option in self._options}
        return [f"{name}={value}" for name, value in ours.items() if name not in named] + [*self._options]

    def _encryption(self) -> dict[str, str]:
        if self._tls == "none":
            return {"ssl_enable": "NO"}
        return {
            "ssl_enable": "YES",
            "implicit_ssl": "YES" if self._tls == "implicit" else "NO",
            "allow_anon_ssl": "YES",
            "force_anon_logins_ssl": "YES",
            "force_anon_data_ssl": "YES",
            "require_ssl_reuse": "YES",
            "strict_ssl_read_eof": "YES",
            "ssl_ciphers": "HIGH",
            "rsa_cert_file": str(self._certificate),
        }

    def _launch(self, binary: str, config: Path) -> None:
        # A session of its own: Ctrl-C in the terminal is for us, and we stop it when we are ready.
        with (self._home / "vsftpd.said").open("wb") as said:
            self._process = subprocess.Popen(
                [binary, str(config)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        # Its stdin ends with our process, however that ends.
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _; kill "$1"', "sh", str(self._process.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _greets(self, banner: str) -> bool:
        """Wait until it answers, with its own banner: the port might be somebody else's."""
        until = time.monotonic() + PATIENCE
        greeted = False
        while time.monotonic() < until and self._process.poll() is None:
            try:
                greeted = greeted or self._answers(banner)
            except OSError:
                time.sleep(0.01)
            # Our own look must have ended, or it counts among the clients the server allows.
            if greeted and not list(_descendants(self._process.pid)):
                return True
        return False

    def _answers(self, banner: str) -> bool:
        with socket.create_connection((HOST, self.port), 5.0) as line:
            # With TLS from the first byte there is no banner to see.
            return self._tls == "implicit" or banner.encode() in line.recv(1000)

    def _said(self) -> str:
        return (self._home / "vsftpd.said").read_text(errors="replace")


def _account() -> str:
    """An unprivileged account whose home exists: vsftpd visits it before it goes where we tell it."""
    for name in ("ftp", "daemon", "bin"):
        # Not Path.expanduser: that raises for an account that does not exist.
        if os.path.isdir(os.path.expanduser(f"~{name}")):  # noqa: PTH111, PTH112
            return name
    raise RuntimeError('no account "ftp", "daemon" or "bin" with a home: sandbox FTP. Create one.')


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _descendants(pid: int) -> Iterator[int]:
    """The processes that `pid` started, and theirs."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in brackets may hold anything; what follows the last bracket is: state, parent.
            parent = int(entry.read_text(errors="replace").rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(entry.parent.name))
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            yield child
            waiting.append(child)
