"""A lab whose every secret is known to the test, and everything that the program says, writes and sends while it works.

Four stores: SFTP by the library (a key with a passphrase, and a password besides), SFTP by the system's ssh, FTPS,
Globus.  A PostgreSQL ledger, a Redis that asks for its password, a web server that asks for a login.
"""

import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_ssh_private_key,
)
from sqlalchemy import MetaData, create_engine, select, text

from sandbox.alyx import SandboxAlyx
from sandbox.ftp_servers import FtpStore
from sandbox.globus import Limits, SandboxGlobus
from sandbox.store import SftpStore
from sandbox.web_store import WebStore

STORES = ("library", "program", "files", "mover")

CONFIG = """
[alyx]
url = "{alyx}"
user = "rig_user"
password_file = "{home}/password"
requests_per_minute = 100000
[ledger]
url = "{ledger}"
[broker]
url = "{broker}"
[web]
server = "{web}"
user = "reader"
password = "{web_password}"
[journey]
lease_seconds = 10
first_wait_seconds = 1
longest_wait_seconds = 2
[schedule]
sweep_seconds = 1
scan = "every 2 seconds"
[logs]
level = "debug"
format = "{format}"
[stores.library]
transport = "sftp"
host = "127.0.0.1"
port = {sftp_port}
user = "{sftp_user}"
root = "{home}/stores/library"
known_hosts = "{known_hosts}"
carrier = "paramiko"
key = "{home}/locked_key"
key_passphrase = "{passphrase}"
password = "{sftp_password}"
[stores.program]
transport = "sftp"
host = "127.0.0.1"
port = {sftp_port}
user = "{sftp_user}"
root = "{home}/stores/program"
known_hosts = "{known_hosts}"
carrier = "ssh"
key = "{key}"
[stores.files]
transport = "ftp"
host = "127.0.0.1"
port = {ftp_port}
user = "{ftp_user}"
password = "{ftp_password}"
root = "{ftp_root}"
ca_file = "{ca_file}"
[stores.mover]
transport = "globus"
client_id = "{globus_client}"
client_secret = "{globus_secret}"
collection = "{globus_store}"
root = "/stores/mover"
service_url = "{globus}"
auth_url = "{globus}"
poll_seconds = 0.2
sources.mover_lab = {{ collection = "{globus_lab}", root = "/labs/moverlab/Subjects" }}
"""
LAB = """
[labs.{store}lab]
repository = "{store}_lab"
root = "{home}/labs/{store}lab/Subjects"
store = "{store}"
work = "disk"
"""


@dataclass
class Planted:
    """`secrets` are the values that must be seen nowhere, by what they are for."""

    home: Path
    alyx: SandboxAlyx
    facts: dict[str, Any]
    secrets: dict[str, str]
    redis: int
    files: list[Path] = field(default_factory=list)

    def session(self, store: str) -> Path:
        return self.home / "labs" / f"{store}lab" / "Subjects" / f"S_{store}" / "2026-03-02" / "001"

    def write(self, store: str, name: str) -> None:
        """A file of the lab's only session, and what is to arrive."""
        file = self.session(store) / "alf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(f"{name} of {store}".encode())
        self.files.append(file)

    def write_config(self, **changes: Any) -> Path:
        """The config as a file that only we may read."""
        file = self.home / "config.toml"
        file.touch(mode=0o600)
        known = {**self.facts, **changes}
        file.write_text(
            CONFIG.format(**known) + "".join(LAB.format(store=store, **known) for store in STORES)
        )
        return file

    def write_password(self, password: str) -> None:
        file = self.home / "password"
        file.touch(mode=0o600)
        file.write_text(password)

    def wrong(self) -> dict[str, Any]:
        """Secrets that are refused, planted as well: changes of `write_config`."""
        names = ("web_password", "ftp_password", "globus_secret", "passphrase", "sftp_password")
        made = {name: f"wrong-{name}-{secrets.token_hex(8)}" for name in names}
        self.secrets.update({f"wrong {name}": value for name, value in made.items()})
        self.secrets["wrong alyx"] = alyx = f"wrong-alyx-{secrets.token_hex(8)}"
        self.write_password(alyx)
        return made

    def found_in(self, text: str) -> set[str]:
        """The secrets that can be read in a text, as they are or as a URL has them."""
        return {
            name for name, value in self.secrets.items() if value in text or quote(value, safe="") in text
        }

    # ---- where to look

    def ledger_text(self) -> str:
        """Every row of every table of the ledger."""
        engine = create_engine(str(self.facts["ledger"]))
        try:
            tables = MetaData()
            tables.reflect(engine)
            with engine.connect() as connection:
                return "\n".join(
                    f"{table.name}: {tuple(row)}"
                    for table in tables.sorted_tables
                    for row in connection.execute(select(table))
                )
        finally:
            engine.dispose()

    def paused(self) -> set[str]:
        """The endpoints that wait for a person."""
        time.sleep(0.2)
        engine = create_engine(str(self.facts["ledger"]))
        try:
            with engine.connect() as connection:
                found = connection.execute(text("SELECT name FROM endpoints WHERE paused_by IS NOT NULL"))
                return {row.name for row in found}
        finally:
            engine.dispose()

    def alyx_text(self) -> str:
        """Every row of Alyx, but its own accounts."""
        tables = [table for table in self.alyx._store.tables if table not in ACCOUNTS]
        return json.dumps({table: self.alyx.tables.rows(table) for table in tables}, default=str)

    def announced(self) -> int:
        return sum(row["exists"] for store in STORES for row in self.alyx.tables.file_records(store))

    def files_text(self, *folders: Path) -> str:
        """The name and the content of every file that was left."""
        return "\n".join(
            f"{file}: {file.read_bytes().decode(errors='replace')}"
            for folder in folders
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        )


ACCOUNTS = ("users", "auth-token")


@contextmanager
def planted(home: Path, ledger: str, redis: str, *, log_format: str = "json") -> Iterator[Planted]:
    """Everything runs while the `with` lasts."""
    for store in STORES:
        (home / "stores" / store).mkdir(parents=True)
    plant = {
        name: f"plant-{name}-{secrets.token_hex(8)}" for name in ("alyx", "ledger", "broker", "passphrase")
    }
    plant |= {name: f"plant-{name}+{secrets.token_hex(8)}" for name in ("sftp_password", "web_password")}
    with ExitStack() as running:
        alyx = running.enter_context(SandboxAlyx())
        sftp = running.enter_context(SftpStore(home / "stores", home=home / "sftp", server="sshd"))
        ftp = running.enter_context(FtpStore(home / "ftp", server="pyftpdlib"))
        globus = running.enter_context(SandboxGlobus(limits=Limits(retry_pause=0.01)))
        web = running.enter_context(WebStore(home / "stores", user="reader", password=plant["web_password"]))
        port = int(redis.rpartition(":")[2].split("/")[0])
        assert _asks(port, f"CONFIG SET requirepass {plant['broker']}")
        _lock_key(sftp.key, home / "locked_key", plant["passphrase"])
        facts = {
            "home": home,
            "alyx": alyx.url,
            "ledger": ledger.replace("postgres@", f"postgres:{plant['ledger']}@"),
            "broker": f"redis://:{plant['broker']}@127.0.0.1:{port}/0",
            "web": web.url.rstrip("/"),
            "web_password": plant["web_password"],
            "passphrase": plant["passphrase"],
            "sftp_password": plant["sftp_password"],
            "sftp_port": sftp.port,
            "sftp_user": sftp.user,
            "known_hosts": sftp.known_hosts,
            "key": sftp.key,
            "ftp_port": ftp.port,
            "ftp_user": ftp.user,
            "ftp_password": ftp.password,
            "ftp_root": ftp.remote_root,
            "ca_file": ftp.authority,
            "globus": globus.url,
            "globus_client": globus.client_id,
            "globus_secret": globus.client_secret,
            "globus_lab": globus.add_collection("lab", home, "personal"),
            "globus_store": globus.add_collection("store", home, "guest"),
            "format": log_format,
        }
        secret = plant | {"ftp": ftp.password, "globus": globus.client_secret}
        made = Planted(home=home, alyx=alyx, facts=facts, secrets=secret, redis=port)
        alyx.add_user("rig_user", password=plant["alyx"])
        for store in STORES:
            _furnish(made, store, web.url)
        made.write_password(plant["alyx"])
        yield made


def _furnish(planted: Planted, store: str, web: str) -> None:
    alyx, lab = planted.alyx, f"{store}lab"
    alyx.add_repository(f"{store}_lab", globus_path="/lab/", personal=True, hostname=f"{lab}.lab.invalid")
    alyx.add_repository(store, globus_path=f"/{store}/", personal=False, data_url=f"{web}{store}/")
    alyx.add_lab(lab, repositories=[f"{store}_lab", store])
    alyx.add_subject(f"S_{store}", lab)
    alyx.add_session(f"S_{store}", "2026-03-02", 1)
    for name in ("spikes.times.npy", "spikes.clusters.npy"):
        planted.write(store, name)
    (planted.session(store) / "raw_session.flag").touch()


def _lock_key(key: Path, locked: Path, passphrase: str) -> None:
    opened: Any = load_ssh_private_key(key.read_bytes(), None)
    locked.touch(mode=0o600)
    locked.write_bytes(
        opened.private_bytes(
            Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(passphrase.encode())
        )
    )


def _asks(port: int, command: str) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
        line.sendall(command.encode() + b"\r\n")
        return line.recv(64).startswith(b"+OK")


class Listening:
    """Every command that reaches the Redis, as its MONITOR tells them."""

    def __init__(self, port: int, password: str) -> None:
        self._heard = bytearray()
        self._line = socket.create_connection(("127.0.0.1", port))
        self._line.sendall(f"AUTH {password}\r\nMONITOR\r\n".encode())
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "Listening":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._line.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._line.close()

    def _listen(self) -> None:
        while piece := self._line.recv(65536):
            self._heard += piece

    @property
    def heard(self) -> str:
        return self._heard.decode(errors="replace")


class Watching:
    """The command lines of a process and its children, and the children's environments, while it is entered."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watching":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    @property
    def seen(self) -> str:
        return "\n".join(sorted(self._seen))

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            for pid in _family(self._pid):
                words = _proc(pid, "cmdline")
                self._seen.add(f"cmdline {words}")
                # A child that is still a copy of its parent has not become another program yet.
                if words and words != _proc(self._pid, "cmdline"):
                    self._seen.add(f"environ of {words}: {_proc(pid, 'environ')}")


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _family(int(child))


def _proc(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


_SSH = """#!/bin/sh
printf '%s ' "environ of ssh" "$@" >> {log}
env | tr '\\n' ' ' >> {log}
exec {ssh} "$@"
"""


def witness(ssh: str, home: Path) -> Path:
    """A folder with an `ssh` that writes down how it was called before it becomes the real one."""
    log, folder = home / "processes.log", home / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(_SSH.format(log=log, ssh=ssh))
    (folder / "ssh").chmod(0o755)
    return folder


def clean_environment(home: Path) -> dict[str, str]:
    """An account of its own: its home, its temporary folder, nothing of this installation's."""
    (home / "account" / "tmp").mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not re.match("ALYX_TRANSFER_|XDG_", name)}
    ours = {"HOME": str(home / "account"), "TMPDIR": str(home / "account" / "tmp")}
    return kept | ours | {"PATH": f"{home / 'bin'}{os.pathsep}{kept['PATH']}"}
