"""An observer beside the work: is anything announced whose bytes are not at the store?

It reads the sandbox Alyx's tables and the store's disk many times a second and knows nothing of the ledger.  What it
sees twice in a row counts, so that a look between two writes raises no false alarm; what is over between
two looks it does not see.
"""

import hashlib
import threading
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

from sandbox.box import STORE, Box

_EVERY = 0.05  # seconds
_PIECE = 1 << 20


class Watch:
    """Looks while its `with` lasts.  `lies` are sentences, each file once."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._suspects: frozenset[str] = frozenset()
        self._known: dict[Path, tuple[tuple[int, int, int], str]] = {}
        self.lies: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            self.look()

    def look(self) -> None:
        """Look once."""
        datasets = {row["id"]: row for row in self._box.alyx.tables.datasets()}
        records = self._box.alyx.tables.file_records(STORE)
        wrong = {
            row["relative_path"]
            for row in records
            if row["exists"] and self._md5(row) != datasets.get(row["dataset"], {}).get("hash")
        }
        for path in wrong & self._suspects:
            self.lies[path] = f"{path}: Alyx announced it while the store did not hold those bytes"
        self._suspects = frozenset(wrong)

    def _md5(self, record: dict[str, Any]) -> str | None:
        """What stands under the record's final name, None where nothing does."""
        path = PurePosixPath(record["relative_path"])
        place = self._box.store_root / path.with_name(f"{path.stem}.{record['dataset']}{path.suffix}")
        try:
            facts = place.stat()
            seen = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
            if place not in self._known or self._known[place][0] != seen:
                self._known[place] = (seen, _md5_of(place))
        except FileNotFoundError:
            return None
        return self._known[place][1]


def _md5_of(place: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with place.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
