"""The config of the demo: a real file, so that everything after it is what a lab runs.

It is written anew by each run, because the servers' ports may have changed.  The rounds are walked every second
and failures are tried again at once: nobody should wait for a demo.  No secret is in it.
"""

import secrets
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from cli.first_config import quoted

if TYPE_CHECKING:
    from sandbox.box import Box
    from sandbox.globus import SandboxGlobus

_TEMPLATE = Template("""\
# Written by "alyx-transfer demo"; the next run in this folder writes it anew.

[alyx]
url = $url
user = $user
password_file = $password_file
requests_per_minute = 100000

[ledger]
url = $ledger

[journey]
lease_seconds = 15
first_wait_seconds = 1
longest_wait_seconds = 10

[schedule]
sweep_seconds = 1
scan = "every second"

[logs]
level = $level

[labs.$lab]
repository = $repository
root = $lab_root
work = "disk"
store = $store

[stores.$store]
$store_lines
""")

_SERVED = Template("""
[dashboard]
port = $port
secret_file = $secret_file
admins = [$admin]
""")

_SECOND_LAB = Template("""
[labs.$lab]
repository = $repository
root = $lab_root
work = "disk"
store = $store

[labs.$lab.guest]
timezone = "Europe/London"
bandwidth = ["mon-fri 08:00-19:00 20 MB/s", "otherwise unlimited"]

[stores.$store]
transport = "local"
root = $store_root
""")


def add_dashboard(file: Path, box: "Box", *, port: int, admin: str) -> None:
    """Let the config serve the dashboard too, with a secret in the box's own folder."""
    secret = box.root / "home" / "dashboard-secret"
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe(32), "ascii")
    said = {"port": str(port), "secret_file": quoted(str(secret)), "admin": quoted(admin)}
    _append(file, _SERVED.substitute(said))


def add_neighbour(file: Path, box: "Box") -> None:
    """Let the config know the second lab of the box."""
    from sandbox.neighbour import LAB, LAB_SERVER, STORE, Neighbour

    other = Neighbour(box, sessions=0)
    said = {
        "lab": LAB,
        "repository": LAB_SERVER,
        "lab_root": str(other.lab_root),
        "store": STORE,
        "store_root": str(other.store_root),
    }
    _append(file, _SECOND_LAB.substitute({key: quoted(value) for key, value in said.items()}))


def _append(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8") as config:
        config.write(text)


def write_config(box: "Box", *, verbose: bool) -> Path:
    """Write the config of an open box and answer its file.  `verbose` shows the whole log."""
    from sandbox.box import LAB, LAB_SERVER, STORE, USER

    said = {
        "url": box.alyx.url,
        "user": USER,
        "password_file": str(box.password_file),
        "ledger": f"sqlite:///{box.root / 'ledger.sqlite'}",
        "level": "info" if verbose else "warning",
        "lab": LAB,
        "repository": LAB_SERVER,
        "lab_root": str(box.lab_root),
        "store": STORE,
    }
    file = box.root / "config.toml"
    text = _TEMPLATE.substitute(
        {key: quoted(value) for key, value in said.items()}, store_lines=_store_lines(box)
    )
    file.write_text(text, encoding="utf-8")
    return file


def _store_lines(box: "Box") -> str:
    if box.globus is not None:
        return _globus_lines(box, box.globus)
    if box.sftp is None:
        return f'transport = "local"\nroot = {quoted(str(box.store_root))}'
    return "\n".join(
        [
            'transport = "sftp"',
            f"host = {quoted(box.sftp.host)}",
            f"port = {box.sftp.port}",
            f"user = {quoted(box.sftp.user)}",
            f"root = {quoted(box.sftp.root.as_posix())}",
            f"key = {quoted(str(box.sftp.key))}",
            f"known_hosts = {quoted(str(box.sftp.known_hosts))}",
        ]
    )


def _globus_lines(box: "Box", globus: "SandboxGlobus") -> str:
    from sandbox.box import LAB_COLLECTION, LAB_SERVER, STORE, STORE_COLLECTION

    secret = box.root / "home" / "globus-secret"
    with secret.open("w", encoding="ascii") as file:
        secret.chmod(0o600)
        file.write(globus.client_secret)
    return "\n".join(
        [
            'transport = "globus"',
            f"client_id = {quoted(globus.client_id)}",
            f"client_secret_file = {quoted(str(secret))}",
            f"collection = {quoted(STORE_COLLECTION)}",
            'root = "/"',
            "poll_seconds = 0.5",
            f"service_url = {quoted(globus.url)}",
            f"auth_url = {quoted(globus.url)}",
            f"[stores.{quoted(STORE)}.sources.{quoted(LAB_SERVER)}]",
            f"collection = {quoted(LAB_COLLECTION)}",
            'root = "/"',
        ]
    )
