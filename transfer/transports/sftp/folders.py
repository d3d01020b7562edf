"""The folders of one batch: each is asked for once, and made only if it is not there.

Jobs of several lines may want the same folder at once: one makes it, the others wait.  A folder that could not be
made is not tried again in the same batch.
"""

import threading
from pathlib import PurePosixPath

from transfer.errors import ConnectionLost, StoreRefused, TransferError
from transfer.transports.sftp import protocol
from transfer.transports.sftp.jobs import Ask, Call, Job, Park, Signal
from transfer.transports.sftp.protocol import Refusal, string
from transfer.transports.sftp.store import HERE, Store, look


class Folders:
    """`mode` is set whatever the server's umask says."""

    def __init__(self, store: Store, *, mode: int) -> None:
        self._store = store
        self._mode = mode
        self._known = {HERE}
        self._missing: set[PurePosixPath] = set()
        self._refused: dict[PurePosixPath, TransferError] = {}
        self._making: set[PurePosixPath] = set()
        self._guard = threading.Lock()
        self._changed = Signal()

    def ensure(self, folder: PurePosixPath) -> Job[None]:
        """Make `folder` and what is missing above it, below the root.  Raises `TransferError`."""
        while True:
            seen = self._changed.given
            with self._guard:
                if folder in self._known:
                    return
                if folder in self._refused:
                    raise self._refused[folder]
                mine = folder not in self._making
                self._making.add(folder)
            if mine:
                break
            yield Park(self._changed, seen)
        try:
            yield from self._find_or_make(folder)
            self._known.add(folder)
        except ConnectionLost:
            raise
        except TransferError as error:
            self._refused[folder] = error
            raise
        finally:
            with self._guard:
                self._making.discard(folder)
            self._changed.give()

    def _find_or_make(self, folder: PurePosixPath) -> Job[None]:
        place = self._store.place(folder)
        try:
            if folder not in self._missing:
                yield from self._look_up(folder)
            if folder not in self._missing:
                return
            if folder.parent == HERE:
                yield from self._store.require_root()
            else:
                yield from self.ensure(folder.parent)
            yield from self._make(place)
        except Refusal as refusal:
            raise (yield from self._store.explain(refusal, folder)) from refusal

    def _look_up(self, folder: PurePosixPath) -> Job[None]:
        """Ask for it and for all above it at once: each wait is a round trip."""
        asked = []
        for above in (folder, *folder.parents):
            if above in self._known or above in self._missing:
                break
            asked.append((above, (yield Call(protocol.STAT, string(self._store.place(above))))))
        for above, call in reversed(asked):
            try:
                found = (yield call).attributes()
            except Refusal as refusal:
                if refusal.code == protocol.NO_SUCH_FILE:
                    self._missing.add(above)
                elif above == folder:
                    raise
                continue
            if found.mode is not None and not found.is_folder:
                raise StoreRefused("a file stands where a folder is needed", to=self._store.name(above))
            self._known.add(above)

    def _make(self, place: bytes) -> Job[None]:
        mode = protocol.attributes(mode=self._mode)
        try:
            yield Ask(protocol.MKDIR, string(place), mode)
        except Refusal:
            # Somebody else may have made it since we looked.
            found = yield from look(place)
            if found is None or not found.is_folder:
                raise
        else:
            # Nobody waits for the answer: a share without Unix modes refuses, and its own rules hold there.
            yield Call(protocol.SETSTAT, string(place), mode)
