"""The config of a drill: a real file with short waits, read as a lab's is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Literal

from sandbox.box import LAB, LAB_COLLECTION, LAB_SERVER, STORE, STORE_COLLECTION, USER, Box
from sandbox.line import Line
from sandbox.store import SftpStore

TRIES = 6

_TEMPLATE = Template("""\
[alyx]
url = $url
user = $user
password_file = $password_file
requests_per_minute = 100000
[ledger]
url = $ledger
[journey]
lease_seconds = 10
tries = $tries
first_wait_seconds = 1
longest_wait_seconds = 2
[schedule]
sweep_seconds = 1
scan = "every second"
proof_files = 1000
[labs.$lab]
repository = $repository
root = $lab_root
work = "disk"
store = $store
[stores.$store]
""")


@dataclass(frozen=True, kw_only=True)
class Scenery:
    """What a drill wants to be built: the way to the store, more keys for its section, a line before Alyx.

    With `person` Globus is used in a person's name, who has to log in.
    """

    store: Literal["sftp", "local", "globus"] = "sftp"
    options: Mapping[str, object] = field(default_factory=dict)
    alyx_line: bool = False
    person: bool = False


def write_config(box: Box, alyx_url: str, store: Mapping[str, object]) -> Path:
    """Write it beside the box's other things."""
    said = {
        "url": alyx_url,
        "user": USER,
        "password_file": str(box.password_file),
        "ledger": f"sqlite:///{box.root / 'ledger' / 'ledger.sqlite'}",
        "lab": LAB,
        "repository": LAB_SERVER,
        "lab_root": str(box.lab_root),
        "store": STORE,
    }
    text = _TEMPLATE.substitute({key: _toml(value) for key, value in said.items()}, tries=TRIES)
    file = box.root / "config.toml"
    file.write_text(text + "".join(f"{key} = {_toml(value)}\n" for key, value in store.items()), "utf-8")
    return file


def sftp_keys(sftp: SftpStore, line: Line, known_hosts: Path) -> dict[str, object]:
    """The store is known by the key it was set up with; whoever answers now must show it."""
    know_host(known_hosts, line, sftp.host_key)
    return {
        "transport": "sftp",
        "host": line.host,
        "port": line.port,
        "user": sftp.user,
        "root": sftp.root.as_posix(),
        "key": str(sftp.key),
        "known_hosts": str(known_hosts),
    }


def know_host(known_hosts: Path, line: Line, key: str) -> None:
    """Let the server behind the line be known by this public key, and by no other."""
    known_hosts.write_text(f"[{line.host}]:{line.port} {key}\n", "ascii")


def globus_keys(box: Box, *, person: bool) -> dict[str, object]:
    globus = box.globus
    assert globus is not None, "a box without Globus"
    home = box.root / "home"
    keys: dict[str, object] = {
        "transport": "globus",
        "collection": STORE_COLLECTION,
        "root": "/",
        "poll_seconds": 0.3,
        "service_url": globus.url,
        "auth_url": globus.url,
        f'sources."{LAB_SERVER}".collection': LAB_COLLECTION,
        f'sources."{LAB_SERVER}".root': "/",
    }
    if person:
        own = {"login": "user", "client_id": globus.native_client_id, "token_file": str(home / "login.json")}
    else:
        secret = home / "globus-secret"
        secret.touch(mode=0o600)
        secret.write_text(globus.client_secret, "ascii")
        own = {"client_id": globus.client_id, "client_secret_file": str(secret)}
    return {**keys, **own}


def _toml(value: object) -> str:
    """A text, number or truth as TOML: JSON writes them alike, but for one character."""
    return json.dumps(value).replace("\x7f", "\\u007f")
