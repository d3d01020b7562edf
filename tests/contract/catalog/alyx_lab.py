"""An Alyx on loopback with one lab, and a client for it whose sleeps are counted instead of slept."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from sandbox.alyx import SandboxAlyx
from transfer.catalog.alyx import AlyxCatalog
from transfer.catalog.alyx_http import AlyxHttp
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


def new_file(path: str, *, md5: str = "a" * 32, size: int = 10, **more: object) -> NewFile:
    return NewFile(path=PurePosixPath(path), md5=md5, size=size, **more)  # type: ignore[arg-type]


def registration(*paths: str | NewFile, **more: object) -> Registration:
    files = [path if isinstance(path, NewFile) else new_file(path) for path in paths]
    told = {"repository": RIG, "lab": LAB, "session_path": PurePosixPath(SUBJECT, DAY, "001")} | more
    return Registration(files=files, **told)  # type: ignore[arg-type]
