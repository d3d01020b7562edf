"""The conversations of one connection: as many as the server allows, each lent to one user at a time.

Promises: a conversation that was left in the middle of something is closed, not lent again; once the
connection is lost every further wish is `ConnectionLost`.
"""

import contextlib
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from transfer.errors import ConnectionLost, StoreRefused, TransferError
from transfer.transports.sftp.carrier import Carrier
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.protocol import Conversation


class Channels:
    """Owns the carrier: leaving closes it."""

    def __init__(self, carrier: Carrier, options: SftpOptions) -> None:
        self.carrier = carrier
        self._options = options
        self._idle: list[Conversation] = []
        self._lost: ConnectionLost | None = None
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.carrier.close()

    def require(self) -> None:
        """Raises `ConnectionLost` if the connection is known to be lost."""
        if self._lost is not None:
            raise ConnectionLost("the connection was lost", to=self._options.address) from self._lost

    def note(self, error: TransferError) -> None:
        """Remember that the connection is lost, if that is what `error` says."""
        if isinstance(error, ConnectionLost):
            self._lost = error

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        try:
            yield
        except TransferError as error:
            self.note(error)
            raise

    @contextlib.contextmanager
    def one(self) -> Iterator[Conversation]:
        with self.several(1) as hands, self.noting():
            yield hands[0]

    @contextlib.contextmanager
    def several(self, most: int) -> Iterator[list[Conversation]]:
        """One to `most` conversations until the end.  Two users never share one, not even in one thread."""
        hands = self._take(most)
        try:
            yield hands
        finally:
            for hand in hands:
                self._give_back(hand)

    def _take(self, most: int) -> list[Conversation]:
        with self._guard:
            hands, self._idle = self._idle[:most], self._idle[most:]
        try:
            while len(hands) < most:
                hands.append(self._new())
        except (StoreRefused, ConnectionLost):
            # Servers limit the channels of a connection; with fewer the work only takes longer.
            if not hands:
                raise
        return hands

    def _give_back(self, hand: Conversation) -> None:
        if hand.usable:
            with self._guard:
                self._idle.append(hand)
        else:
            hand.close()

    def _new(self) -> Conversation:
        self.require()
        with self.noting():
            return Conversation(
                self.carrier.stream(), address=self._options.address, timeout=self._options.timeout
            )
