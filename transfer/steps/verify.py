"""verify: prove that what arrived is what was registered.

The far side's hash command is believed only after a canary (a probe file altered in place must change
its hash), and one file in a hundred is read back besides; one disagreement and the endpoint is read
back from then on.  Everywhere else the stored bytes are read again and hashed here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from transfer import conformance
from transfer.errors import ArrivedDamaged, StoredFileMissing, StoreRefused, TransferError
from transfer.ledger import endpoints
from transfer.ledger.guarded import Move
from transfer.model import Item
from transfer.status import Proof, Status
from transfer.steps.work import Failure, StreamingWork
from transfer.transports.base import Download, Failed

_BELIEVED_FOR = timedelta(days=1)
_SAMPLE = 100


@dataclass(frozen=True, slots=True)
class Proved:
    """What the stored bytes hash to, and how we know."""

    md5: str
    proof: Proof


Outcome = tuple[Item, Proved | None, TransferError | None]


def verify(work: StreamingWork, items: Sequence[Item]) -> list[Failure]:
    """SENT -> VERIFIED; damaged or missing bytes send the item back to PLANNED."""
    good: list[Item] = []
    failures: list[Failure] = []
    for item, proved, error in prove(work, [(item, item.partial_path) for item in items]):
        if proved is not None and proved.md5 == item.md5:
            good.append(replace(item, proof=proved.proof))
        elif proved is not None:
            failures.append(Failure(item=item, error=_damaged(item, proved.md5), back_to=Status.PLANNED))
        else:
            back_to = Status.PLANNED if isinstance(error, StoredFileMissing) else None
            failures.append(Failure(item=item, error=error or _missing(item.partial_path), back_to=back_to))
    moves = [
        Move(item=replace(item, proof=None), became=Status.VERIFIED, partial=item.partial, proof=item.proof)
        for item in good
    ]
    work.ledger.write(work.lease, lambda tx: tx.move(moves))
    return failures


def prove(work: StreamingWork, wanted: Sequence[tuple[Item, PurePosixPath]]) -> Iterator[Outcome]:
    """Hash what stands under each path, by the far side where it is believed, else by reading it back."""
    if not wanted:
        return
    work.ensure()
    told = _told(work, wanted) if believed(work) else None
    if told is None:
        yield from _read_back(work, wanted)
        return
    for item, path in wanted:
        md5 = told.get(path)
        yield (item, Proved(md5, Proof.REMOTE_HASH), None) if md5 else (item, None, _missing(path))


def _told(
    work: StreamingWork, wanted: Sequence[tuple[Item, PurePosixPath]]
) -> dict[PurePosixPath, str | None] | None:
    """What the far side says; None when its command failed or a sample read back here contradicts it."""
    try:
        told = {found.path: found.digest for found in work.transport.digests([path for _, path in wanted])}
    except StoreRefused:
        return None
    sample = [(item, path) for item, path in wanted if item.id % _SAMPLE == 0]
    paths = {item.id: path for item, path in sample}
    for item, seen, _ in _read_back(work, sample):
        if seen is not None and seen.md5 != told.get(paths[item.id]):
            endpoints.learnt(work.ledger, work.lab.store, remote_hash=False, demoted=True)
            return None
    return told


def believed(work: StreamingWork) -> bool:
    """Whether this store's hash command may be trusted; asks the canary once a day."""
    if not work.transport.capabilities.remote_hash:
        return False
    state = endpoints.state(work.ledger, work.lab.store)
    learnt = state.capabilities if state else {}
    if learnt.get("demoted"):
        return False
    asked = learnt.get("canary_at")
    now = datetime.now(UTC)
    if asked and now - datetime.fromisoformat(str(asked)) < _BELIEVED_FOR:
        return bool(learnt.get("remote_hash"))
    answer = conformance.believe_remote_hash(work.transport, PurePosixPath())
    endpoints.learnt(work.ledger, work.lab.store, remote_hash=answer, canary_at=now.isoformat())
    return answer


def _read_back(work: StreamingWork, wanted: Sequence[tuple[Item, PurePosixPath]]) -> Iterator[Outcome]:
    items = dict(enumerate(item for item, _ in wanted))
    downloads = [Download(key=key, path=path) for key, (_, path) in enumerate(wanted)]
    for outcome in work.transport.get(downloads, work.moved):
        if isinstance(outcome, Failed):
            yield items[outcome.key], None, outcome.error
        else:
            yield items[outcome.key], Proved(outcome.md5, Proof.READ_BACK), None


def _damaged(item: Item, seen: str) -> TransferError:
    return ArrivedDamaged(f"the stored bytes hash to {seen}, registered is {item.md5}", to=item.partial_path)


def _missing(path: PurePosixPath) -> TransferError:
    return StoredFileMissing("the store has no such file", to=path)
