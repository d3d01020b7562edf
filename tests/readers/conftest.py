"""A lab whose files were pushed by us, its Alyx, the store behind a web server, and the real ONE-api as the reader."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandbox.web_store import WebStore
from tests.parity.conftest import _python
from tests.world import DAY, LAB, STORE, SUBJECT, World, world
from transfer.runner import Runner

SUBJECTS = f"{LAB}/Subjects/"
WEB_USER, WEB_PASSWORD = "iblmember", "webpassword"


class Reader:
    """The real ONE-api in a process of its own; each method of `reader_child.py` is called by name."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, function: str, **told: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([function, told]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process with ONE-api has ended"
        return json.loads(line)


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    home = tmp_path_factory.mktemp("home")  # ONE keeps its parameters there
    command = [_python(), "-I", str(Path(__file__).with_name("reader_child.py"))]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"HOME": str(home), "PATH": ""}
    )
    with process:
        yield Reader(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=30)


@dataclass
class Readers:
    """The lab, its web server and a client of ONE with an empty cache."""

    box: World
    web: WebStore
    reader: Reader
    runner: Runner
    clients: int = 0
    session: Path = field(default_factory=Path)

    # ---- the lab

    def array(self, path: str, values: list[float]) -> Path:
        """Write an array into the session."""
        file = self.session / path
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.asarray(values))
        return file

    def push(self) -> None:
        """Let the workers bring the session to the store."""
        self.box.see(self.runner, self.session)
        self.box.settle(self.runner)

    @property
    def eid(self) -> str:
        (row,) = self.box.alyx.tables.sessions(SUBJECT)
        return str(row["id"])

    def stored(self, path: str) -> Path:
        return self.box.stored(f"{SUBJECT}/{DAY.isoformat()}/001/{path}")

    # ---- the reader

    def client(self, name: str = "one", **more: Any) -> str:
        """Open a client of ONE with a cache of its own; answers its name."""
        cache = self.box.root / "caches" / name
        cache.mkdir(parents=True, exist_ok=True)
        told = {
            "base_url": self.box.alyx.url,
            "username": "rig_user",
            "password": "secret",
            "cache_dir": str(cache),
            "cache_rest": None,
            "web": {
                "HTTP_DATA_SERVER": self.web.url.removesuffix(f"/{SUBJECTS}"),
                "HTTP_DATA_SERVER_LOGIN": WEB_USER,
                "HTTP_DATA_SERVER_PWD": WEB_PASSWORD,
            },
        }
        found = self.reader.ask("open_client", client=name, **(told | more))
        assert isinstance(found, str), found
        return name

    def listed(self, client: str, **more: Any) -> list[str]:
        return list(self.reader.ask("list_datasets", client=client, eid=self.eid, **more))

    def load(self, client: str, name: str, **more: Any) -> Any:
        return self.reader.ask("load_dataset", client=client, eid=self.eid, name=name, **more)


@pytest.fixture
def readers(tmp_path: Path, reader: Reader) -> Iterator[Readers]:
    with (
        world(tmp_path) as box,
        WebStore(box.store, user=WEB_USER, password=WEB_PASSWORD, prefix=SUBJECTS) as web,
    ):
        box.alyx.set_data_url(STORE, web.url)
        made = Readers(box=box, web=web, reader=reader, runner=box.runner())
        made.session = box.session()
        yield made
