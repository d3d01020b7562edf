"""What a round is played on: servers that lead to a store, and for each round a lab, its Alyx and a config file.

The servers of a stage are shared by its rounds; each round has a folder of the store to itself.  Everything is
on this machine and ends with its `with`.
"""

import os
import random
import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import httpx2

from sandbox.alyx import SandboxAlyx
from sandbox.ftp_servers import FtpStore
from sandbox.ftp_servers_vsftpd import find_vsftpd
from sandbox.globus import Limits, SandboxGlobus
from sandbox.store import SftpStore
from tests.world import LAB, LAB_SERVER, STORE, md5
from transfer.ledger import open_ledger

Transport = Literal["sftp", "ftp", "local", "globus"]
TRANSPORTS: tuple[Transport, ...] = get_args(Transport)

SUBJECT, DAY = "KS023", "2019-12-10"
SESSION = f"{SUBJECT}/{DAY}/001"
LARGE = 5 * 1024 * 1024
SIZES = {
    "alf/probe00/spikes.times.npy": LARGE,
    "alf/probe00/spikes.clusters.npy": 40_000,
    "alf/probe00/spikes.amps.npy": 0,
    "alf/probe00/spikes.depths.npy": 1,
    "alf/probe01/clusters.amps.npy": 4096,
    "alf/probe01/clusters.depths.npy": 70_000,
    "alf/probe01/clusters.channels.npy": 33_000,
}
_LONG_AGO = 1_575_979_200

_CONFIG = """\
[alyx]
url = "{alyx}"
user = "rig_user"
password_file = "{folder}/password"
requests_per_minute = 100000
[ledger]
url = "sqlite:///{folder}/ledger.sqlite"
min_free = 0
[journey]
batch_files = 4
first_wait_seconds = 1
longest_wait_seconds = 1
[schedule]
sweep_seconds = 1
scan = "every second"
[logs]
format = "text"
[labs.{lab}]
repository = "{server}"
root = "{lab_root}"
store = "{store}"
work = "disk"
[stores.{store}]
"""


@dataclass
class Scene:
    """One round's lab."""

    folder: Path
    store: Path
    """The store's root on our disk."""
    alyx: SandboxAlyx
    globus: SandboxGlobus | None = None
    files: dict[str, str] = field(default_factory=dict)
    """What the lab's files hold now: md5 by path below the lab's root."""

    @property
    def lab_root(self) -> Path:
        return self.folder / "lab"

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def furnish(self, chance: random.Random) -> None:
        """Write a session and tell Alyx of it."""
        alyx = self.alyx
        alyx.add_user("rig_user", password="secret")
        alyx.add_user("other_tool", password="secret")
        alyx.add_repository(LAB_SERVER, globus_path="/lab/", personal=True)
        alyx.add_repository(STORE, globus_path="/store/", personal=False)
        alyx.add_lab(LAB, repositories=[LAB_SERVER, STORE])
        alyx.add_subject(SUBJECT, LAB)
        alyx.add_session(SUBJECT, DAY, 1)
        for name, size in SIZES.items():
            self._write(f"{SESSION}/{name}", chance.randbytes(size), time=_LONG_AGO)
        (self.lab_root / SESSION / "raw_session.flag").touch()

    def registered(self, paths: Collection[str]) -> bool:
        """Whether Alyx knows a central record for each: only then may another client register them again."""
        return set(paths) <= {row["relative_path"] for row in self.alyx.tables.file_records(STORE)}

    def patch(self, paths: Sequence[str], chance: random.Random) -> None:
        """Another client replaces lab files, each atomically, and registers what they hold now."""
        for path in paths:
            size = chance.choice([(self.lab_root / path).stat().st_size, 50_001])
            self._write(path, chance.randbytes(size or 3))
        answer = httpx2.post(
            f"{self.alyx.url}/register-file",
            headers={"Authorization": f"Token {self.alyx.token_for('other_tool')}"},
            json={
                "created_by": "other_tool",
                "path": SESSION,
                "filenames": [path.removeprefix(f"{SESSION}/") for path in paths],
                "hashes": [self.files[path] for path in paths],
                "filesizes": [(self.lab_root / path).stat().st_size for path in paths],
                "versions": [None for _ in paths],
                "name": LAB_SERVER,
                "labs": [LAB],
            },
            timeout=60,
        )
        assert answer.status_code == 201, answer.text

    def _write(self, path: str, content: bytes, *, time: float | None = None) -> None:
        file = self.lab_root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f"{file.name}.new.flag")
        beside.write_bytes(content)
        if time is not None:
            os.utime(beside, (time, time))
        beside.replace(file)
        self.files[path] = md5(content)

    def write_config(self, store_lines: str) -> None:
        for name, text in (("password", "secret"), ("config.toml", self._config() + store_lines)):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o600)

    def _config(self) -> str:
        return _CONFIG.format(
            alyx=self.alyx.url,
            folder=self.folder,
            lab=LAB,
            server=LAB_SERVER,
            lab_root=self.lab_root,
            store=STORE,
        )


class Stage:
    """The way to a store, for as long as the `with` lasts."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._open = ExitStack()

    def __enter__(self) -> "Stage":
        memory = Path("/dev/shm")
        where = memory if memory.is_dir() else None
        self._root = Path(tempfile.mkdtemp(prefix="crash-", dir=where))
        self._root.chmod(0o755)
        self._open.callback(shutil.rmtree, self._root, ignore_errors=True)
        self._sftp = self._ftp = None
        if self.transport == "sftp":
            self._sftp = self._open.enter_context(
                SftpStore(self._root / "store", home=self._root / "home", server="sshd")
            )
        if self.transport == "ftp":
            server: Literal["vsftpd", "pyftpdlib"] = "vsftpd" if find_vsftpd() else "pyftpdlib"
            self._ftp = self._open.enter_context(FtpStore(self._root / "home", server=server))
        # Made once and copied: the migrations are the same every time, and take most of a worker's start.
        self._ledger = self._root / "ledger.sqlite"
        open_ledger(f"sqlite:///{self._ledger}").engine.dispose()
        return self

    def __exit__(self, *_details: object) -> None:
        self._open.close()

    @contextmanager
    def scene(self, seed: int) -> Iterator[Scene]:
        """A fresh lab, store folder, Alyx and config."""
        name = f"round-{secrets.token_hex(4)}"
        folder = self._root / name
        folder.mkdir()
        store = self._store_root() / name
        store.mkdir(parents=True)
        shutil.copystat(self._store_root(), store)
        own = self._store_root().stat()
        os.chown(store, own.st_uid, own.st_gid)
        with ExitStack() as opened:
            opened.callback(shutil.rmtree, folder, ignore_errors=True)
            opened.callback(shutil.rmtree, store, ignore_errors=True)
            scene = Scene(folder, store, opened.enter_context(SandboxAlyx()))
            if self.transport == "globus":
                limits = Limits(retry_pause=0.01)
                scene.globus = opened.enter_context(SandboxGlobus(limits=limits))
            scene.furnish(random.Random(seed))
            scene.write_config(self._store_lines(scene, name))
            shutil.copy(self._ledger, folder)
            yield scene

    def _store_root(self) -> Path:
        if self._sftp is not None:
            return self._sftp.root
        return self._ftp.root if self._ftp is not None else self._root / "stores"

    def _store_lines(self, scene: Scene, name: str) -> str:
        if self._sftp is not None:
            return _sftp_lines(self._sftp, name)
        if self._ftp is not None:
            return _ftp_lines(self._ftp, name)
        if scene.globus is not None:
            return _globus_lines(scene, scene.globus)
        return f'transport = "local"\nroot = "{scene.store}"\n'


def _sftp_lines(store: SftpStore, name: str) -> str:
    return (
        f'transport = "sftp"\nhost = "{store.host}"\nport = {store.port}\nuser = "{store.user}"\n'
        f'root = "{store.root}/{name}"\nkey = "{store.key}"\nknown_hosts = "{store.known_hosts}"\n'
        "connections = 2\n"
    )


def _ftp_lines(store: FtpStore, name: str) -> str:
    return (
        f'transport = "ftp"\nhost = "{store.host}"\nport = {store.port}\nuser = "{store.user}"\n'
        f'password = "{store.password}"\nroot = "{store.remote_root.rstrip("/")}/{name}"\n'
        f'tls = "explicit"\nca_file = "{store.authority}"\nconnections = 2\n'
    )


def _globus_lines(scene: Scene, globus: SandboxGlobus) -> str:
    lab = globus.add_collection("lab", scene.lab_root, "personal")
    store = globus.add_collection("store", scene.store, "guest")
    secret = scene.folder / "globus-secret"
    secret.write_text(globus.client_secret)
    secret.chmod(0o600)
    return (
        f'transport = "globus"\nclient_id = "{globus.client_id}"\nclient_secret_file = "{secret}"\n'
        f'collection = "{store}"\nroot = "/"\npoll_seconds = 0.2\nbatch_files = 4\n'
        f'service_url = "{globus.url}"\nauth_url = "{globus.url}"\n'
        f'[stores.{STORE}.sources.{LAB_SERVER}]\ncollection = "{lab}"\nroot = "/"\n'
    )


def missing(transport: Transport) -> str | None:
    """What this machine lacks for the transport, as a sentence; None when nothing."""
    if transport == "sftp" and shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        return "no sshd: apt-get install openssh-server"
    if transport == "ftp" and not (find_vsftpd() or all(map(find_spec, ("pyftpdlib", "OpenSSL")))):
        return "no FTP server: apt-get install vsftpd"
    return None
