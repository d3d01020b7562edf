"""The folders a batch writes to: made where they are missing, below the root, and never the root itself."""

import contextlib
import threading
from pathlib import PurePosixPath

from transfer.transports.ftp.line import Line, Refusal
from transfer.transports.ftp.store import HERE, Store


class Folders:
    """The folders of one batch: each is asked for once, and made only if it is not there."""

    def __init__(self, store: Store, *, mode: int | None) -> None:
        self._store = store
        self._mode = mode
        self._known = {HERE}
        self._lock = threading.Lock()

    def ensure(self, line: Line, folder: PurePosixPath) -> None:
        """Make `folder` and what is missing above it, below the root.  Raises `TransferError`."""
        # One at a time: two hands that miss the same folder would both make it.
        with self._lock:
            self._ensure(line, folder)

    def _ensure(self, line: Line, folder: PurePosixPath) -> None:
        if folder in self._known:
            return
        place = self._store.place(folder)
        if not _enter(line, place):
            self._ensure(line, folder.parent)
            if folder.parent == HERE:
                self._store.require_root(line)
            self._make(line, folder, place)
        self._known.add(folder)

    def _make(self, line: Line, folder: PurePosixPath, place: str) -> None:
        try:
            line.ask(f"MKD {place}")
        except Refusal as refusal:
            # Somebody else may have made it since we looked.
            if not _enter(line, place):
                raise self._store.explain(line, refusal, folder) from refusal
        else:
            set_mode(line, place, self._mode)


def set_mode(line: Line, place: str, mode: int | None) -> None:
    """Ask for a mode.  Many servers let nobody choose one; their own then stays."""
    if mode is not None:
        with contextlib.suppress(Refusal):
            line.ask(f"SITE CHMOD {mode:o} {place}")


def _enter(line: Line, place: str) -> bool:
    try:
        line.ask(f"CWD {place}")
    except Refusal:
        return False
    return True
