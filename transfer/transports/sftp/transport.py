"""The promises of `transports.base` over SFTP: several channels on one connection, a file on each at a time.

What the server offers is asked of it when we connect: its extensions, its limits, whether the root is there,
whether it runs a hash command.

The surprise: once the connection is lost, this transport is done, and every later call is `ConnectionLost`.
Whoever wants another try opens a new one (see `wrappers.Reconnecting`).
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from types import TracebackType
from typing import Protocol, Self, TypeVar

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
from transfer.transports.crew import Crew
from transfer.transports.sftp import errands, protocol
from transfer.transports.sftp.carrier import Carrier, connect
from transfer.transports.sftp.channels import Channels
from transfer.transports.sftp.fetching import Fetcher
from transfer.transports.sftp.hashing import HashCommand, find_command, hash_files
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.protocol import Conversation
from transfer.transports.sftp.sending import Sender, limit_of_writes
from transfer.transports.sftp.store import Folders, Store

SMALL_WRITE = 32 << 10  # bytes; what every server takes
LARGE_WRITE = 255 << 10
QUESTIONS_UNDER_WAY = 128

Check = Callable[[], None]


class _Keyed(Protocol):
    @property
    def key(self) -> int: ...


Request = TypeVar("Request", bound=_Keyed)
Result = TypeVar("Result")


class SftpTransport:
    """One connection to one store.  `connect` may be replaced by another way to get a carrier."""

    def __init__(self, options: SftpOptions, *, connect: Callable[[SftpOptions], Carrier] = connect) -> None:
        self._options = options
        self._connect = connect
        self._store = Store(options.root, options.address)
        self._commands: dict[Algorithm, HashCommand | None] = {}

    def __enter__(self) -> Self:
        """Connect.  Raises what `carrier.connect` raises, and `ConnectionLost`."""
        with contextlib.ExitStack() as undo:
            self._channels = undo.enter_context(Channels(self._connect(self._options), self._options))
            with self._channels.one() as conversation:
                self._extensions = conversation.extensions
                self._store.require_root(conversation)
                self._piece = limit_of_writes(conversation, at_most=LARGE_WRITE, otherwise=SMALL_WRITE)
            self._command("md5")
            self._until_left = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._until_left.close()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            replaces_atomically=protocol.POSIX_RENAME in self._extensions,
            remote_hash=self._commands["md5"] is not None,
            hard_links=protocol.HARDLINK in self._extensions,
            syncs=protocol.FSYNC in self._extensions,
            free_space=protocol.STATVFS in self._extensions,
            connections=self._options.connections,
        )

    # ---- batches over several channels ------------------------------------------------------------------

    def put(self, uploads: Iterable[Upload], moved: Moved) -> Iterator[Sent | Failed]:
        sender = Sender(self._store, piece=self._piece, sync_timeout=self._options.sync_timeout)

        def send(hand: Conversation, upload: Upload, check: Check) -> Sent:
            return sender.send(hand, upload, _checking(moved, check))

        return self._spread(uploads, send)

    def get(self, downloads: Iterable[Download], moved: Moved) -> Iterator[Got | Failed]:
        fetcher = Fetcher(self._store)

        def fetch(hand: Conversation, download: Download, check: Check) -> Got:
            return fetcher.fetch(hand, download, _checking(moved, check))

        return self._spread(downloads, fetch)

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        folders = Folders(self._store)

        def rename(hand: Conversation, wanted: Rename, check: Check) -> Published:
            check()
            if wanted.partial.parent != wanted.final.parent:
                folders.ensure(hand, wanted.final.parent)
            errands.rename(hand, self._store, wanted)
            errands.sync_folder(hand, self._store, wanted.final.parent)
            return Published(key=wanted.key)

        return self._spread(renames, rename)

    def _spread(
        self, requests: Iterable[Request], work: Callable[[Conversation, Request, Check], Result]
    ) -> Iterator[Result | Failed]:
        with contextlib.ExitStack() as lent:
            try:
                hands = lent.enter_context(self._channels.several(self._options.connections))
            except TransferError as error:
                for request in requests:
                    yield Failed(key=request.key, error=error)
                return
            crew = Crew(hands, wake=Conversation.interrupt)

            def attempt(hand: Conversation, request: Request) -> Result | Failed:
                try:
                    self._channels.require()
                    return work(hand, request, crew.check)
                except TransferError as error:
                    # A channel that was closed because nobody waits any more is not a lost connection.
                    crew.check()
                    self._channels.note(error)
                    return Failed(key=request.key, error=error)

            yield from crew.spread(requests, attempt)

    # ---- questions --------------------------------------------------------------------------------------

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        for some in _slices(paths):
            with self._channels.one() as conversation:
                found = errands.look(conversation, self._store, some)
            yield from found

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:
        command = self._command(algorithm)
        if command is None:
            raise StoreRefused(f"the store offers no {algorithm} command", to=self._options.address)
        asked = {self._store.place(path): path for path in paths}
        for place, digest in self._hash(command, list(asked)):
            yield Digested(path=asked.pop(place), digest=digest)
        # What was not hashed is either not there or not readable for the command; the two are not alike.
        left = list(asked.values())
        for path, found in zip(left, self.stat(left), strict=True):
            if found is not None:
                raise StoreRefused("the hash command could not read a file", to=self._store.name(path))
            yield Digested(path=path, digest=None)

    def _hash(self, command: HashCommand, places: Sequence[bytes]) -> Iterator[tuple[bytes, str]]:
        with self._channels.noting():
            self._channels.require()
            yield from hash_files(
                self._channels.carrier,
                command,
                places,
                address=self._options.address,
                timeout=self._options.hash_timeout,
            )

    def _command(self, algorithm: Algorithm) -> HashCommand | None:
        if algorithm not in self._commands:
            carrier = self._channels.carrier
            offered = find_command(carrier, algorithm) if self._options.hash_command else None
            self._commands[algorithm] = offered
        return self._commands[algorithm]

    def list_leftovers(self, folders: Sequence[PurePosixPath]) -> Iterator[RemoteFile]:
        for folder in folders:
            with self._channels.one() as conversation:
                entries = errands.entries(conversation, self._store, folder)
            for name, attributes in entries:
                if is_leftover(name) and attributes.is_regular:
                    yield errands.file_of(folder / name, attributes)

    def free_space(self) -> int | None:
        with self._channels.one() as conversation:
            space = self._store.space(conversation)
        return None if space is None else space.free

    # ---- small changes ----------------------------------------------------------------------------------

    def remove(self, paths: Sequence[PurePosixPath]) -> Iterator[Failed]:
        first = 0
        for some in _slices(paths):
            with self._channels.one() as conversation:
                failed = errands.remove(conversation, self._store, some, first=first)
            first += len(some)
            yield from failed

    def link(self, existing: PurePosixPath, new: PurePosixPath) -> bool:
        """A `new` that stands already is taken as made by an earlier try."""
        if protocol.HARDLINK not in self._extensions:
            return False
        with self._channels.one() as conversation:
            Folders(self._store).ensure(conversation, new.parent)
            made = errands.link(conversation, self._store, existing, new)
            errands.sync_folder(conversation, self._store, new.parent)
        return made


def _checking(moved: Moved, check: Check) -> Moved:
    def count(moved_bytes: int) -> None:
        moved(moved_bytes)
        check()

    return count


def _slices(paths: Sequence[PurePosixPath]) -> Iterator[Sequence[PurePosixPath]]:
    for at in range(0, len(paths), QUESTIONS_UNDER_WAY):
        yield paths[at : at + QUESTIONS_UNDER_WAY]
