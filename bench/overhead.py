"""What the program itself costs: CPU milliseconds per file of everything except moving and hashing bytes.

The sandbox Alyx runs in a process of its own, the store is a double that moves nothing, and hashing the
lab's (tiny) files is measured apart and taken off.  Ledger: SQLite, or the database that --ledger names.

    python -m bench.overhead [--files 2000] [--sessions 10] [--ledger URL] [--json]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Self

from sandbox.sessions import SyntheticSession, write_many
from transfer.catalog.alyx import AlyxCatalog
from transfer.catalog.types import KnownTypes
from transfer.digests import digest_file
from transfer.ledger import endpoints, open_ledger
from transfer.model import Lab, SessionKey
from transfer.paths import parse_session
from transfer.runner import Runner
from transfer.transports.base import (
    Capabilities,
    Download,
    Failed,
    Got,
    Published,
    RemoteFile,
    Rename,
    Sent,
    Upload,
)

LAB, SERVER, STORE = "benchlab", "benchlab_SR", "flatiron_benchlab"


class Nowhere:
    """A store that keeps only what it was told: no byte is moved or hashed."""

    capabilities = Capabilities(
        replaces_atomically=True, remote_hash=False, hard_links=False, syncs=True, free_space=False
    )

    def __init__(self, hashes: dict[Path, str]) -> None:
        self._hashes = hashes
        self._files: dict[PurePosixPath, tuple[int, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        """Nothing is open."""

    def put(self, uploads: Iterable[Upload], _moved: Callable[[int], None]) -> Iterator[Sent | Failed]:
        for upload in uploads:
            self._files[upload.partial] = (upload.size, self._hashes[upload.source])
            yield Sent(key=upload.key, size=upload.size, md5=self._hashes[upload.source])

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        for rename in renames:
            self._files[rename.final] = self._files.pop(rename.partial)
            yield Published(key=rename.key)

    def get(self, downloads: Iterable[Download], _moved: Callable[[int], None]) -> Iterator[Got | Failed]:
        for download in downloads:
            size, md5 = self._files[download.path]
            yield Got(key=download.key, size=size, md5=md5)

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        for path in paths:
            found = self._files.get(path)
            yield RemoteFile(path=path, size=found[0], mtime_ns=0) if found else None

    def list_leftovers(self, _folders: Sequence[PurePosixPath]) -> Iterator[RemoteFile]:
        return iter(())

    def remove(self, _paths: Sequence[PurePosixPath]) -> Iterator[Failed]:
        return iter(())


def timed(run: Callable[[], Any]) -> float:
    """CPU seconds of this process, all threads."""
    begun = time.process_time()
    run()
    return time.process_time() - begun


def measure(files: int, sessions: int, ledger_url: str | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        made = write_many(
            root / "lab",
            sessions=sessions,
            files_per_session=files // sessions,
            bytes_per_file=100,
            seed=1,
            lab=LAB,
        )
        with served(root, made) as url:
            return walk(url, made, ledger_url or f"sqlite:///{root / 'ledger.sqlite'}")


class served:
    """The sandbox Alyx in a process of its own."""

    def __init__(self, root: Path, sessions: Sequence[SyntheticSession]) -> None:
        self._root, self._sessions = root, sessions

    def __enter__(self) -> str:
        seed = self._root / "seed.py"
        subjects = sorted({session.subject for session in self._sessions})
        days = [(s.subject, str(s.date), s.number) for s in self._sessions]
        seed.write_text(
            "import sys\n"
            "from sandbox.alyx import SandboxAlyx\n"
            "with SandboxAlyx() as alyx:\n"
            "    alyx.add_user('bench', password='bench')\n"
            f"    alyx.add_repository({SERVER!r}, globus_path='/lab/', personal=True)\n"
            f"    alyx.add_repository({STORE!r}, globus_path='/store/', personal=False, data_url='http://store/')\n"
            f"    alyx.add_lab({LAB!r}, repositories=[{SERVER!r}, {STORE!r}])\n"
            f"    for subject in {subjects!r}: alyx.add_subject(subject, {LAB!r})\n"
            f"    for day in {days!r}: alyx.add_session(*day)\n"
            "    print(alyx.url, flush=True)\n"
            "    sys.stdin.read()\n"
            "    for (method, path), n in sorted(alyx.requests.counter().items()): print(method, path, n)\n"
        )
        self._process = subprocess.Popen(
            [sys.executable, str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(Path(__file__).parent.parent), "PATH": ""},
        )
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __exit__(self, *_details: object) -> None:
        out, _ = self._process.communicate()
        print(out, file=sys.stderr)


def walk(url: str, made: Sequence[SyntheticSession], ledger_url: str) -> dict[str, Any]:
    lab_root = made[0].path.parents[2]
    lab = Lab(name=LAB, repository=SERVER, root=lab_root, store=STORE, work="disk")
    paths = [session.path / path for session in made for path in session.registrable]
    hashes: dict[Path, str] = {}
    hashing = timed(lambda: hashes.update((path, digest_file(path).md5) for path in paths))
    ledger = open_ledger(ledger_url)
    endpoints.ensure(ledger, [endpoints.ALYX, SERVER, STORE])
    catalog = AlyxCatalog(url, user="bench", password="bench", requests_per_minute=1_000_000)
    store = Nowhere(hashes)
    runner = Runner(
        ledger=ledger,
        catalog=catalog,
        labs=[lab],
        transports={STORE: "local"},
        open_transport=lambda _store: store,  # type: ignore[arg-type,return-value]
        types=KnownTypes(catalog),
    )
    for session in made:
        key = parse_session(PurePosixPath(*session.path.relative_to(lab_root).parts), SERVER)
        assert isinstance(key, SessionKey)
        ledger.make_due(ledger.saw_session(key, lab))
    steps: Counter[str] = Counter()
    begun = time.perf_counter()
    steps["discover and register"] = timed(lambda: _all(runner.advance_session)) - hashing  # type: ignore[assignment]
    steps["plan"] = timed(runner.plan)  # type: ignore[assignment]
    steps["push to record"] = timed(lambda: _all(runner.advance_batch))  # type: ignore[assignment]
    seconds = time.perf_counter() - begun
    catalog.close()
    ledger.engine.dispose()
    count = len(paths)
    return {
        "files": count,
        "sessions": len(made),
        "cpu_ms_per_file": round(1000 * sum(steps.values()) / count, 3),
        "steps_ms_per_file": {name: round(1000 * cpu / count, 3) for name, cpu in steps.items()},
        "hashing_ms_per_file": round(1000 * hashing / count, 3),
        "wall_seconds": round(seconds, 2),
    }


def _all(advance: Callable[[], bool]) -> None:
    while advance():
        pass


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--files", type=int, default=2000)
    arguments.add_argument("--sessions", type=int, default=10)
    arguments.add_argument("--ledger", metavar="URL")
    arguments.add_argument("--json", action="store_true")
    told = arguments.parse_args()
    found = measure(told.files, told.sessions, told.ledger)
    if told.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
