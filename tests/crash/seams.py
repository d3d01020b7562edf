"""Where the outside effects of a worker are met: at the lowest place that still knows what it does.

    commit ...      each transaction of the ledger, by the function that asked for it
    POST, PATCH     each writing request to Alyx, by its path
    sftp ...        each request of the SFTP protocol that changes something, each hash command, each read-back
    ftp ...         each FTP command that changes something, each piece of data
    disk ...        each effect on a mounted disk
    globus ...      each writing request to Globus, and the reservation of a submission key

They are patched in the worker's own process, after it was forked and before it begins.  A process does not stand
still while one of its threads is inside a transaction: SQLite's lock would keep every other worker out until it is
woken, and nobody could overtake it.  At a commit it stands before the transaction begins, and dies right before
the COMMIT.
"""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.crash.points import Points

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FTP_EFFECTS = frozenset(
    {"APPE", "COMB", "DELE", "HASH", "MFMT", "MKD", "RETR", "RNFR", "RNTO", "SITE", "STOR", "XMD5"}
)
_TIMED = re.compile(r"^commit pulse\.")
"""Heartbeats come with time, not with the work: none is planned for, a kill at a random moment may meet one."""

_RUNG = re.compile(r"^commit ledger\.Ledger\.claim_")
"""A claim comes with a ring, and how many rings find something is a matter of time: only the first can be relied on."""


def is_rung(label: str) -> bool:
    return _RUNG.match(label) is not None


def is_timed(label: str) -> bool:
    """Whether nobody can say if a run comes by it."""
    return _TIMED.search(label) is not None


def install(points: Points) -> None:
    """Meet every effect of this process from now on."""
    for seam in (_ledger, _alyx, _sftp, _ftp, _disk, _globus):
        seam(points)


def _ledger(points: Points) -> None:
    from transfer.ledger.transactions import Transactions

    real = Transactions.writing

    @contextmanager
    def writing(self: Transactions) -> Iterator[Any]:
        label = f"commit {_who_asks()}"
        nth = points.before(label, may_die=False)
        with points.in_transaction, real(self) as connection:
            yield connection
            points.die_before(label, nth)
        points.after(label, nth)

    Transactions.writing = writing  # type: ignore[method-assign]


def _who_asks() -> str:
    """The innermost function of the product outside the transactions themselves."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("transfer.") and module != "transfer.ledger.transactions":
            name = frame.f_code.co_qualname.replace(".<locals>", "").replace(".<lambda>", "")
            return f"{module.rpartition('.')[2]}.{name}"
        frame = frame.f_back
    return "somebody"


def _around(points: Points, owner: Any, name: str, label: Callable[..., str | None]) -> None:
    """Meet the calls of a method for which `label` has a name."""
    real = getattr(owner, name)

    def met(*args: Any, **kwargs: Any) -> Any:
        called = label(*args, **kwargs)
        if called is None:
            return real(*args, **kwargs)
        nth = points.before(called)
        try:
            return real(*args, **kwargs)
        finally:  # a refusal is an answer too
            points.after(called, nth)

    setattr(owner, name, met)


def _around_answers(points: Points, owner: Any, name: str, label: str) -> None:
    """Meet a method that answers one thing after the other: before the first, after the last."""
    real = getattr(owner, name)

    def met(*args: Any, **kwargs: Any) -> Iterator[Any]:
        nth = points.before(label)
        try:
            yield from real(*args, **kwargs)
        finally:  # whoever has all answers does not ask whether there is another
            points.after(label, nth)

    setattr(owner, name, met)


def _alyx(points: Points) -> None:
    from transfer.catalog.alyx_http import AlyxHttp

    def label(_self: Any, _client: Any, method: str, path: str, *_rest: Any) -> str | None:
        return None if method == "GET" else f"{method} {_ID.sub('<id>', path.partition('?')[0])}"

    _around(points, AlyxHttp, "_sent", label)


def _sftp(points: Points) -> None:
    from transfer.transports.sftp import protocol
    from transfer.transports.sftp.transport import SftpTransport

    changing = {
        getattr(protocol, name): name.lower()
        for name in ("OPEN", "WRITE", "CLOSE", "FSETSTAT", "SETSTAT", "MKDIR", "REMOVE", "RENAME")
    }
    further = (protocol.POSIX_RENAME, protocol.FSYNC, protocol.HARDLINK, protocol.COPY_DATA)
    begin, collect = protocol.Conversation.begin, protocol.Conversation.collect
    under_way: dict[tuple[int, int], tuple[str, int]] = {}

    def label(kind: int, fields: tuple[Any, ...]) -> str | None:
        if kind == protocol.EXTENDED:
            told = b"".join(bytes(field)[:64] for field in fields)
            return next((f"sftp {name}" for name in further if name.encode() in told), None)
        return f"sftp {changing[kind]}" if kind in changing else None

    def begun(self: Any, kind: int, *fields: Any) -> int:
        called = label(kind, fields)
        nth = points.before(called) if called else 0
        number = begin(self, kind, *fields)
        if called:
            under_way[id(self), number] = called, nth
        return number

    def collected(self: Any) -> list[Any]:
        answers = collect(self)
        for number, _kind, _body in answers:
            if known := under_way.pop((id(self), number), None):
                points.after(*known)
        return answers

    protocol.Conversation.begin = begun  # type: ignore[method-assign]
    protocol.Conversation.collect = collected  # type: ignore[method-assign]
    _around_answers(points, SftpTransport, "digests", "sftp hash command")
    _around_answers(points, SftpTransport, "get", "sftp read back")


def _ftp(points: Points) -> None:
    from transfer.transports.ftp.line import Data, Line
    from transfer.transports.ftp.transport import FtpTransport

    def label(_self: Any, command: str, **_options: Any) -> str | None:
        words = command.split(" ")
        verb = " ".join(words[:2]) if words[0] == "SITE" else words[0]
        return f"ftp {verb}" if words[0] in _FTP_EFFECTS else None

    _around(points, Line, "ask", label)
    _around(points, Data, "send", lambda *_args: "ftp data")
    real = Line.transfer

    @contextmanager
    def transfer(self: Line, command: str, **options: Any) -> Iterator[Any]:
        called = label(self, command)
        nth = points.before(called) if called else 0
        with real(self, command, **options) as data:
            yield data
        if called:
            points.after(called, nth)

    Line.transfer = transfer  # type: ignore[method-assign]
    _around_answers(points, FtpTransport, "digests", "ftp hash command")
    _around_answers(points, FtpTransport, "get", "ftp read back")


def _disk(points: Points) -> None:
    from transfer.transports.disk import Disk
    from transfer.transports.local import LocalTransport

    real = Disk.effect

    @contextmanager
    def effect(self: Disk, before: str, after: str, path: Any) -> Iterator[None]:
        if before in ("looking", "reading"):
            with real(self, before, after, path):
                yield
            return
        label = f"disk {before}"
        nth = points.before(label)
        with real(self, before, after, path):
            yield
        points.after(label, nth)

    Disk.effect = effect  # type: ignore[method-assign]
    _around_answers(points, LocalTransport, "get", "disk read back")


def _globus(points: Points) -> None:
    from globus_sdk import TransferClient

    def label(_self: Any, method: str, path: str, *_args: Any, **_kwargs: Any) -> str | None:
        known = _ID.sub("<id>", path.split("/v0.10")[-1].strip("/"))
        return None if method == "GET" and known != "submission_id" else f"globus {known}"

    _around(points, TransferClient, "request", label)
