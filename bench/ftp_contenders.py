"""Who takes part over FTP with TLS, against vsftpd as its packages configure it (`require_ssl_reuse`).

vsftpd hashes nothing, so nobody can verify but by reading back: ours does; for rclone that is `rclone check
--download` after the copy.
"""

import subprocess

from bench.contenders import LFTP, PARALLEL, RCLONE, Contender, Task, ours, rclone
from bench.lines import clean_environment
from bench.machine import installed
from bench.processes import Step
from sandbox.ftp_servers import FtpStore

RCLONE_CHECK = f"{RCLONE} + check"


def over_ftps(store: FtpStore) -> tuple[list[Contender], dict[str, str]]:
    """The contenders, and the secrets that no report may show."""
    options: dict[str, object] = {
        "host": store.host,
        "port": store.port,
        "user": store.user,
        "password": store.password,
        "ca_file": str(store.authority),
        "tls": "explicit",
    }
    obscured = _obscured(store.password)
    flags = _rclone_flags(store, obscured)
    who = [
        ours("ftp", options, verifies="md5, read back"),
        Contender(
            name=RCLONE_CHECK,
            verifies="second pass, everything read back",
            program="rclone",
            steps=lambda task: [
                rclone("copy", task.source, f":ftp:{task.remote}", flags),
                rclone("check", task.source, f":ftp:{task.remote}", ["--download", "--one-way", *flags]),
            ],
        ),
        Contender(
            name=RCLONE,
            verifies="",
            program="rclone",
            steps=lambda task: [rclone("copy", task.source, f":ftp:{task.remote}", flags)],
        ),
        Contender(name=LFTP, verifies="", program="lftp", steps=lambda task: [_lftp(store, task)]),
    ]
    return who, {store.password: "PASSWORD", obscured: "PASSWORD"}


def _obscured(password: str) -> str:
    """As rclone wants a password on its command line."""
    if not installed("rclone"):
        return "rclone is not installed"
    said = subprocess.run(
        ["rclone", "obscure", password], capture_output=True, text=True, check=True, env=clean_environment()
    )
    return said.stdout.strip()


def _rclone_flags(store: FtpStore, obscured: str) -> list[str]:
    return [
        f"--ftp-host={store.host}",
        f"--ftp-port={store.port}",
        f"--ftp-user={store.user}",
        f"--ftp-pass={obscured}",
        "--ftp-explicit-tls",
        # With TLS 1.3 this vsftpd cuts rclone's uploads short and says so (426): its upload would not end at all.
        "--ftp-disable-tls13",
        f"--ca-cert={store.authority}",
        # Its documentation: one more than transfers and checkers together, or it may wait for itself.
        f"--ftp-concurrency={2 * PARALLEL + 1}",
    ]


def _lftp(store: FtpStore, task: Task) -> Step:
    commands = [
        f"set ssl:ca-file {store.authority}",
        "set ssl:verify-certificate true",
        "set ftp:ssl-force true",
        "set ftp:ssl-protect-data true",
        "set ftp:sync-mode false",
        "set cmd:fail-exit true",
        f"open -u {store.user},{store.password} -p {store.port} ftp://{store.host}",
        f"mirror -R --parallel={PARALLEL} {task.source} {task.remote}",
    ]
    return Step(argv=["lftp", "--norc", "-c", "; ".join(commands)])
