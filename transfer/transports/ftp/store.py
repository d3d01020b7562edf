"""One FTP server as a place for files: names below its root, folders, and what a refusal means.

FTP has one code, 550, for nearly everything that can be wrong with a file, and servers differ in the words
they add.  So `explain` trusts the few codes and words that are plain, and otherwise looks: is the file there,
can its folder be entered, is the name too long, does the store still take a few bytes?
"""

import contextlib
import io
import re
from enum import Enum
from pathlib import PurePosixPath
from uuid import uuid4

from transfer.errors import (
    ConnectionLost,
    EncryptionRefused,
    EndpointUnreachable,
    LoginRefused,
    NameRefused,
    PathTooLong,
    QuotaExceeded,
    StoreDenied,
    StoredFileMissing,
    StoreFull,
    StoreRefused,
    TransferError,
)
from transfer.paths import partial_name, refuse_unsafe
from transfer.transports.ftp.line import Line, Refusal

HERE = PurePosixPath(".")
LONG_NAME, LONG_PATH = 255, 4000  # bytes; no command may be longer than about the second
_CRUMB = 64 << 10  # bytes; a store that does not take so few more is full
_LOGIN = "Correct user and password in the config, then release."

_GONE = re.compile(r"no such|not found|does not exist|cannot find|can't find", re.IGNORECASE)
_DENIED = re.compile(r"denied|not permitted|read-only|privilege|not allowed|forbidden", re.IGNORECASE)
_QUOTA = re.compile(r"quota|allocation|allowance", re.IGNORECASE)
_FULL = re.compile(r"no space|disk full|disk is full|insufficient|out of space", re.IGNORECASE)
_LONG = re.compile(r"too long", re.IGNORECASE)
_LISTING_FAILED = re.compile(r"failed|denied", re.IGNORECASE)


class Folder(Enum):
    """What a folder is to us."""

    OPEN = "open"
    MISSING = "missing"
    DENIED = "denied"


class Store:
    """The root on the server."""

    def __init__(self, root: PurePosixPath, address: str) -> None:
        self._root = root
        self._address = address

    def place(self, path: PurePosixPath) -> str:
        """The absolute path on the server.  Raises before anything is asked of the server.

        `UntrustedPath` for a path that leaves the root, `PathTooLong` for one no command could hold,
        `NameRefused` for the one byte that is FTP's own.
        """
        below = str(self._root if path == HERE else self._root / refuse_unsafe(path))
        said = below.encode("utf-8", "surrogateescape")
        if len(said) > LONG_PATH:
            raise PathTooLong("the path is too long for FTP", to=self.name(path))
        if b"\xff" in said:
            raise NameRefused("FTP cannot say a name with the byte 0xFF in it", to=ascii(below))
        return below

    def name(self, path: PurePosixPath) -> str:
        """How a file of this store prints."""
        shown = str(self._root / path).encode("utf-8", "backslashreplace").decode()
        return f"{self._address}{shown}"

    def require_root(self, line: Line) -> None:
        """Raises `EndpointUnreachable` if the root is not a folder we may enter: it is never made by us."""
        try:
            line.ask(f"CWD {self.place(HERE)}")
        except Refusal as refusal:
            raise EndpointUnreachable(
                f"the store's root is not there, or closed to us ({refusal})",
                to=self.name(HERE),
                do="Mount the disk at the server, or correct the root in the config.",
            ) from refusal

    def require_sayable(self, line: Line, path: PurePosixPath) -> None:
        """Raises `NameRefused` for a name that is not UTF-8, where the server takes every name to be."""
        if "UTF8" in line.features and not _is_utf8(path):
            raise NameRefused("the store takes no name that is not UTF-8", to=self.name(path))

    # ---- looking ------------------------------------------------------------------------------------------

    def size(self, line: Line, path: PurePosixPath) -> int | None:
        """The size of the file, None where SIZE gives none: nothing there, a folder, or denied."""
        try:
            return int(line.ask(f"SIZE {self.place(path)}").text.split()[0])
        except (Refusal, ValueError, IndexError):
            return None

    def folder(self, line: Line, folder: PurePosixPath) -> Folder:
        """Whether we can enter `folder`; if not, whether that is because it is not there."""
        with contextlib.suppress(Refusal):
            line.ask(f"CWD {self.place(folder)}")
            return Folder.OPEN
        if folder == HERE:
            return Folder.DENIED
        above = self.folder(line, folder.parent)
        if above is not Folder.OPEN:
            return above
        if folder.name not in self.listed(line):
            return Folder.MISSING
        with contextlib.suppress(Refusal):  # somebody may have made it between our two looks
            line.ask(f"CWD {self.place(folder)}")
            return Folder.OPEN
        return Folder.DENIED

    def listed(self, line: Line) -> list[str]:
        """The names in the folder entered last, those with a leading dot too; none if it cannot be listed.

        The folder is not named in the command: a server may take a name for a pattern, or for an option.
        """
        for command in ("NLST -a", "NLST"):
            with contextlib.suppress(Refusal):
                names = [entry.rpartition("/")[2] for entry in lines_of(line, command)]
                if names:
                    return names
        return []

    # ---- what a refusal means -----------------------------------------------------------------------------

    def explain(self, line: Line, refusal: Refusal, path: PurePosixPath) -> TransferError:
        """The error that a refusal about the file or folder `path` means."""
        where = self.name(path)
        by_code = self._by_code(refusal, path)
        if by_code is not None:
            return by_code
        if _GONE.search(refusal.text) and not _DENIED.search(refusal.text):
            return StoredFileMissing("no such file at the store", to=where)
        if _DENIED.search(refusal.text):
            return StoreDenied(f"the store denied it ({refusal})", to=where)
        if refusal.code not in (450, 550, 553):
            return StoreRefused(f"the store refused it ({refusal})", to=where)
        if self.size(line, path) is None and self.folder(line, path.parent) is Folder.MISSING:
            return StoredFileMissing("no such folder at the store", to=where)
        return StoreDenied(f"the store denied it ({refusal})", to=where)

    def _by_code(self, refusal: Refusal, path: PurePosixPath) -> TransferError | None:
        where, text = self.name(path), refusal.text
        if _is_long(self.place(path)) or _LONG.search(text):
            return PathTooLong("the name is too long for the store", to=where)
        match refusal.code:
            case 530 | 331 | 332:
                what = f"the server wants another login ({refusal})"
                return LoginRefused(what, to=self._address, do=_LOGIN)
            case 521 | 522 | 533 | 534 | 535 | 536:
                return EncryptionRefused(f"the server's encryption fails ({refusal})", to=self._address)
            case 532:
                return StoreDenied(f"the store denied it ({refusal})", to=where)
            case _ if refusal.code == 552 or _QUOTA.search(text):
                return QuotaExceeded(f"the account's quota is used up ({refusal})", to=where)
            case _ if refusal.code == 452 or _FULL.search(text):
                return StoreFull(f"no space left at the store ({refusal})", to=where)
            case 425 | 426:
                return ConnectionLost(f"a transfer broke off ({refusal})", to=where)
            case _:
                return None

    def explain_reading(self, line: Line, refusal: Refusal, path: PurePosixPath) -> TransferError:
        """What it means that a file cannot be read: above all, whether it is there."""
        explained = self.explain(line, refusal, path)
        if isinstance(explained, StoreDenied) and not _DENIED.search(refusal.text) and self.gone(line, path):
            return StoredFileMissing("no such file at the store", to=self.name(path))
        return explained

    def explain_writing(self, line: Line, refusal: Refusal, path: PurePosixPath) -> TransferError:
        """What it means that a write broke off.  Servers rarely say that the disk is full, so we try it."""
        explained = self.explain(line, refusal, path)
        if type(explained) is StoreRefused and refusal.code < 500 and not self._takes_a_crumb(line, path):
            what = f"the store takes no more bytes: it is full, or its disk fails ({refusal})"
            return StoreFull(what, to=self.name(path))
        return explained

    def gone(self, line: Line, path: PurePosixPath) -> bool:
        """Whether the file is not there, as far as the server tells.  A folder that is closed to us hides it."""
        if self.size(line, path) is not None:
            return False
        match self.folder(line, path.parent):
            case Folder.DENIED:
                return False
            case Folder.MISSING:
                return True
            case Folder.OPEN:
                return path.name not in self.listed(line)

    def _takes_a_crumb(self, line: Line, path: PurePosixPath) -> bool:
        """Whether a few bytes can still be written beside `path`."""
        crumb = path.with_name(partial_name(uuid4(), "00000000"))
        place = self.place(crumb)
        try:
            with line.transfer(f"STOR {place}") as data:
                data.send(memoryview(bytes(_CRUMB)), lambda _moved: None)
            return True
        except Refusal:
            return False
        finally:
            if line.usable:
                with contextlib.suppress(Refusal):
                    line.ask(f"DELE {place}")


def lines_of(line: Line, command: str) -> list[str]:
    """What a command says over a data connection, line by line.

    Raises `Refusal`, also for a server that reports a failed listing with a good code, as vsftpd does.
    """
    said = io.BytesIO()
    memory = memoryview(bytearray(64 << 10))
    with line.transfer(command) as data:
        while got := data.receive(memory):
            said.write(memory[:got])
    if _LISTING_FAILED.search(data.last_word):
        raise line.refusal(550, data.last_word)
    entries = said.getvalue().decode("utf-8", "surrogateescape").split("\n")
    return [entry.removesuffix("\r") for entry in entries if entry.removesuffix("\r")]


def _is_long(place: str) -> bool:
    return any(len(name.encode("utf-8", "surrogateescape")) > LONG_NAME for name in place.split("/"))


def _is_utf8(path: PurePosixPath) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
