"""Reading one stored file in a single stream.

Promises: the md5 is of exactly the bytes that came, all of them: the server's last word must be that this was
the whole file.  Where the connection is cut in the middle, the rest is read over a fresh one, at most `CUTS`
times and only while each brings some bytes.  A file that was replaced meanwhile then gives the digest of
neither version, which no comparison takes for right.
"""

from transfer.errors import ConnectionLost
from transfer.transports.base import Download, Got, Moved
from transfer.transports.ftp.line import Line, Refusal
from transfer.transports.ftp.lines import Hand
from transfer.transports.ftp.store import Store
from transfer.transports.landing import Landing

CUTS = 3
_BUFFER = 1 << 20


class Fetcher:
    """Reads the files of one batch."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def fetch(self, hand: Hand, download: Download, moved: Moved) -> Got:
        """Raises `TransferError`, `StoredFileMissing` among them."""
        place = self._store.place(download.path)
        with Landing(download.into) as landing:
            for cuts in range(CUTS + 1):
                begun = landing.size
                try:
                    hand.act(lambda line: self._read(line, place, download, landing, moved))
                    break
                except ConnectionLost:
                    if cuts == CUTS or landing.size == begun:
                        raise
            return Got(key=download.key, size=landing.size, md5=landing.finish())

    def _read(self, line: Line, place: str, download: Download, landing: Landing, moved: Moved) -> None:
        memory = memoryview(bytearray(_BUFFER))
        try:
            with line.transfer(f"RETR {place}", rest=landing.size) as data:
                while got := data.receive(memory):
                    landing.add(memory[:got])
                    moved(got)
        except Refusal as refusal:
            raise self._store.explain_reading(line, refusal, download.path) from refusal
