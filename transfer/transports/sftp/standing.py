"""A hash command that stays: one login for all batches of a connection.

A login takes longer than hashing a hundred small files, and over a long line many round trips.  So a loop is
started once, and each question to it is

    the number of bytes of the names, a newline, the names, each ended by a zero byte

answered by a line for each file that could be read, as `hashing.read_output` reads it, and by "= " and the exit
status of the command.  As there, no shell ever sees a byte of a name: the loop reads only the number, and `head`
hands exactly so many bytes on.

It works where `sh`, GNU's `head` and GNU's `md5sum` are, and is believed by its answers only: whatever goes wrong
with it is no failure of the store's, but a reason to ask in the ordinary way.
"""

import re
import threading
from collections.abc import Sequence

from transfer.digests import Algorithm
from transfer.errors import StoreRefused, TransferError
from transfer.transports.sftp.carrier import Carrier
from transfer.transports.sftp.hashing import PROBE_TIMEOUT, SLOWEST, empty_digest, groups, read_output
from transfer.transports.sftp.protocol import Stream

_NAMES_AT_ONCE = (
    128 << 10
)  # bytes: question and answer fit into the channel's window, so neither waits for the other
_PIECE = 64 << 10
_EMPTY = b"/dev/null"
_END = re.compile(rb"= ([0-9]{1,3})\n")
_READ = (0, 123)  # 123: xargs' word for files that could not be read


class StandingCommand:
    """The loop, for one `algorithm`.  Questions of several threads wait for one another."""

    def __init__(self, carrier: Carrier, algorithm: Algorithm, *, timeout: float) -> None:
        self._carrier = carrier
        self._algorithm: Algorithm = algorithm
        self._timeout = timeout
        self._stream: Stream | None = None
        self._guard = threading.Lock()

    def start(self) -> bool:
        """Whether it works here: it hashes an empty file right."""
        try:
            self._stream = self._carrier.begin(_loop(self._algorithm))
            told = self._question([_EMPTY], patience=PROBE_TIMEOUT)
        except (TransferError, OSError, ValueError):
            self.close()
            return False
        if told != {_EMPTY: empty_digest(self._algorithm)}:
            self.close()
            return False
        return True

    def ask(self, places: Sequence[bytes], *, size: int) -> dict[bytes, str] | None:
        """The digests of those of `places` that could be read, `size` bytes in all as far as is known.

        None when the loop is no more, or said anything but an answer: then it is asked no more.
        """
        told: dict[bytes, str] = {}
        with self._guard:
            for group in groups(places, _NAMES_AT_ONCE):
                if self._stream is None:
                    return None
                try:
                    told |= self._question(group, patience=self._timeout + size / SLOWEST)
                except (TransferError, OSError, ValueError):
                    self.close()
                    return None
        return told

    def close(self) -> None:
        """End it.  May be called twice."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _question(self, places: Sequence[bytes], *, patience: float) -> dict[bytes, str]:
        assert self._stream is not None
        self._stream.settimeout(patience)
        names = b"".join(place + b"\0" for place in places)
        left = memoryview(b"%d\n" % len(names) + names)
        while left:
            left = left[self._stream.send(left) :]
        told = dict(read_output(self._answer(), b"\0"))
        if not told.keys() <= set(places):
            raise ValueError("files were named that were not asked for")
        return told

    def _answer(self) -> bytes:
        """The lines of one answer; the last of them says that it is one."""
        assert self._stream is not None
        said = bytearray()
        while True:
            piece = self._stream.recv(_PIECE)
            if not piece:
                raise StoreRefused("the hash command ended")
            said += piece
            # A digest stands before each name, so that what follows the last zero byte is never a part of a name.
            last = said.rfind(b"\0") + 1
            if (end := _END.fullmatch(said, last)) is not None:
                if int(end[1]) not in _READ:
                    raise StoreRefused(f"the hash command ended with {int(end[1])}")
                return bytes(said[:last])


def _loop(algorithm: Algorithm) -> str:
    """Fixed text that every shell hands to `sh` alike."""
    hashing = f"xargs -0 {algorithm}sum -z -- 2>/dev/null"
    return f"""env LC_ALL=C sh -c 'while read -r n; do head -c "$n" | {hashing}; echo "= $?"; done'"""
