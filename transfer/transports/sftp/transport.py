"""The promises of `transports.base` over SFTP: several channels, hundreds of files under way on each.

What the server offers is asked of it when we connect: its extensions, its limits, whether the root is there,
and, beside the first files, whether it runs a hash command.

The surprise: once the connection is lost, this transport is done, and every later call is `ConnectionLost`.
Whoever wants another try opens a new one (see `wrappers.Reconnecting`).
"""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self, TypeVar

from transfer.digests import Algorithm
from transfer.errors import StoreRefused, TransferError
from transfer.paths import is_leftover
from transfer.transports.base import (
    Capabilities,
    Digested,
    Download,
    Failed,
    Got,
    Moved,
    Published,
    RemoteFile,
    Rename,
    Sent,
    Upload,
)
from transfer.transports.sftp import errands, protocol
from transfer.transports.sftp.batch import Batch, Keyed
from transfer.transports.sftp.carrier import Carrier, connect
from transfer.transports.sftp.channels import Channels
from transfer.transports.sftp.continuing import LargeSender
from transfer.transports.sftp.fetching import Fetcher
from transfer.transports.sftp.folders import Folders
from transfer.transports.sftp.hashing import HashCommand, commands, find_command, hash_files
from transfer.transports.sftp.jobs import Job
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.pipelining import Line, run, run_one
from transfer.transports.sftp.protocol import Refusal
from transfer.transports.sftp.sending import LARGE, Sender, Terms
from transfer.transports.sftp.standing import StandingCommand
from transfer.transports.sftp.store import Store, extended

SMALL_PIECE = 32 << 10  # bytes; what every server takes in one write and gives for one read
LARGE_PIECE = 255 << 10
RENAMES_AT_ONCE = 512
STANDING = commands("md5")[0]  # what the standing command is made of
FAR = 0.005  # seconds for a round trip
SEVERAL = 6  # far away, where each carries a window of 2 MB a round trip
QUESTIONS_AT_ONCE = 2048
A_FEW = 16  # files whose sizes are asked for before they are hashed

Request = TypeVar("Request", bound=Keyed)
Asked = TypeVar("Asked")
Result = TypeVar("Result")


class SftpTransport:
    """One connection to one store.  `connect` may be replaced by another way to get a carrier."""

    def __init__(self, options: SftpOptions, *, connect: Callable[[SftpOptions], Carrier] = connect) -> None:
        self._options = options
        self._connect = connect
        self._commands: dict[Algorithm, HashCommand | None] = {}

    def __enter__(self) -> Self:
        """Connect.  Raises what `carrier.connect` raises, and `ConnectionLost`."""
        with contextlib.ExitStack() as undo:
            self._channels = undo.enter_context(Channels(self._connect(self._options), self._options))
            with self._channels.one() as conversation:
                extensions = conversation.extensions
                self._store = Store(self._options.root, self._options.address, extensions=extensions)
                begun = time.monotonic()
                run_one(conversation, self._store.require_root(), sync_timeout=self._options.sync_timeout)
                self._lines = lines(self._options.connections, round_trip=time.monotonic() - begun)
                self._read_piece, self._write_piece = run_one(
                    conversation, limits(self._store), sync_timeout=self._options.sync_timeout
                )
            pool = undo.enter_context(ThreadPoolExecutor(1, thread_name_prefix="hash-command"))
            self._standing = StandingCommand(
                self._channels.carrier, "md5", timeout=self._options.hash_timeout
            )
            undo.callback(self._standing.close)
            # Beside the first files: a command is a login of its own.
            self._md5 = pool.submit(self._find_md5)
            self._until_left = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._until_left.close()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            replaces_atomically=protocol.POSIX_RENAME in self._store.extensions,
            remote_hash=self._command("md5") is not None,
            hard_links=protocol.HARDLINK in self._store.extensions,
            syncs=protocol.FSYNC in self._store.extensions,
            free_space=protocol.STATVFS in self._store.extensions,
            connections=self._lines,
        )

    # ---- batches over several channels ------------------------------------------------------------------

    def put(self, uploads: Iterable[Upload], moved: Moved) -> Iterator[Sent | Failed]:
        def begin(line: Line, upload: Upload) -> Job[Sent]:
            return large.send(line, upload) if upload.size > LARGE else sender.send(upload)

        batch: Batch[Upload, Sent] = self._batch(begin)
        terms = Terms(piece=self._write_piece, file_mode=self._options.file_mode, moved=moved)
        sender = Sender(self._store, self._folders(), terms)
        large = LargeSender(
            self._store, sender, batch, read_piece=self._read_piece, hash_stored=self._hash_stored
        )
        return batch.results(uploads)

    def get(self, downloads: Iterable[Download], moved: Moved) -> Iterator[Got | Failed]:
        def begin(line: Line, download: Download) -> Job[Got]:
            return fetcher.fetch(line, download)

        batch: Batch[Download, Got] = self._batch(begin)
        fetcher = Fetcher(self._store, batch, piece=self._read_piece, moved=moved)
        return batch.results(downloads)

    def _batch(self, begin: Callable[[Line, Request], Job[Result]]) -> Batch[Request, Result]:
        return Batch(self._channels, begin, most=self._lines, sync_timeout=self._options.sync_timeout)

    def _folders(self) -> Folders:
        return Folders(self._store, mode=self._options.folder_mode)

    # ---- batches on one channel --------------------------------------------------------------------------

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        """Each folder is flushed once for many renames, before the first of them is reported."""
        for some in _slices(renames, RENAMES_AT_ONCE):
            try:
                outcomes = self._rename(some)
            except TransferError as error:
                yield from (Failed(key=rename.key, error=error) for rename in some)
                continue
            for rename, outcome in zip(some, outcomes, strict=True):
                if isinstance(outcome, TransferError):
                    yield Failed(key=rename.key, error=outcome)
                else:
                    yield Published(key=rename.key)

    def _rename(self, renames: Sequence[Rename]) -> Sequence[TransferError | None]:
        folders = self._folders()
        outcomes = self._run([errands.rename(self._store, folders, rename) for rename in renames])
        done = zip(renames, outcomes, strict=True)
        changed = dict.fromkeys(rename.final.parent for rename, outcome in done if outcome is None)
        self._run([errands.sync_folder(self._store, folder) for folder in changed])
        return outcomes

    def _run(self, jobs: Sequence[Job[Result]]) -> list[Result | TransferError]:
        if not jobs:
            return []
        with self._channels.one() as conversation:
            return run(conversation, jobs, sync_timeout=self._options.sync_timeout)

    def _run_one(self, job: Job[Result]) -> Result:
        with self._channels.one() as conversation:
            return run_one(conversation, job, sync_timeout=self._options.sync_timeout)

    # ---- questions --------------------------------------------------------------------------------------

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        for some in _slices(paths, QUESTIONS_AT_ONCE):
            for found in self._run([errands.find(self._store, path) for path in some]):
                if isinstance(found, TransferError):
                    raise found
                yield found

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:
        command = self._command(algorithm)
        if command is None:
            raise StoreRefused(f"the store offers no {algorithm} command", to=self._options.address)
        asked = {self._store.place(path): path for path in paths}
        # A command is silent while it reads.  Many files make small batches; a few may be very large.
        size = sum(found.size for found in self.stat(paths) if found) if len(paths) <= A_FEW else 0
        for place, digest in self._hash(command, list(asked), size=size):
            yield Digested(path=asked.pop(place), digest=digest)
        # What was not hashed is either not there or not readable for the command; the two are not alike.
        left = list(asked.values())
        for path, found in zip(left, self.stat(left), strict=True):
            if found is not None:
                raise StoreRefused("the hash command could not read a file", to=self._store.name(path))
            yield Digested(path=path, digest=None)

    def _hash(
        self, command: HashCommand, places: Sequence[bytes], *, size: int
    ) -> Iterator[tuple[bytes, str]]:
        with self._channels.noting():
            self._channels.require()
            if command is STANDING:
                told = self._standing.ask(places, size=size)
                if told is not None:
                    yield from told.items()
                    return
            yield from hash_files(
                self._channels.carrier,
                command,
                places,
                address=self._options.address,
                timeout=self._options.hash_timeout,
                size=size,
            )

    def _hash_stored(self, place: bytes) -> str | None:
        """The md5 of one file, by the server's command; None where that is no way to get it."""
        command = self._command("md5")
        if command is None:
            return None
        with contextlib.suppress(StoreRefused):
            return dict(self._hash(command, [place], size=0)).get(place)
        return None

    def _command(self, algorithm: Algorithm) -> HashCommand | None:
        if algorithm == "md5":
            return self._md5.result()
        if algorithm not in self._commands:
            self._commands[algorithm] = self._find(algorithm)
        return self._commands[algorithm]

    def _find_md5(self) -> HashCommand | None:
        """The command that stays, where it can; it knows the ordinary one, should it end."""
        if self._options.hash_command and self._standing.start():
            return STANDING
        return self._find("md5")

    def _find(self, algorithm: Algorithm) -> HashCommand | None:
        return find_command(self._channels.carrier, algorithm) if self._options.hash_command else None

    def list_leftovers(self, folders: Sequence[PurePosixPath]) -> Iterator[RemoteFile]:
        for some in _slices(folders, QUESTIONS_AT_ONCE):
            listed = self._run([errands.entries(self._store, folder) for folder in some])
            for folder, entries in zip(some, listed, strict=True):
                if isinstance(entries, TransferError):
                    raise entries
                for name, attributes in entries:
                    if is_leftover(name) and attributes.is_regular:
                        yield errands.file_of(folder / name, attributes)

    def free_space(self) -> int | None:
        space = self._run_one(self._store.space())
        return None if space is None else space.free

    # ---- small changes ----------------------------------------------------------------------------------

    def remove(self, paths: Sequence[PurePosixPath]) -> Iterator[Failed]:
        for some in _slices(list(enumerate(paths)), QUESTIONS_AT_ONCE):
            outcomes = self._run([errands.remove(self._store, path) for _, path in some])
            for (index, _), outcome in zip(some, outcomes, strict=True):
                if outcome is not None:
                    yield Failed(key=index, error=outcome)

    def link(self, existing: PurePosixPath, new: PurePosixPath) -> bool:
        """A `new` that stands already is taken as made by an earlier try."""
        if protocol.HARDLINK not in self._store.extensions:
            return False
        return self._run_one(errands.link(self._store, self._folders(), existing, new))


def lines(wanted: int | None, *, round_trip: float, processors: int | None = None) -> int:
    """How many connections share the work: as many as the config says.

    Without a word from it several where the store is far, because one carries only a window per round trip; a
    near one is kept busy by one, and more of them would only share the processors.
    """
    if wanted is not None:
        return wanted
    if round_trip >= FAR:
        return SEVERAL
    return min(SEVERAL, max(1, (processors or os.cpu_count() or 1) // 2))


def limits(store: Store) -> Job[tuple[int, int]]:
    """The largest read and the largest write in bytes that this server takes, from limits@openssh.com."""
    if protocol.LIMITS not in store.extensions:
        return SMALL_PIECE, SMALL_PIECE
    try:
        answer = yield extended(protocol.LIMITS)
    except Refusal:
        return SMALL_PIECE, SMALL_PIECE
    _packet, read, write = answer.u64(), answer.u64(), answer.u64()
    return _piece(read), _piece(write)


def _piece(limit: int) -> int:
    return max(min(limit, LARGE_PIECE), 1024) if limit else SMALL_PIECE


def _slices(wanted: Iterable[Asked], size: int) -> Iterator[list[Asked]]:
    rest = iter(wanted)
    while some := list(itertools.islice(rest, size)):
        yield some
