"""An Alyx on loopback with one lab, and a client for it whose sleeps are counted instead of slept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import PurePosixPath

import pytest
from sandbox.alyx import SandboxAlyx

from transfer.catalog.alyx import AlyxCatalog
from transfer.catalog.alyx_http import AlyxHttp, Patience
from transfer.catalog.base import NewFile, Registration

USER, PASSWORD = "rig_user", "open-sesame-4711"
LAB, RIG, STORE = "cortexlab", "cortexlab_SR", "flatiron_cortexlab"
SUBJECT, DAY = "KS023", "2019-12-10"


@dataclass
class Rig:
    """The sandbox, its one session, and a way to clients."""

    alyx: SandboxAlyx
    eid: str
    slept: list[float] = field(default_factory=list)
    opened: list[AlyxCatalog] = field(default_factory=list)

    def client(self, **how: object) -> AlyxCatalog:
        how = {"user": USER, "password": PASSWORD, "sleep": self.slept.append} | how
        http = AlyxHttp(self.alyx.url, **how)  # type: ignore[arg-type]
        catalog = AlyxCatalog(self.alyx.url, user=USER, http=http)
        self.opened.append(catalog)
        return catalog


@pytest.fixture
def rig() -> Iterator[Rig]:
    with SandboxAlyx() as alyx:
        alyx.add_user(USER, password=PASSWORD)
        alyx.add_repository(RIG, globus_path="/mnt/s0/Data/Subjects/", personal=True)
        alyx.add_repository(STORE, globus_path=f"/{LAB}/Subjects/", data_url="http://127.0.0.1/x/")
        alyx.add_lab(LAB, repositories=[RIG, STORE])
        alyx.add_subject(SUBJECT, lab=LAB)
        eid = alyx.add_session(SUBJECT, DAY, 1, users=[USER])
        rig = Rig(alyx, eid)
        yield rig
        for catalog in rig.opened:
            catalog.close()


@pytest.fixture
def catalog(rig: Rig) -> AlyxCatalog:
    return rig.client()


@pytest.fixture
def impatient(rig: Rig) -> AlyxCatalog:
    """Tries once."""
    return rig.client(patience=Patience(tries=1, longest_wait=timedelta(0)))


def new_file(path: str, *, md5: str = "a" * 32, size: int = 10, **more: object) -> NewFile:
    return NewFile(path=PurePosixPath(path), md5=md5, size=size, **more)  # type: ignore[arg-type]


def registration(*paths: str | NewFile, **more: object) -> Registration:
    files = [path if isinstance(path, NewFile) else new_file(path) for path in paths]
    told = {"repository": RIG, "lab": LAB, "session_path": PurePosixPath(SUBJECT, DAY, "001")} | more
    return Registration(files=files, **told)  # type: ignore[arg-type]


Register = Callable[..., Registration]
