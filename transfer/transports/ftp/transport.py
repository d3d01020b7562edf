"""The promises of `transports.base` over FTP: several connections, a file on each at a time.

What the server offers is asked of it when we connect (FEAT).  Whether its rename replaces is tried, once for
each store in the life of this process, when somebody asks for the capabilities.

Requests are not sent ahead of their answers: FTP allows it in words, and servers do not bear it.

The surprise: once a connection is lost in the middle of something, this transport is done, and every later
call is `ConnectionLost`.  Whoever wants another try opens a new one (see `wrappers.Reconnecting`).
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice
from pathlib import PurePosixPath
from types import TracebackType
from typing import Protocol, Self, TypeVar

from transfer.digests import Algorithm
from transfer.errors import StoreRefused, TransferError
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
from transfer.transports.ftp import errands, replacing
from transfer.transports.ftp.dialling import certified_until, dial, trust
from transfer.transports.ftp.fetching import Fetcher
from transfer.transports.ftp.folders import Folders
from transfer.transports.ftp.hashing import HashCommand, digest, find_command
from transfer.transports.ftp.line import Line, Refusal
from transfer.transports.ftp.lines import Hand, Lines
from transfer.transports.ftp.options import FtpOptions
from transfer.transports.ftp.sending import Sender
from transfer.transports.ftp.store import HERE, Store

QUESTIONS = 128  # asked of all lines together before the first answer is given
_A_FEW = 4  # questions not worth another line

Check = Callable[[], None]

_replacing: dict[tuple[str, str, str], bool] = {}
"""What was found out about a store (address, user, root), for the life of the process."""


class _Keyed(Protocol):
    @property
    def key(self) -> int: ...


Request = TypeVar("Request", bound=_Keyed)
Asked = TypeVar("Asked")
Result = TypeVar("Result")


class FtpTransport:
    """One store."""

    def __init__(self, options: FtpOptions) -> None:
        self._options = options
        self._store = Store(options.root, options.address)
        self._identity = (options.address, options.user, str(options.root))
        self._certified_until: datetime | None = None

    def __enter__(self) -> Self:
        """Connect.  Raises what `dialling.dial` raises, and `EndpointUnreachable` if the root is not there."""
        context = trust(self._options)
        self._lines = Lines(
            lambda: dial(self._options, context),
            address=self._options.address,
            most=self._options.connections,
        )
        try:
            self._features = self._lines.ask(self._introduced)
        except BaseException:
            self._lines.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()

    def _introduced(self, line: Line) -> dict[str, str]:
        self._store.require_root(line)
        self._certified_until = certified_until(line)
        return line.features

    @property
    def capabilities(self) -> Capabilities:
        """Tries the rename the first time.  Raises `ConnectionLost`."""
        return Capabilities(
            replaces_atomically=self._replaces(),
            remote_hash=self._command("md5") is not None,
            hard_links=False,
            syncs=False,
            free_space="AVBL" in self._features,
            connections=self._options.connections,
            credential_until=self._certified_until,
        )

    def _replaces(self) -> bool:
        known = _replacing.get(self._identity)
        if known is None:
            known = self._lines.ask(lambda line: replacing.replaces(line, self._store))
            if known is not None:
                _replacing[self._identity] = known
        return bool(known)

    # ---- batches over several lines -----------------------------------------------------------------------

    def put(self, uploads: Iterable[Upload], moved: Moved) -> Iterator[Sent | Failed]:
        sender = Sender(self._store, self._folders(), file_mode=self._options.file_mode)

        def send(hand: Hand, upload: Upload, check: Check) -> Sent:
            return hand.act(lambda line: sender.send(line, upload, _checking(moved, check)))

        return self._spread(uploads, send)

    def get(self, downloads: Iterable[Download], moved: Moved) -> Iterator[Got | Failed]:
        fetcher = Fetcher(self._store)

        def fetch(hand: Hand, download: Download, check: Check) -> Got:
            return fetcher.fetch(hand, download, _checking(moved, check))

        return self._spread(downloads, fetch)

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        folders = self._folders()

        def rename(hand: Hand, wanted: Rename, check: Check) -> Published:
            check()
            return hand.act(lambda line: self._publish(line, folders, wanted))

        return self._spread(renames, rename)

    def _publish(self, line: Line, folders: Folders, wanted: Rename) -> Published:
        if wanted.partial.parent != wanted.final.parent:
            folders.ensure(line, wanted.final.parent)
        self._store.require_sayable(line, wanted.final)
        errands.rename(line, self._store, wanted, replaces=_replacing.get(self._identity))
        return Published(key=wanted.key)

    def _folders(self) -> Folders:
        return Folders(self._store, mode=self._options.folder_mode)

    def _spread(
        self, requests: Iterable[Request], work: Callable[[Hand, Request, Check], Result]
    ) -> Iterator[Result | Failed]:
        coming = iter(requests)
        # As many lines as there are requests; pulling so few ahead is what a crew does anyway.
        first = list(islice(coming, self._options.connections))
        if not first:
            return
        with contextlib.ExitStack() as lent:
            try:
                self._lines.require()
                hands = lent.enter_context(self._lines.several(len(first)))
            except TransferError as error:
                for request in chain(first, coming):
                    yield Failed(key=request.key, error=error)
                return
            crew = Crew(hands, wake=Hand.interrupt)

            def attempt(hand: Hand, request: Request) -> Result | Failed:
                try:
                    self._lines.require()
                    return work(hand, request, crew.check)
                except TransferError as error:
                    # A line that was closed because nobody waits any more is not a lost connection.
                    crew.check()
                    self._lines.note(error)
                    return Failed(key=request.key, error=error)

            yield from crew.spread(chain(first, coming), attempt)

    # ---- questions ----------------------------------------------------------------------------------------

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        return self._answers(paths, lambda line, path: errands.look(line, self._store, path))

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:
        """FTP hashes one file with a command; several lines ask at the same time."""
        command = self._command(algorithm)
        if command is None:
            raise StoreRefused(f"the store offers no {algorithm} command", to=self._options.address)
        timeout = self._options.hash_timeout
        asked = list(dict.fromkeys(paths))
        return self._answers(
            asked, lambda line, path: digest(line, self._store, command, path, timeout=timeout)
        )

    def _command(self, algorithm: Algorithm) -> HashCommand | None:
        return find_command(self._features, algorithm) if self._options.hash_command else None

    def list_leftovers(self, folders: Sequence[PurePosixPath]) -> Iterator[RemoteFile]:
        for found in self._answers(
            folders, lambda line, folder: list(errands.leftovers(line, self._store, folder))
        ):
            yield from found

    def free_space(self) -> int | None:
        if "AVBL" not in self._features:
            return None
        return self._lines.ask(self._available)

    def _available(self, line: Line) -> int | None:
        try:
            return int(line.ask(f"AVBL {self._store.place(HERE)}").text.split()[0])
        except (Refusal, ValueError, IndexError):
            return None

    def _answers(
        self, questions: Sequence[Asked], answer: Callable[[Line, Asked], Result]
    ) -> Iterator[Result]:
        """The answers in the order asked, by several lines.  Raises the first failure."""
        for at in range(0, len(questions), QUESTIONS):
            some = questions[at : at + QUESTIONS]
            self._lines.require()
            with self._lines.several(1 if len(some) <= _A_FEW else len(some)) as hands:
                crew = Crew(hands, wake=Hand.interrupt)
                answered = dict(crew.spread(list(enumerate(some)), self._answering(answer)))
            for index in range(len(some)):
                yield answered[index]

    def _answering(
        self, answer: Callable[[Line, Asked], Result]
    ) -> Callable[[Hand, tuple[int, Asked]], tuple[int, Result]]:
        def attempt(hand: Hand, question: tuple[int, Asked]) -> tuple[int, Result]:
            try:
                return question[0], hand.act(lambda line: answer(line, question[1]))
            except TransferError as error:
                self._lines.note(error)
                raise

        return attempt

    # ---- small changes ------------------------------------------------------------------------------------

    def remove(self, paths: Sequence[PurePosixPath]) -> Iterator[Failed]:
        def attempt(line: Line, path: PurePosixPath) -> TransferError | None:
            try:
                errands.remove(line, self._store, path)
            except TransferError as error:
                if not line.usable:
                    raise
                return error
            return None

        for index, error in enumerate(self._answers(paths, attempt)):
            if error is not None:
                yield Failed(key=index, error=error)

    def link(self, existing: PurePosixPath, new: PurePosixPath) -> bool:  # noqa: ARG002
        """FTP has no hard links."""
        return False


def _checking(moved: Moved, check: Check) -> Moved:
    def count(moved_bytes: int) -> None:
        moved(moved_bytes)
        check()

    return count
