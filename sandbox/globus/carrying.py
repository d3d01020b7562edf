"""Carrying one file from one folder of this machine to another, with what may go wrong on the way.

The bytes go to the final name from the first on, as with the real service: half a file is visible under it.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from sandbox.globus.collection import Collection
from sandbox.globus.errors import Trouble
from sandbox.globus.state import State
from sandbox.globus.task import Item, Move, Task

_PIECE = 256 * 1024
_NAP = 0.02
_ALGORITHMS = {"MD5": "md5", "SHA1": "sha1", "SHA256": "sha256", "SHA512": "sha512"}


class Interrupted(Exception):
    """The task was canceled, ran over its deadline, or the service stops."""


class Carrier:
    """Carries the files of one task.  Raises `Trouble` for what the task should try again."""

    def __init__(self, state: State, task: Task, source: Collection, destination: Collection) -> None:
        self._state, self._task = state, task
        self.source, self._destination = source, destination

    def carry(self, move: Move) -> None:
        """Bring one file over (or find that it may stay), and note size and checksum in `move`."""
        here = self._at(self.source, move.source, at_source=True)
        there = self._at(self._destination, move.destination)
        before = self._stat(here, move)
        if there.is_dir():
            text = self._destination.details(move.destination, "Is a directory")
            raise Trouble("IS_A_DIRECTORY", text)
        if self._may_stay(move, here, there):
            move.unchanged = True
            return
        self._check_quota(move, before.st_size)
        self._copy(move, here, there, flip=self._state.faults.take_flip(move.source))
        if here.stat().st_size != before.st_size:
            text = self.source.details(move.source, "File size changed")
            raise Trouble("FILE_SIZE_CHANGED", text, at_source=True)
        move.size = before.st_size
        self._verify(move, here, there)
        if self._task.option("preserve_timestamp"):
            os.utime(there, ns=(before.st_atime_ns, before.st_mtime_ns))

    def make_folder(self, move: Move) -> None:
        """Make a folder at the destination."""
        there = self._at(self._destination, move.destination)
        self._guarded(self._destination, move.destination, lambda: there.mkdir(parents=True, exist_ok=True))

    def _at(self, place: Collection, path: str, *, at_source: bool = False) -> Path:
        try:
            return place.local(path)
        except Trouble as trouble:
            raise Trouble(trouble.code, trouble.details, at_source=at_source) from trouble

    def _guarded(self, place: Collection, path: str, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            raise place.trouble(error, path) from error

    def _stat(self, here: Path, move: Move) -> os.stat_result:
        try:
            return here.stat()
        except OSError as error:
            trouble = self.source.trouble(error, move.source)
            raise Trouble(trouble.code, trouble.details, at_source=True) from error

    def _may_stay(self, move: Move, here: Path, there: Path) -> bool:
        """Whether the sync level is content with what the destination has."""
        level = self._task.document.get("sync_level")
        if level is None or not there.exists():
            return False
        one, other = here.stat(), there.stat()
        match int(level):
            case 0:
                return True
            case 1:
                return one.st_size == other.st_size
            case 2:
                return one.st_mtime <= other.st_mtime
            case _:
                if one.st_size != other.st_size:
                    return False
                with self._state.changed:
                    self._task.bytes_checksummed += one.st_size
                return self._digest(here, move.item) == self._digest(there, move.item)

    def _check_quota(self, move: Move, size: int) -> None:
        quota = self._destination.quota
        if quota is not None and self._destination.used() + size > quota:
            text = self._destination.details(move.destination, "451 Disk quota exceeded")
            raise Trouble("QUOTA_EXCEEDED", text)

    def _copy(self, move: Move, here: Path, there: Path, *, flip: bool) -> None:
        def prepare() -> None:
            there.parent.mkdir(parents=True, exist_ok=True)
            there.touch()

        self._guarded(self._destination, move.destination, prepare)
        rate = self._state.faults.take_rate(move.source)
        piece = _PIECE if rate is None else max(1, int(rate * _NAP))

        with self._reading(here, move) as reading, there.open("wb") as writing:
            while data := reading.read(piece):
                self._pause(_NAP if rate else 0.0)
                self._guarded(self._destination, move.destination, partial(_write, writing, data, flip=flip))
                flip = False
                with self._state.changed:
                    self._task.bytes_transferred += len(data)

    def _reading(self, here: Path, move: Move) -> BinaryIO:
        try:
            return here.open("rb")
        except OSError as error:
            trouble = self.source.trouble(error, move.source)
            raise Trouble(trouble.code, trouble.details, at_source=True) from error

    def _pause(self, seconds: float) -> None:
        """Let time pass between two pieces; raises `Interrupted` if there is to be no next one."""
        with self._state.changed:
            if seconds:
                self._state.changed.wait_for(self._over, seconds)
            if self._over():
                raise Interrupted

    def _over(self) -> bool:
        late = self._state.clock.now() >= self._task.deadline
        return self._task.halted or self._state.stopping or late

    def _verify(self, move: Move, here: Path, there: Path) -> None:
        """Compare source with destination, then the destination with the checksum that was promised."""
        item, promised = move.item, move.item.external_checksum
        verify = self._task.option("verify_checksum")
        if not verify and promised is None:
            return
        arrived = self._digest(there, item)
        if verify and arrived != self._digest(here, item):
            text = self._destination.details(move.destination, f"Checksum of destination is {arrived}")
            raise Trouble("VERIFY_CHECKSUM", text)
        move.checksum = arrived
        if promised is not None and arrived != promised.lower():
            text = self._destination.details(
                move.destination, f"Expected checksum {promised}, actual checksum {arrived}"
            )
            raise Trouble("EXTERNAL_CHECKSUM_MISMATCH", text)

    def _digest(self, path: Path, item: Item) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, _ALGORITHMS.get(item.algorithm, "md5")).hexdigest()


def _write(writing: BinaryIO, data: bytes, *, flip: bool) -> None:
    writing.write(_flipped(data) if flip else data)
    writing.flush()


def _flipped(data: bytes) -> bytes:
    """The same bytes with one bit changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def remove(place: Collection, item: Item, *, ignore_missing: bool) -> int:
    """Delete a file or a folder with all in it; how many files and folders that were.  Raises `Trouble`."""
    local = place.local(item.source, follow=False)
    try:
        if local.is_dir() and not local.is_symlink():
            if not item.recursive:
                raise Trouble("IS_A_DIRECTORY", place.details(item.source, "Is a directory"))
            count = 1 + sum(len(folders) + len(files) for _, folders, files in os.walk(local))
            shutil.rmtree(local)
            return count
        local.unlink()
        return 1
    except FileNotFoundError as error:
        if ignore_missing:
            return 0
        raise place.trouble(error, item.source) from error
    except OSError as error:
        raise place.trouble(error, item.source) from error
