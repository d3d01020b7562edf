"""Somebody who looks at Alyx and at the store and does not know our ledger.

`Observer` looks all the time and measures for how long an `exists=true` stood over bytes that were not the dataset's.
A look reads the record, then the file, then the record again, and counts only what did not move meanwhile: so it
may overlook a lie that is shorter than a look, and never invents one.
"""

import hashlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from sandbox.alyx import SandboxAlyx
from tests.world import STORE

_LOOK = 0.01  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Record:
    """What Alyx says of one central file."""

    path: str
    dataset: str
    md5: str
    exists: bool

    def place(self, store: Path) -> Path:
        """Where its bytes have to stand, by the rule of the store's readers."""
        name = PurePosixPath(self.path)
        return store / name.with_name(f"{name.stem}.{self.dataset}{name.suffix}")


def central_records(alyx: SandboxAlyx) -> list[Record]:
    """Every central record, as Alyx has it now."""
    hashes = {row["id"]: row["hash"] for row in alyx.tables.rows("datasets")}
    return [
        Record(str(row["relative_path"]), str(row["dataset"]), hashes.get(row["dataset"], ""), row["exists"])
        for row in alyx.tables.file_records(STORE)
    ]


class Hashes:
    """md5 of files, computed again when inode, size or time changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int, int], str]] = {}

    def of(self, file: Path) -> str:
        """'' where there is none.  One that is replaced under our eyes is looked at again."""
        while True:
            try:
                before = _print(file)
                known = self._known.get(file)
                if known is not None and known[0] == before:
                    return known[1]
                with file.open("rb") as opened:
                    md5 = hashlib.file_digest(opened, "md5").hexdigest()
                if _print(file) == before:
                    self._known[file] = before, md5
                    return md5
            except FileNotFoundError:
                return ""


def _print(file: Path) -> tuple[int, int, int]:
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


class Observer:
    """Looks while its `with` lasts; `longest` is the longest lie so far, in milliseconds."""

    def __init__(self, alyx: SandboxAlyx, store: Path) -> None:
        self._alyx = alyx
        self._store = store
        self._hashes = Hashes()
        self._since: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="observer", daemon=True)
        self.longest = 0
        self.looks = 0
        self.failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _watch(self) -> None:
        try:
            while not self._stop.wait(_LOOK):
                self._look()
        except BaseException as error:
            self.failure = error

    def _look(self) -> None:
        before = {record for record in central_records(self._alyx) if record.exists}
        wrong = {record for record in before if self._hashes.of(record.place(self._store)) != record.md5}
        if wrong:
            wrong &= set(central_records(self._alyx))
        now = time.monotonic()
        self._since = {record.path: self._since.get(record.path, now) for record in wrong}
        for began in self._since.values():
            self.longest = max(self.longest, 1 + int((now - began) * 1000))
        self.looks += 1
