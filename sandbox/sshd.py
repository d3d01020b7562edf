"""OpenSSH's server with a configuration of its own, as one child process on loopback.

It runs as whoever runs us, root or not, and lets in that account's holder of the key in
`home/authorized_keys`; the machine's own sshd and its files are neither read nor touched.  Log:
`home/sshd.log`, begun anew at each start.

Promises: `__enter__` returns when *this* sshd listens; `stop` ends the listener and every session it forked;
when our process dies, even by SIGKILL, a watcher ends the listener.

The surprise: sessions detach themselves (setsid), so a signal to the process group would miss them, and they
are found by their parents in /proc instead.  Where there is no /proc they end when their clients hang up.

Known: OpenSSH from 9.8 on answers repeated bad logins from one address by refusing it for a while, loopback
too; that is switched off.
"""

import os
import re
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
"""How many ports to try before giving up: another process may take a free port before sshd does."""

PATIENCE = 20.0
"""Seconds a started sshd has to say that it listens."""


def find_sshd() -> str | None:
    """Return the absolute path of sshd, which it insists on, or None where it is not installed."""
    if os.name != "posix":
        return None
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"]
    return shutil.which("sshd", path=os.pathsep.join(places))


def configuration(home: Path, port: int, options: Sequence[str], *, penalties: bool) -> str:
    """Write sshd_config: our lines, except those whose keyword `options` names, then `options`.

    sshd believes the first line of a keyword and refuses a second `Subsystem sftp`, hence the exception.
    A `LogLevel` below INFO would hide the line that `Sshd` waits for.
    """
    ours = [
        f"ListenAddress {HOST}",
        f"Port {port}",
        f'HostKey "{home / "host_key"}"',
        f'AuthorizedKeysFile "{str(home / "authorized_keys").replace("%", "%%")}"',
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        "AllowTcpForwarding no",
        "X11Forwarding no",
        "PrintMotd no",
        "UseDNS no",
        "MaxStartups 200",
        "LogLevel INFO",
        # The account's own start-up files are not part of the sandbox: bash reads them for each command.
        f'SetEnv HOME="{home}"',
        "PidFile none",
        "Subsystem sftp internal-sftp",
        *(["PerSourcePenalties no"] if penalties else []),
    ]
    named = {option.split(maxsplit=1)[0].lower() for option in options if option.strip()}
    kept = [line for line in ours if line.split(maxsplit=1)[0].lower() not in named]
    return "\n".join([*kept, *options, ""])


class Sshd:
    """The process.  A context manager for one use; `port` 0, or one that is taken, becomes a free one."""

    def __init__(self, home: Path, *, port: int, options: Sequence[str]) -> None:
        self.port = port
        self.log = home / "sshd.log"
        self._home = home
        self._options = tuple(options)

    def __enter__(self) -> Self:
        """Start and wait until it listens.

        Raises FileNotFoundError without an sshd, RuntimeError with its log if it does not start.
        """
        binary = find_sshd()
        if binary is None:
            raise FileNotFoundError(
                'no sshd here: sandbox store. Install it ("apt-get install openssh-server").'
            )
        if os.getuid() == 0 and Path("/run").is_dir():
            # As root sshd locks its unprivileged half into this empty folder; packages make it at boot.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        penalties = _version(binary) >= (9, 8)
        for _ in range(STARTS):
            self.port = self.port or _free_port()
            config = configuration(self._home, self.port, self._options, penalties=penalties)
            (self._home / "sshd_config").write_text(config)
            with ExitStack() as undo:
                self._launch(binary)
                undo.callback(self.stop)
                if self._listens():
                    undo.pop_all()
                    return self
            if "in use" not in self._said():
                break
            self.port = 0
        raise RuntimeError(f"sshd did not start: {self._home}. It said: {self._said().strip()[-800:]}")

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

    def sessions(self) -> list[int]:
        """The processes that serve somebody now."""
        return list(_descendants(self._process.pid))

    def _launch(self, binary: str) -> None:
        # A session of its own: Ctrl-C in the terminal is for us, and we stop it when we are ready.
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [binary, "-D", "-e", "-f", str(self._home / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # Not PR_SET_PDEATHSIG: that fires when the *thread* that started sshd ends. The watcher's
        # stdin ends with our process, however it ends.
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _; kill "$1"', "sh", str(self._process.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _listens(self) -> bool:
        """Wait for its own word; that something answers on the port would not prove that it is ours."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self._process.poll() is None:
            if f"listening on {HOST} port {self.port}" in self._said():
                return True
            time.sleep(0.005)
        return False

    def _said(self) -> str:
        return self.log.read_text(errors="replace")


def _version(binary: str) -> tuple[int, int]:
    """Return OpenSSH's version.  Older ones don't know -V, and name their version while complaining."""
    answer = subprocess.run([binary, "-V"], capture_output=True, text=True, check=False)
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", answer.stderr + answer.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _descendants(pid: int) -> Iterator[int]:
    """Yield the processes that `pid` started, and theirs."""
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
