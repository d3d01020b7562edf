"""The ways to the server that everybody is measured on: OpenSSH's sshd here, directly or through a delay line.

The same for all: the sandbox's sshd (see `sandbox.store`), `internal-sftp`, one cipher (the server offers no
other), one key.  The server gives its sessions an empty HOME and a short PATH, so that no shell start-up file of
the account that runs the bench is measured with each remote command: bash reads ~/.bashrc for `ssh host command`.

`Line.ssh_config` is the configuration of every client that is OpenSSH or runs it; none of the account's own files
is read.
"""

import contextlib
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox.store import SftpStore

CIPHER = "aes128-gcm@openssh.com"
ALIAS = "bench-store"
ONE_WAY_MS = 25.0
REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """How a client gets to the server."""

    host: str
    port: int
    user: str
    key: Path
    host_key: str
    known_hosts: Path
    ssh_config: Path

    @property
    def ssh(self) -> str:
        return f"ssh -F {shlex.quote(str(self.ssh_config))}"


@contextlib.contextmanager
def server(root: Path, home: Path) -> Iterator[SftpStore]:
    """An sshd that serves `root`; its files are in `home`."""
    empty = home / "empty-home"
    empty.mkdir(parents=True)
    options = (f"Ciphers {CIPHER}", f'SetEnv "HOME={empty}" PATH=/usr/bin:/bin')
    with SftpStore(root, home=home, server="sshd", options=options) as store:
        yield store


def line_to(store: SftpStore, port: int, folder: Path) -> Line:
    """A line that ends at `port`: the server's own or a delay line's."""
    folder.mkdir(parents=True)
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"[{store.host}]:{port} {store.host_key}\n")
    ssh_config = folder / "ssh_config"
    ssh_config.write_text(
        f"Host {ALIAS}\n"
        f"  HostName {store.host}\n"
        f"  Port {port}\n"
        f"  User {store.user}\n"
        f"  IdentityFile {store.key}\n"
        "  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {known_hosts}\n"
        f"  HostKeyAlias [{store.host}]:{port}\n"
        "  StrictHostKeyChecking yes\n"
        "  BatchMode yes\n"
        f"  Ciphers {CIPHER}\n"
        "  Compression no\n"
        "  ForwardAgent no\n"
    )
    return Line(
        host=store.host,
        port=port,
        user=store.user,
        key=store.key,
        host_key=store.host_key,
        known_hosts=known_hosts,
        ssh_config=ssh_config,
    )


@contextlib.contextmanager
def delayed(host: str, port: int, *, one_way_ms: float = ONE_WAY_MS) -> Iterator[int]:
    """The port of a delay line to `port`, in a process of its own that ends with the block, or with us."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.delay_line", host, str(port), "--ms", str(one_way_ms)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=clean_environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=10)


def clean_environment(home: Path | None = None) -> dict[str, str]:
    """What every measured command sees: nothing of the account's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "/usr/bin:/bin")])
    if home is not None:
        kept["HOME"] = str(home)
    return kept


def remote_command_seconds(line: Line) -> float:
    """What logging in and running nothing takes: the median of five `ssh host true`."""
    return statistics.median(_timed([*shlex.split(line.ssh), ALIAS, "true"]) for _ in range(5))


def _timed(argv: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, env=clean_environment())
    return time.perf_counter() - begun
