"""The round of notices: look what stands, decide what each target hears, send it, and write down that it was sent.

In this order: a process killed between sending and writing repeats one message to one target, and loses none.  Each
target goes by itself.  One that fails is tried at the next round; after `_NORMAL` failures in a row once an hour; its
failing is an event, and `doctor` says so.  A round takes at most `_LONGEST` seconds: who is left waits for the next.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from transfer.errors import NoticeNotSent
from transfer.ledger import notices
from transfer.ledger.concerns import concerns
from transfer.ledger.ledger import Ledger
from transfer.ledger.notices import Failing
from transfer.news import digest
from transfer.notices import Concern, Digest, Message, Rules, Silence

_NORMAL = 3
_RARELY = timedelta(hours=1)
_LONGEST = 60.0  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Somebody to tell.  `id` and `name` tell no secret; `labs` is empty for all of them."""

    id: str
    name: str
    labs: frozenset[str] = frozenset()


class Messenger(Protocol):
    """The way to the targets."""

    @property
    def targets(self) -> Sequence[Target]: ...

    def send(self, target: Target, message: Message) -> None:
        """Raises `NoticeNotSent`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Notifier:
    """What the round needs.  `messenger` reads whom to tell anew each time, and may raise `NoticeTargetsWrong`."""

    messenger: Callable[[], Messenger]
    rules: Rules
    old_after: timedelta = timedelta(days=1)


def notify(ledger: Ledger, notifier: Notifier, *, labs: Mapping[str, str]) -> str:
    """Walk the round; answers what came of it.  `labs` names the lab of each lab repository."""
    messenger = notifier.messenger()
    if not messenger.targets:
        return "nobody is to be told"
    notices.forget_strangers(ledger, [one.id for one in messenger.targets])
    resting = {one.target: one for one in notices.failing(ledger)}
    standing = concerns(ledger, labs=labs, old_after=notifier.old_after)
    silences = notices.silenced(ledger)
    sent, failed, end = 0, 0, time.monotonic() + _LONGEST
    for target in messenger.targets:
        now = ledger.moment()
        if time.monotonic() > end or rests(resting.get(target.id), now):
            continue
        found = _digest(ledger, notifier, target, standing, silences, now)
        went = found.message is not None and tell(ledger, messenger, target, found.message)
        notices.remember(ledger, target.id, found, sent=went)
        sent += went
        failed += found.message is not None and not went
    return f"messages sent: {sent}" + (f", not sent: {failed}" if failed else "")


def due(
    ledger: Ledger, notifier: Notifier, *, labs: Mapping[str, str]
) -> list[tuple[Target, Message | None]]:
    """What each target would be told now; nothing is sent or remembered."""
    standing = concerns(ledger, labs=labs, old_after=notifier.old_after)
    silences, now = notices.silenced(ledger), ledger.moment()
    return [
        (target, _digest(ledger, notifier, target, standing, silences, now).message)
        for target in notifier.messenger().targets
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """How the test of one target went; `error` is None where the message was sent."""

    name: str
    error: NoticeNotSent | None


def try_all(ledger: Ledger, notifier: Notifier, *, by: str) -> list[Tried]:
    """Send everybody a message that says that it is a test.  A target that is reached again has no failure any more."""
    messenger = notifier.messenger()
    body = f"Notices reach you. {by} asked for this test; there is nothing to do."
    message = Message(title="alyx-transfer: a test", body=body)
    found = []
    for target in messenger.targets:
        try:
            messenger.send(target, message)
        except NoticeNotSent as error:
            found.append(Tried(name=target.name, error=error))
        else:
            notices.sent(ledger, target.id, target.name, message.title)
            found.append(Tried(name=target.name, error=None))
    return found


def _digest(
    ledger: Ledger,
    notifier: Notifier,
    target: Target,
    standing: Sequence[Concern],
    silences: Sequence[Silence],
    now: datetime,
) -> Digest:
    told = notices.told_to(ledger, target.id)
    return digest(now, standing, told, silences, notifier.rules, labs=target.labs)


def rests(failing: Failing | None, now: datetime) -> bool:
    """Whether a target that failed again and again is left alone for now."""
    if failing is None or failing.failures < _NORMAL:
        return False
    return timedelta(0) <= now - failing.tried_at < _RARELY


def tell(ledger: Ledger, messenger: Messenger, target: Target, message: Message) -> bool:
    """Send one message, and write down how it went."""
    try:
        messenger.send(target, message)
    except NoticeNotSent as error:
        notices.not_sent(ledger, target.id, target.name, error.what)
        return False
    notices.sent(ledger, target.id, target.name, message.title)
    return True
