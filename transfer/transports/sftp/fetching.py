"""Reading one stored file: many reads under way, hashed in their order.

Promises: the md5 is of exactly the bytes that came, all of them; a file that ends early is a failure, not a
shorter file.  Memory is what is under way, whatever the size of the file.
"""

import struct
from collections import deque

from transfer.errors import StoreRefused
from transfer.transports.base import Download, Got, Moved
from transfer.transports.landing import Landing
from transfer.transports.sftp import protocol
from transfer.transports.sftp.protocol import Conversation, Refusal, string
from transfer.transports.sftp.store import Store

PIECE = 32 << 10
UNDER_WAY = 64


class Fetcher:
    """Reads the files of one batch."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def fetch(self, conversation: Conversation, download: Download, moved: Moved) -> Got:
        """Raises `TransferError`, `StoredFileMissing` among them."""
        place = self._store.place(download.path)
        try:
            handle = conversation.open(place, protocol.FOR_READING)
            try:
                size = self._size(conversation, handle, download)
                with Landing(download.into) as landing:
                    self._read(conversation, handle, size, landing, moved)
                    return Got(key=download.key, size=landing.size, md5=landing.finish())
            finally:
                conversation.forget([conversation.begin(protocol.CLOSE, string(handle))])
        except Refusal as refusal:
            raise self._store.explain(conversation, refusal, download.path) from refusal

    def _size(self, conversation: Conversation, handle: bytes, download: Download) -> int:
        found = conversation.ask(protocol.FSTAT, string(handle)).attributes()
        if not found.is_regular or found.size is None:
            raise StoreRefused("not a regular file", to=self._store.name(download.path))
        return found.size

    def _read(
        self, conversation: Conversation, handle: bytes, size: int, landing: Landing, moved: Moved
    ) -> None:
        asked: deque[tuple[int, int, int]] = deque()  # number, offset, length
        offset = 0
        try:
            while asked or offset < size:
                while offset < size and len(asked) < UNDER_WAY:
                    length = min(PIECE, size - offset)
                    asked.append((_ask(conversation, handle, offset, length), offset, length))
                    offset += length
                number, at, length = asked.popleft()
                piece = _piece(conversation, number)
                landing.add(piece)
                moved(len(piece))
                # A server may give less than was asked for: ask for the rest, in its place.
                if len(piece) < length:
                    at, length = at + len(piece), length - len(piece)
                    asked.appendleft((_ask(conversation, handle, at, length), at, length))
        finally:
            conversation.forget(number for number, _offset, _length in asked)


def _ask(conversation: Conversation, handle: bytes, offset: int, length: int) -> int:
    return conversation.begin(protocol.READ, string(handle), struct.pack(">QI", offset, length))


def _piece(conversation: Conversation, number: int) -> bytes:
    piece = conversation.answer(number)[1].string()
    if not piece:
        raise Refusal(protocol.EOF, "the file ended early")
    return piece
