"""The conversations that are open with one server: as many as it allows, each lent to one user at a time.

Promises:

- further conversations are opened when they are wanted, all at the same time, after the first one succeeded: a
  server that cannot be reached or refuses us is asked once;
- a server that opens no more of them is no failure while there is one; how many it allows is learned once and
  remembered, so that it is not asked again for each batch;
- a command runs beside the conversations; where the server has no room for it, an idle one makes place for good;
- a conversation that was left in the middle of something is closed, not lent again; one that was idle for a while
  is tried before it is lent, and replaced if it died;
- once a loss was noted (see `note`), every further wish is `ConnectionLost`.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self, TypeGuard, TypeVar

from transfer.errors import (
    ConnectionLost,
    EndpointUnreachable,
    HostKeyChanged,
    HostKeyUnknown,
    StoreRefused,
    TransferError,
)
from transfer.transports.sftp import protocol
from transfer.transports.sftp.carrier import Carrier, Outcome
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.protocol import Conversation, Refusal, Stream

TRUSTED_FOR = 5.0  # seconds idle after which a conversation is tried before it is lent
_ANSWERS_WITHIN = 10.0  # seconds; a healthy server answers a question about its root faster

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class _Idle:
    conversation: Conversation
    since: float


class Channels:
    """Owns the carrier: leaving closes it.  `carrier` is for commands, run where these conversations leave room."""

    def __init__(self, carrier: Carrier, options: SftpOptions) -> None:
        self._owned = carrier
        self.carrier: Carrier = self
        self._options = options
        self._idle: list[_Idle] = []
        self._open = 0
        self._cap: int | None = None
        self._lost: ConnectionLost | None = None
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def cap(self) -> int | None:
        """How many the server allows at a time; None as long as it has not refused one."""
        return self._cap

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
        """One to `most` conversations until the end.  Two users never share one, not even in one thread.

        Raises what `Carrier.stream` raises if there is not even one, `StoreRefused` if all that the server allows
        are lent.
        """
        hands = self._take(most)
        try:
            yield hands
        finally:
            for hand in hands:
                self._give_back(hand)

    # ---- as a carrier ------------------------------------------------------------------------------------

    def stream(self) -> Stream:
        return self._owned.stream()

    def begin(self, command: str) -> Stream:
        """Raises what `Carrier.begin` raises; `StoreRefused` where the server is known to be short of room."""
        if self._cap is not None:
            what = "the server has no room for a command that stays"
            raise StoreRefused(what, to=self._options.address)
        return self._owned.begin(command)

    def run(self, command: str, given: bytes, *, timeout: float) -> Outcome:
        """Raises what `Carrier.run` raises; `StoreRefused` if we ourselves take all that the server allows."""
        try:
            return self._owned.run(command, given, timeout=timeout)
        except EndpointUnreachable as error:
            if self._open == 0:
                raise
            refused = error
        self._make_room()
        with contextlib.suppress(EndpointUnreachable):
            return self._owned.run(command, given, timeout=timeout)
        what = "the server opens no further connection for a command"
        raise StoreRefused(what, to=self._options.address) from refused

    def close(self) -> None:
        self._owned.close()

    def _make_room(self) -> None:
        """Close an idle conversation, if there is one, and do without it from now on."""
        with self._guard:
            if not self._idle:
                return
            idle = self._idle.pop()
            self._cap = max(self._open - 1, 1)
        self._discard(idle.conversation)

    # ---- taking and giving back --------------------------------------------------------------------------

    def _take(self, most: int) -> list[Conversation]:
        self.require()
        with self._guard:
            idle, self._idle = self._idle[:most], self._idle[most:]
        hands = [hand for hand in _at_once([partial(self._alive, one) for one in idle]) if hand is not None]
        try:
            if not hands:
                hands.append(self._first())
            hands += self._further(most - len(hands))
        except BaseException:
            for hand in hands:
                self._give_back(hand)
            raise
        return hands

    def _give_back(self, hand: Conversation) -> None:
        if hand.usable:
            with self._guard:
                self._idle.append(_Idle(hand, time.monotonic()))
        else:
            self._discard(hand)

    def _discard(self, hand: Conversation) -> None:
        with self._guard:
            self._open -= 1
        hand.close()

    def _alive(self, idle: _Idle) -> Conversation | None:
        """The conversation, or None if it died since it was last used.  Nothing was under way on it."""
        hand = idle.conversation
        if time.monotonic() - idle.since < TRUSTED_FOR:
            return hand
        hand.patience(min(_ANSWERS_WITHIN, self._options.timeout))
        try:
            hand.ask(protocol.STAT, protocol.string(str(self._options.root)))
        except Refusal:
            pass  # an answer all the same
        except ConnectionLost:
            self._discard(hand)
            return None
        hand.patience()
        return hand

    # ---- opening -----------------------------------------------------------------------------------------

    def _first(self) -> Conversation:
        if self._room(1) == 0:
            raise StoreRefused("all connections that the server allows are busy", to=self._options.address)
        with self.noting():
            return self._new()

    def _further(self, wanted: int) -> list[Conversation]:
        """As many more as the server allows; each is a handshake, so all at the same time."""
        room = self._room(wanted)
        outcomes = _at_once([self._new_or_refused] * room)
        hands = [outcome for outcome in outcomes if isinstance(outcome, Conversation)]
        # A server may mind only that so many come at once; a single one tells.
        while len(hands) < room and not any(map(_is_alarming, outcomes)):
            outcomes = [self._new_or_refused()]
            if not isinstance(outcomes[0], Conversation):
                with self._guard:
                    self._cap = self._open
                break
            hands.append(outcomes[0])
        for outcome in outcomes:
            if _is_alarming(outcome):
                for hand in hands:
                    self._give_back(hand)
                raise outcome
        return hands

    def _room(self, wanted: int) -> int:
        with self._guard:
            return wanted if self._cap is None else max(min(wanted, self._cap - self._open), 0)

    def _new_or_refused(self) -> Conversation | TransferError:
        try:
            return self._new()
        except TransferError as error:
            return error

    def _new(self) -> Conversation:
        stream = self._owned.stream()
        try:
            hand = Conversation(stream, address=self._options.address, timeout=self._options.timeout)
        except BaseException:
            stream.close()
            raise
        with self._guard:
            self._open += 1
        return hand


def _is_alarming(outcome: object) -> TypeGuard[TransferError]:
    """Somebody else answers there: no question of how many."""
    return isinstance(outcome, HostKeyChanged | HostKeyUnknown)


def _at_once(makers: Sequence[Callable[[], Made]]) -> list[Made]:
    """What each of them makes.  Raises what one of them raises, when all have ended."""
    if len(makers) < 2:
        return [make() for make in makers]
    with ThreadPoolExecutor(len(makers), thread_name_prefix="sftp-opening") as pool:
        return [made.result() for made in [pool.submit(make) for make in makers]]
