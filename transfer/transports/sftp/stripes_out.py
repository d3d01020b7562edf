"""Sending one large file over several lines.

Stripes are given out in order, the next one to whichever line is free, and hashed in order by a thread beside
the lines.

Promise, the one that makes continuing safe: no byte is sent that lies more than `SPAN` beyond the first byte that
the server has not yet acknowledged.  So what an attempt that died left behind is whole up to `SPAN` before its
end, whatever order its writes arrived in.
"""

from transfer.digests import Digests, Source
from transfer.errors import SourceChanged, TransferError
from transfer.transports.base import Upload
from transfer.transports.sftp import protocol
from transfer.transports.sftp.aside import Aside
from transfer.transports.sftp.jobs import DRAIN, Job, Park, Room
from transfer.transports.sftp.pipelining import Line
from transfer.transports.sftp.protocol import Refusal
from transfer.transports.sftp.sending import Opened, Sender, write
from transfer.transports.sftp.sharing import STRIPE, Large, Offering

SPAN = 32 << 20
BUFFERS = 16  # stripes in memory: being sent, or waiting to be hashed


class StripeSource(Source):
    """A source that is read by the stripe; hashing is somebody else's."""

    def fill(self, memory: memoryview) -> None:
        """Read on, exactly so many bytes.  Raises `SourceChanged` if there are fewer."""
        while memory:
            count = self._read(memory)
            if not count:
                raise SourceChanged("the source changed while it was sent: it ended early", to=self.path)
            memory = memory[count:]

    def rewind(self) -> None:
        self._file.seek(0)
        self.digests = Digests()


class _Stripe:
    """One stripe in memory, until it is both hashed and acknowledged."""

    __slots__ = ("at", "holders", "memory", "writes")

    def __init__(self, at: int, memory: memoryview, writes: int) -> None:
        self.at = at
        self.memory = memory
        self.writes = writes
        self.holders = 2


class LargeUpload(Large):
    """A file on its way over several lines; `start` of its bytes stand and are hashed already."""

    def __init__(
        self, sender: Sender, upload: Upload, opened: Opened, source: StripeSource, *, start: int
    ) -> None:
        super().__init__(opened.place, protocol.FOR_WRITING, size=upload.size, start=start)
        self._sender = sender
        self._upload = upload
        self._opened = opened
        self._source = source
        self._piece = sender.terms.piece
        self._pending: set[int] = set()  # where unacknowledged stripes begin
        self._memories: list[bytearray | None] = [None] * BUFFERS
        self._hasher = Aside(self._hash, self.changed)

    def lead(self, line: Line, batch: Offering) -> Job[str]:
        """Send what is missing, with the help of the other lines; the md5.  Raises `TransferError`."""
        with self._hasher:
            yield from self.together(line, self._opened.handle, batch)
            self._source.settle()
            yield from self._hasher.finish()
        return self._source.digests.hex()

    def take_part(self, _line: Line, handle: bytes, /) -> Job[None]:
        while (stripe := (yield from self._next_stripe())) is not None:
            yield from self._write(handle, stripe)
        yield DRAIN

    def explain(self, refusal: Refusal) -> Job[TransferError]:
        return self._sender.explain(refusal, self._upload, written=min(self._pending, default=0))

    def _write(self, handle: bytes, stripe: _Stripe) -> Job[None]:
        def acknowledged() -> None:
            stripe.writes -= 1
            if not stripe.writes:
                self._let_go(stripe, acknowledged=True)

        for at in range(0, len(stripe.memory), self._piece):
            part = stripe.memory[at : at + self._piece]
            # At the end of the queue each time, so that small files get their turns.
            yield Room(len(part))
            yield write(handle, stripe.at + at, part, then=acknowledged)
            self._sender.terms.moved(len(part))

    def _next_stripe(self) -> Job[_Stripe | None]:
        while True:
            seen = self.changed.given
            with self.taking:
                if self.next >= self.size:
                    return None
                if (memory := self._memory()) is not None:
                    return self._read(memory)
            yield Park(self.changed, seen)

    def _memory(self) -> bytearray | None:
        """For the next stripe; None while the span is used up or the hashing lags behind."""
        with self.guard:
            first = min(self._pending, default=self.next)
            if self.next + STRIPE - first > SPAN or not self._memories:
                return None
            return self._memories.pop() or bytearray(STRIPE)

    def _read(self, memory: bytearray) -> _Stripe:
        at, length = self.next, min(STRIPE, self.size - self.next)
        stripe = _Stripe(at, memoryview(memory)[:length], -(-length // self._piece))
        self._source.fill(stripe.memory)
        with self.guard:
            self._pending.add(at)
        self.next += length
        self._hasher.put(stripe)
        return stripe

    def _hash(self, stripe: _Stripe) -> None:
        self._source.digests.add(stripe.memory)
        self._let_go(stripe)

    def _let_go(self, stripe: _Stripe, *, acknowledged: bool = False) -> None:
        with self.guard:
            if acknowledged:
                self._pending.discard(stripe.at)
            stripe.holders -= 1
            if not stripe.holders:
                whole = stripe.memory.obj
                assert isinstance(whole, bytearray)
                self._memories.append(whole)
        self.changed.give()
