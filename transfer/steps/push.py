"""push: bring the bytes to this attempt's partial beside the target, hashed as they are read.

PROMISES
- the partial's name (random attempt id) is committed before it is opened, and no attempt writes
  another's partial;
- what already stands under the final name with the registered hash is adopted, zero bytes sent;
- what Alyx announces although the stored bytes are not its hash's is withdrawn before anything is sent, or, where
  Alyx is away just then, before anything is published;
- a source whose bytes are no longer those registered goes back to be discovered, at no cost in tries;
- what does not fit into the store is not begun, and nothing is sent where it could not be published (`ahead`);
- no file is called vanished while the lab's whole root is away (a share that is not mounted);
- what an attempt that did not end left of the same bytes is offered to the transport, which may continue it;
- what a lost attempt left whole is SENT as it stands (`late`).

After a lost connection the files that were not yet sent go again on a fresh connection, at most three
times, each time under a new partial name: the server may still be writing what the dead one sent.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import methodcaller
from pathlib import PurePosixPath

from transfer.bandwidth import GivenBack
from transfer.errors import ConnectionLost, SourceChanged, SourceVanished, StoredFileMissing, TransferError
from transfer.ledger.guarded import Guarded, Move
from transfer.ledger.processes import has_ended
from transfer.model import Item
from transfer.paths import partial_name
from transfer.status import Proof, Status
from transfer.steps import coexistence, late
from transfer.steps.ahead import look_ahead
from transfer.steps.looking import require_gone
from transfer.steps.record import hash_moved
from transfer.steps.verify import prove
from transfer.steps.work import Failure, Fresh, StreamingWork, by_hundred, read_again, rediscover, withdraw
from transfer.transports.base import Failed, Upload

_CONNECTIONS = 3  # fresh connections for one batch
_INTENTS = 64  # partial names committed at once; at most so many are named and not yet opened
_SENT = 64  # sent files written down at once


def push(work: StreamingWork, items: Sequence[Item]) -> list[Failure]:
    """PLANNED -> SENT (or, adopted, -> VERIFIED).  Raises `SourceRootMissing`."""
    failures: list[Failure] = []
    ours: list[Fresh] = []
    for some in by_hundred(items) if work.alyx else ():
        work.ensure()
        same, differ, gone = read_again(work, some)
        withdraw(work, differ)
        failures += gone + rediscover([fresh.item for fresh in differ], hash_moved)
        ours += same
    work.ensure()
    missing, unseen = _adopt(work, [fresh.item for fresh in ours] if work.alyx else items, ours)
    possible, stopped = look_ahead(work, missing)
    failures += unseen + stopped + _send(work, possible)
    vanished = [failure.item.source_path for failure in failures if isinstance(failure.error, SourceVanished)]
    if vanished:
        require_gone(work.lab.root, vanished)
    return failures


def _adopt(
    work: StreamingWork, items: Sequence[Item], fresh: Sequence[Fresh]
) -> tuple[list[Item], list[Failure]]:
    """Take over what stands there already; answers what must be sent, and what could not be looked at.

    What could not be read just now is neither withdrawn nor sent: a failed look proves nothing.  `fresh` is what
    Alyx says of the items, empty while it is away.
    """
    stored = work.transport.stat([item.store_path for item in items])
    there = [item for item, file in zip(items, stored, strict=True) if file and file.size == item.size]
    right: list[tuple[Item, Proof]] = []
    unseen: list[Failure] = []
    for item, seen, error in prove(work, [(item, item.store_path) for item in there]):
        if seen is not None and seen.md5 == item.md5:
            right.append((item, seen.proof))
        elif error is not None and not isinstance(error, StoredFileMissing):
            unseen.append(Failure(item=item, error=error))
    settled = {item.id for item, _ in right} | {failure.item.id for failure in unseen}
    withdraw(work, [found for found in fresh if found.item.id not in settled])
    _write_adopted(work, right)
    return [item for item in items if item.id not in settled], unseen


def _write_adopted(work: StreamingWork, right: Sequence[tuple[Item, Proof]]) -> None:
    if not right:
        return
    proofs = {item.id: proof for item, proof in right}
    why = "the store holds these bytes already"

    def write(tx: Guarded) -> None:
        sent = tx.move([Move(item=item, became=Status.SENT, why=why) for item, _ in right])
        tx.move(
            [
                Move(item=replace(item, status=Status.SENT), became=Status.VERIFIED, proof=proofs[item.id])
                for item in sent
            ]
        )

    work.ledger.write(work.lease, write)


def _send(work: StreamingWork, items: Sequence[Item]) -> list[Failure]:
    waiting, failures = coexistence.set_pending(work, items)
    for connection in range(_CONNECTIONS):
        attempt = _attempt(work)
        lost: list[Failure] = []
        tried = list(_send_once(work, waiting, attempt, again=connection > 0))
        for failure in late.not_arrived(work, tried):
            (lost if isinstance(failure.error, ConnectionLost) else failures).append(failure)
        waiting = [failure.item for failure in lost]
        if not waiting:
            return failures
    return failures + lost


def _attempt(work: StreamingWork) -> str:
    """The claim's own id at first; what is sent again under the same claim needs another."""
    used, work.token_used = work.token_used, True
    return secrets.token_hex(4) if used else work.lease.token


def _send_once(work: StreamingWork, items: Sequence[Item], attempt: str, *, again: bool) -> Iterator[Failure]:
    """One connection's worth of sending; `again` if these items were just tried in vain on another."""
    known = {
        item.id: replace(item, attempt=attempt, partial=partial_name(item.uuid, attempt)) for item in items
    }
    done: list[Item] = []
    try:
        for outcome in work.transport.put(_uploads(work, items, attempt, again=again), work.moved):
            item = known[outcome.key]
            if isinstance(outcome, Failed):
                yield _failure(item, outcome.error)
            elif outcome.md5 != item.md5 or outcome.size != item.size:
                yield _failure(item, _changed(item))
            else:
                done.append(item)
            if len(done) >= _SENT:
                _write_sent(work, done)
                done = []
    except GivenBack:
        _write_sent(work, done)
        raise
    _write_sent(work, done)


def _uploads(work: StreamingWork, items: Sequence[Item], attempt: str, *, again: bool) -> Iterator[Upload]:
    """Name partials, commit the names, then hand the files over."""
    for start in range(0, len(items), _INTENTS):
        some = [(item, attempt, partial_name(item.uuid, attempt)) for item in items[start : start + _INTENTS]]
        ours = work.ledger.write(work.lease, methodcaller("intend", some))
        for item in ours:
            work.ensure()
            yield Upload(
                key=item.id,
                source=work.lab.root / item.source_path,
                partial=item.store_path.with_name(partial_name(item.uuid, attempt)),
                size=item.size,
                mtime_ns=item.mtime_ns,
                earlier=_earlier(item),
                earlier_ended=again or has_ended(item.opened_by),
                below=work.lab.root,
            )


def _earlier(item: Item) -> PurePosixPath | None:
    """The partial of the attempt before: an item that stands at PLANNED with one was never wholly sent."""
    return item.partial_path if item.partial and "/" not in item.partial else None


def _write_sent(work: StreamingWork, done: Sequence[Item]) -> None:
    """Each of `done` carries the attempt that sent it and its partial."""
    if not done:
        return
    moves = [Move(item=item, became=Status.SENT, partial=item.partial) for item in done]
    work.ledger.write(work.lease, lambda tx: tx.move(moves))


def _failure(item: Item, error: TransferError) -> Failure:
    if isinstance(error, SourceChanged):
        return Failure(item=item, error=error, back_to=Status.DISCOVERED, burn=0)
    return Failure(item=item, error=error)


def _changed(item: Item) -> TransferError:
    return SourceChanged("the file no longer holds the bytes that were registered", to=item.source_path)
