"""The promises of `transports.base` over SFTP: several channels on one connection, one file on each at a time.

What the server offers is asked of it when we connect: its extensions, its limits, whether the root is there, whether
it runs a hash command.

The surprise: once the connection is lost, this transport is done: every later call fails with `ConnectionLost`.
Whoever wants another try opens a new one (see `wrappers.Reconnecting`).
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from types import TracebackType
from typing import Protocol, Self, TypeVar

from transfer.errors import (
    ConnectionLost,
    RenameDoesNotReplace,
    StoreDenied,
    StoredFileMissing,
    StoreRefused,
    TransferError,
)
from transfer.paths import is_partial
from transfer.transports.base import (
    Algorithm,
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
from transfer.transports.sftp import protocol
from transfer.transports.sftp.carrier import Carrier, connect
from transfer.transports.sftp.fetching import Fetcher
from transfer.transports.sftp.hashing import HashCommand, find_command, hash_files
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.protocol import Attributes, Conversation, Refusal, string
from transfer.transports.sftp.sending import Sender, limit_of_writes
from transfer.transports.sftp.store import Folders, Store

SMALL_WRITE = 32 << 10  # what every server takes
LARGE_WRITE = 255 << 10
QUESTIONS_UNDER_WAY = 128


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
        self._idle: list[Conversation] = []
        self._lost: ConnectionLost | None = None
        self._commands: dict[Algorithm, HashCommand | None] = {}
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        """Connect.  Raises `EndpointUnreachable`, `HostKeyUnknown`, `HostKeyChanged` or `LoginRefused`."""
        self._carrier = self._connect(self._options)
        try:
            with self._one() as conversation:
                self._extensions = conversation.extensions
                self._store.require_root(conversation)
                self._piece = limit_of_writes(conversation, at_most=LARGE_WRITE, otherwise=SMALL_WRITE)
            self._command("md5")
        except BaseException:
            self._carrier.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._carrier.close()

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

        def send(hand: Conversation, upload: Upload, check: Callable[[], None]) -> Sent:
            return sender.send(hand, upload, _checking(moved, check))

        return self._spread(uploads, send)

    def get(self, downloads: Iterable[Download], moved: Moved) -> Iterator[Got | Failed]:
        fetcher = Fetcher(self._store)

        def fetch(hand: Conversation, download: Download, check: Callable[[], None]) -> Got:
            return fetcher.fetch(hand, download, _checking(moved, check))

        return self._spread(downloads, fetch)

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        folders = Folders(self._store)

        def rename_one(hand: Conversation, rename: Rename, check: Callable[[], None]) -> Published:
            check()
            if rename.partial.parent != rename.final.parent:
                folders.ensure(hand, rename.final.parent)
            self._rename(hand, rename)
            self._sync_folder(hand, rename.final.parent)
            return Published(key=rename.key)

        return self._spread(renames, rename_one)

    def _spread(
        self,
        requests: Iterable[Request],
        work: Callable[[Conversation, Request, Callable[[], None]], Result],
    ) -> Iterator[Result | Failed]:
        with self._several() as hands:
            crew = Crew(hands, wake=Conversation.close)

            def attempt(hand: Conversation, request: Request) -> Result | Failed:
                try:
                    self._require_line()
                    return work(hand, request, crew.check)
                except TransferError as error:
                    crew.check()
                    self._note(error)
                    return Failed(key=request.key, error=error)

            yield from crew.spread(requests, attempt)

    # ---- questions --------------------------------------------------------------------------------------

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        for some in _slices(paths):
            with self._one() as conversation:
                found = self._look(conversation, some)
            yield from found

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:
        command = self._command(algorithm)
        if command is None:
            raise StoreRefused(f"the store offers no {algorithm} command", to=self._options.address)
        asked = {self._store.place(path): path for path in paths}
        hashed = hash_files(
            self._carrier,
            command,
            list(asked),
            address=self._options.address,
            timeout=self._options.hash_timeout,
        )
        with self._noting():
            for place, digest in hashed:
                yield Digested(path=asked.pop(place), digest=digest)
        # What was not hashed is not there, or the command could not read it: those two must not be confused.
        left = list(asked.values())
        for path, found in zip(left, self.stat(left), strict=True):
            if found is not None:
                raise StoreRefused("the hash command could not read a file", to=self._store.name(path))
            yield Digested(path=path, digest=None)

    def list_partials(self, folders: Sequence[PurePosixPath]) -> Iterator[RemoteFile]:
        for folder in folders:
            with self._one() as conversation:
                entries = self._entries(conversation, folder)
            for name, attributes in entries:
                text = name.decode("utf-8", "surrogateescape")
                if is_partial(text) and attributes.is_regular:
                    yield _file(folder / text, attributes)

    def remove(self, paths: Sequence[PurePosixPath]) -> Iterator[Failed]:
        first = 0
        for some in _slices(paths):
            with self._one() as conversation:
                failed = self._remove(conversation, some, first)
            first += len(some)
            yield from failed

    def link(self, existing: PurePosixPath, new: PurePosixPath) -> bool:
        """A `new` that stands already is taken as made by an earlier try."""
        old_place, new_place = self._store.place(existing), self._store.place(new)
        if protocol.HARDLINK not in self._extensions:
            return False
        with self._one() as conversation:
            Folders(self._store).ensure(conversation, new.parent)
            try:
                conversation.extended(protocol.HARDLINK, string(old_place), string(new_place))
            except Refusal as refusal:
                if conversation.stat(new_place) is not None:
                    return True
                if refusal.code == protocol.PERMISSION_DENIED:
                    raise StoreDenied("the store denied it", to=self._store.name(new)) from refusal
                return False
            self._sync_folder(conversation, new.parent)
        return True

    def free_space(self) -> int | None:
        with self._one() as conversation:
            space = self._store.space(conversation)
        return None if space is None else space.free

    # ---- one thing on one channel -----------------------------------------------------------------------

    def _rename(self, conversation: Conversation, rename: Rename) -> None:
        partial, final = self._store.place(rename.partial), self._store.place(rename.final)
        try:
            if protocol.POSIX_RENAME in self._extensions:
                conversation.extended(protocol.POSIX_RENAME, string(partial), string(final))
            else:
                conversation.ask(protocol.RENAME, string(partial), string(final))
        except Refusal as refusal:
            raise self._refused_rename(conversation, refusal, rename) from refusal

    def _refused_rename(self, conversation: Conversation, refusal: Refusal, rename: Rename) -> TransferError:
        partial, final = self._store.place(rename.partial), self._store.place(rename.final)
        if conversation.stat(partial) is None:
            return StoredFileMissing("the partial is gone", to=self._store.name(rename.partial))
        if protocol.POSIX_RENAME not in self._extensions and conversation.stat(final) is not None:
            return RenameDoesNotReplace(
                "the server does not rename onto a file that stands", to=self._store.name(rename.final)
            )
        return self._store.explain(conversation, refusal, rename.final)

    def _sync_folder(self, conversation: Conversation, folder: PurePosixPath) -> None:
        """Flush a folder, where the server lets a folder be opened like a file, as OpenSSH does."""
        if protocol.FSYNC not in self._extensions:
            return
        # A refusal is no failure: not every server with fsync can do it for folders.
        with contextlib.suppress(Refusal):
            handle = conversation.open(self._store.place(folder), protocol.FOR_READING)
            with protocol.Window(conversation, 2) as window:
                window.begin(protocol.EXTENDED, string(protocol.FSYNC), string(handle))
                window.begin(protocol.CLOSE, string(handle))
                window.drain()

    def _look(self, conversation: Conversation, paths: Sequence[PurePosixPath]) -> list[RemoteFile | None]:
        numbers = [conversation.begin(protocol.STAT, string(self._store.place(path))) for path in paths]
        found: list[RemoteFile | None] = []
        for path, number in zip(paths, numbers, strict=True):
            try:
                attributes = conversation.answer(number)[1].attributes()
            except Refusal as refusal:
                if refusal.code != protocol.NO_SUCH_FILE:
                    conversation.forget(iter(numbers))
                    raise self._store.explain(conversation, refusal, path) from refusal
                found.append(None)
            else:
                found.append(_file(path, attributes) if attributes.is_regular else None)
        return found

    def _remove(self, conversation: Conversation, paths: Sequence[PurePosixPath], first: int) -> list[Failed]:
        failed: list[Failed] = []
        asked: list[tuple[int, int, PurePosixPath]] = []
        for index, path in enumerate(paths, first):
            try:
                place = self._store.place(path)
            except TransferError as error:
                failed.append(Failed(key=index, error=error))
            else:
                asked.append((conversation.begin(protocol.REMOVE, string(place)), index, path))
        refused: list[tuple[int, PurePosixPath, Refusal]] = []
        for number, index, path in asked:
            try:
                conversation.answer(number)
            except Refusal as refusal:
                if refusal.code != protocol.NO_SUCH_FILE:
                    refused.append((index, path, refusal))
        for index, path, refusal in refused:
            error = self._store.explain(conversation, refusal, path)
            error.__cause__ = refusal
            failed.append(Failed(key=index, error=error))
        return failed

    def _entries(self, conversation: Conversation, folder: PurePosixPath) -> list[tuple[bytes, Attributes]]:
        try:
            return list(conversation.entries(self._store.place(folder)))
        except Refusal as refusal:
            if refusal.code == protocol.NO_SUCH_FILE:
                return []
            raise self._store.explain(conversation, refusal, folder) from refusal

    def _command(self, algorithm: Algorithm) -> HashCommand | None:
        if algorithm not in self._commands:
            offered = find_command(self._carrier, algorithm) if self._options.hash_command else None
            self._commands[algorithm] = offered
        return self._commands[algorithm]

    # ---- channels ---------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _one(self) -> Iterator[Conversation]:
        with self._borrowed(1) as hands, self._noting():
            yield hands[0]

    def _several(self) -> contextlib.AbstractContextManager[list[Conversation]]:
        return self._borrowed(self._options.connections)

    @contextlib.contextmanager
    def _borrowed(self, most: int) -> Iterator[list[Conversation]]:
        """Up to `most` channels of our own until the end: a batch may be begun in the middle of another."""
        hands = self._take(most)
        try:
            yield hands
        finally:
            for hand in hands:
                if hand.usable:
                    with self._guard:
                        self._idle.append(hand)
                else:
                    hand.close()

    def _take(self, most: int) -> list[Conversation]:
        with self._guard:
            hands, self._idle = self._idle[:most], self._idle[most:]
        try:
            while len(hands) < most:
                hands.append(self._new())
        except StoreRefused:
            # Servers limit the channels of a connection; with fewer hands the work only takes longer.
            if not hands:
                raise
        except ConnectionLost as error:
            self._note(error)
            if not hands:
                raise
        return hands

    def _new(self) -> Conversation:
        self._require_line()
        stream = self._carrier.stream()
        try:
            return Conversation(stream, address=self._options.address, timeout=self._options.timeout)
        except TransferError:
            stream.close()
            raise

    def _require_line(self) -> None:
        if self._lost is not None:
            raise ConnectionLost("the connection was lost", to=self._options.address) from self._lost

    def _note(self, error: TransferError) -> None:
        if isinstance(error, ConnectionLost):
            self._lost = error

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except TransferError as error:
            self._note(error)
            raise


def _checking(moved: Moved, check: Callable[[], None]) -> Moved:
    def count(moved_bytes: int) -> None:
        moved(moved_bytes)
        check()

    return count


def _file(path: PurePosixPath, attributes: Attributes) -> RemoteFile:
    return RemoteFile(path=path, size=attributes.size or 0, mtime_ns=(attributes.mtime or 0) * 1_000_000_000)


def _slices(paths: Sequence[PurePosixPath]) -> Iterator[Sequence[PurePosixPath]]:
    for at in range(0, len(paths), QUESTIONS_UNDER_WAY):
        yield paths[at : at + QUESTIONS_UNDER_WAY]
