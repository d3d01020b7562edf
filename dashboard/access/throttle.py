"""Makes whoever guesses passwords wait, longer with each failure.

Counted are failures of an address and of a name, apart: an address waits up to a quarter of an hour, a name, which
somebody else may be guessing, only half a minute, and not at all at an address where its owner has logged in before.
An attempt counts as failed from its beginning until it succeeded, so that many at once are no way round.

PROMISES: memory is bounded, whoever asks; nothing is kept that outlives the process.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from typing import Any

from transfer.errors import LoginThrottled

FREE = 5
"""Failures without a wait: people mistype."""

ADDRESS_LONGEST = 15 * 60.0
NAME_LONGEST = 30.0
_FORGOTTEN_AFTER = 3600.0
_KEPT = 10_000
_LETTERS = 200  # of a name: what is longer is nobody's


@dataclass(frozen=True, slots=True)
class _Failures:
    count: int
    last: float


class Throttle:
    """For one application; every method may be called from any thread."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, kept: int = _KEPT) -> None:
        self._clock = clock
        self._kept = kept
        self._lock = threading.Lock()
        self._addresses: OrderedDict[str, _Failures] = OrderedDict()
        self._names: OrderedDict[str, _Failures] = OrderedDict()
        self._friends: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, address: str, name: str) -> None:
        """Somebody wants to try.  Raises `LoginThrottled` with how long to wait."""
        place, name = network(address), name[:_LETTERS]
        with self._lock:
            wait = self._wait(self._addresses, place, ADDRESS_LONGEST)
            if (place, name) not in self._friends:
                wait = max(wait, self._wait(self._names, name, NAME_LONGEST))
            if wait > 0:
                raise LoginThrottled("too many logins failed", after=timedelta(seconds=wait))
            self._count(self._addresses, place, 1)
            self._count(self._names, name, 1)

    def succeeded(self, address: str, name: str) -> None:
        """It was the right password: the name's failures are forgotten, those of the address stay."""
        place, name = network(address), name[:_LETTERS]
        with self._lock:
            self._count(self._addresses, place, -1)
            self._names.pop(name, None)
            self._friends[place, name] = None
            self._friends.move_to_end((place, name))
            _shorten(self._friends, self._kept)

    def undecided(self, address: str, name: str) -> None:
        """Nobody could say whether it was right: it does not count."""
        with self._lock:
            self._count(self._addresses, network(address), -1)
            self._count(self._names, name[:_LETTERS], -1)

    def _wait(self, known: OrderedDict[str, _Failures], who: str, longest: float) -> float:
        found = known.get(who)
        if found is None or found.count < FREE:
            return 0.0
        doubled = 2.0 ** min(found.count - FREE, 20)
        return found.last + min(doubled, longest) - self._clock()

    def _count(self, known: OrderedDict[str, _Failures], who: str, more: int) -> None:
        found, moment = known.pop(who, None), self._clock()
        before = 0 if found is None or moment - found.last > _FORGOTTEN_AFTER else found.count
        if before + more > 0:
            last = moment if more > 0 or found is None else found.last
            known[who] = _Failures(before + more, last)
            _shorten(known, self._kept)


def _shorten(known: OrderedDict[Any, Any], length: int) -> None:
    while len(known) > length:
        known.popitem(last=False)


def network(address: str) -> str:
    """The address as it is counted: of IPv6 the network, because one machine has as many addresses as it likes."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return f"{IPv6Address(int(found) >> 64 << 64)}/64"
    return str(found)
