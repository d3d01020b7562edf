"""delegate: have a mover bring a batch's bytes into the staging folder of a submission.

One look per call: submit what was not submitted, ask how it goes, write down what arrived.  While the mover
works nobody waits for it: the items are due again at the next look.

PROMISES
- key and document are committed before the submit, and a submission that may have been heard is never asked
  for in other words: the same document again makes no second task;
- an item is SENT only when the mover compared its bytes with the registered md5;
- a task that fails without naming the file is halved until the file is found, after the lab's files were
  hashed again (one changed file fails a whole task); the others go on;
- a task that the mover no longer knows says nothing about its files.

While Alyx is away the mover is asked all the same: it writes into a folder of its own, and publish looks first.

What stands under the final name is adopted only where there is a second road to read it by.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from transfer.digests import digest_file
from transfer.errors import (
    ArrivedDamaged,
    MoverOutOfTime,
    MoverRefused,
    MoverTaskGone,
    Reach,
    SourceChanged,
    SourceVanished,
    StoredFileMissing,
    TransferError,
)
from transfer.ledger import submissions
from transfer.ledger.guarded import Move
from transfer.ledger.submissions import Submission
from transfer.model import Item, staged_path
from transfer.status import Proof, Status
from transfer.steps import coexistence
from transfer.steps.looking import require_gone
from transfer.steps.record import hash_moved
from transfer.steps.work import DelegatedWork, Failure, Fresh, by_hundred, read_again, rediscover, withdraw
from transfer.transports.base import Download, Got
from transfer.transports.delegated import Allowance, Document, Piece, Report, Standing

log = structlog.get_logger()


def delegate(work: DelegatedWork, items: Sequence[Item]) -> list[Failure]:
    """PLANNED -> SENT, one look at a time.  Raises what concerns the whole batch or its endpoints."""
    work.ensure()
    submission = submissions.submission_of(work.ledger, work.batch)
    if submission is None:
        return _ask(work, items)
    if submission.task is None:
        _submit(work, items, submission.document)
        return []
    report = work.transport.poll(submission.task, submission.document)
    if report.standing is Standing.ACTIVE:
        _wait(work, items, report)
        return []
    return _settle(work, items, submission, report)


# ---- asking


def _ask(work: DelegatedWork, items: Sequence[Item]) -> list[Failure]:
    failures: list[Failure] = []
    wanted: list[Item] = []
    for some in by_hundred(items):
        work.ensure()
        same: list[Fresh] = []
        if work.alyx:
            same, differ, gone = read_again(work, some)
            withdraw(work, differ)
            failures += gone + rediscover([fresh.item for fresh in differ], hash_moved)
        ours = [fresh.item for fresh in same] if work.alyx else some
        right, wrong = _adopt(work, ours)
        withdraw(work, [fresh for fresh in same if fresh.item.id in wrong])
        for item in [item for item in ours if item.id not in right]:
            error = _not_as_registered(work, item)
            if error is not None:
                failures.append(_refusal(item, error))
            else:
                wanted.append(item)
    vanished = [failure.item.source_path for failure in failures if isinstance(failure.error, SourceVanished)]
    if vanished:
        require_gone(work.lab.root, vanished)
    wanted, locked = coexistence.set_pending(work, wanted)
    _freeze_and_submit(work, wanted)
    return failures + locked


def _adopt(work: DelegatedWork, items: Sequence[Item]) -> tuple[set[int], set[int]]:
    """Take over what another road shows to stand there already; answers whose copies are right and whose are not.

    What could not be looked at is neither: a web server that is away keeps nothing from being sent.
    """
    try:
        seen = _looked_at(work, items)
    except TransferError as error:
        log.warning("store_not_read", because=error.sentence)
        return set(), set()
    right = [item for item in items if seen.get(item.id) == item.md5]
    why = "the store holds these bytes already"
    with work.ledger.guarded(work.lease) as tx:
        sent = tx.move([Move(item=item, became=Status.SENT, why=why) for item in right])
        proved = [replace(item, status=Status.SENT) for item in sent]
        tx.move([Move(item=item, became=Status.VERIFIED, proof=Proof.READ_BACK) for item in proved])
    return {item.id for item in right}, {item.id for item in items if seen.get(item.id, item.md5) != item.md5}


def _looked_at(work: DelegatedWork, items: Sequence[Item]) -> dict[int, str]:
    """The md5 of what stands under each final name, by item; '' where nothing or another size does."""
    reader = work.open_reader()
    if reader is None:
        return {}
    with reader:
        stored = reader.stat([item.store_path for item in items])
        sizes = {item.id: file.size if file else None for item, file in zip(items, stored, strict=True)}
        seen = {item.id: "" for item in items if sizes[item.id] != item.size}
        downloads = [Download(key=item.id, path=item.store_path) for item in items if item.id not in seen]
        for outcome in reader.get(downloads, work.moved):
            if isinstance(outcome, Got):
                seen[outcome.key] = outcome.md5
            elif isinstance(outcome.error, StoredFileMissing):
                seen[outcome.key] = ""
    return seen


def _not_as_registered(work: DelegatedWork, item: Item, *, hashed: bool = False) -> TransferError | None:
    """Whether the lab's file is no longer what was registered: by size and time, or by its bytes.

    None as well where the lab's disk is another machine's.
    """
    if not work.disk:
        return None
    source = work.lab.root / item.source_path
    try:
        if hashed:
            same = digest_file(source, below=work.lab.root).md5 == item.md5
        else:
            found = source.lstat()
            same = (found.st_size, found.st_mtime_ns) == (item.size, item.mtime_ns)
    except TransferError as error:
        return error
    except FileNotFoundError as error:
        gone = SourceVanished("the lab's file is gone", to=item.source_path)
        gone.__cause__ = error
        return gone
    if same:
        return None
    return SourceChanged("the file no longer holds the bytes that were registered", to=item.source_path)


def _refusal(item: Item, error: TransferError) -> Failure:
    if isinstance(error, SourceChanged):
        return Failure(item=item, error=error, back_to=Status.DISCOVERED, burn=0)
    return Failure(item=item, error=error)


def _freeze_and_submit(work: DelegatedWork, wanted: Sequence[Item]) -> None:
    if not wanted:
        return
    allowed = work.transport.allowance
    if not _may_ask(work, wanted, allowed):
        with work.ledger.guarded(work.lease) as tx:
            submissions.wait(tx, wanted, at=tx.now + timedelta(seconds=allowed.patience))
        return
    work.ensure()
    key = work.transport.reserve()
    deadline = work.ledger.moment() + timedelta(hours=allowed.hours)
    pieces = [
        Piece(source=item.source_path, staged=staged_path(key, item.uuid), size=item.size, md5=item.md5)
        for item in wanted
    ]
    document = work.transport.freeze(key, work.lab.repository, pieces, deadline=deadline)
    with work.ledger.guarded(work.lease) as tx:
        ours = tx.intend([(item, work.lease.token, f"{key}/{item.uuid}") for item in wanted])
        if len(ours) < len(wanted):
            return  # something was held or superseded meanwhile: the next look asks for what is left
        submissions.freeze(
            tx, work.batch, store=work.lab.store, key=key, document=document, deadline=deadline
        )
    _submit(work, wanted, document)


def _may_ask(work: DelegatedWork, wanted: Sequence[Item], allowed: Allowance) -> bool:
    """Within what the mover takes, and with one of its active tasks always free of large files."""
    store = work.lab.store
    if submissions.outstanding(work.ledger, store) >= allowed.pending:
        return False
    if sum(item.size for item in wanted) < allowed.large:
        return True
    return submissions.outstanding(work.ledger, store, at_least=allowed.large) < max(allowed.active - 1, 1)


def _submit(work: DelegatedWork, items: Sequence[Item], document: Document) -> None:
    work.ensure()
    try:
        task = work.transport.submit(document)
    except MoverOutOfTime as error:
        # It was never heard before its deadline, as far as we know: the next look asks anew.
        with work.ledger.guarded(work.lease) as tx:
            submissions.ended(tx, work.batch, how=error.sentence, known=False)
        raise
    at = timedelta(seconds=work.transport.allowance.patience)
    with work.ledger.guarded(work.lease) as tx:
        submissions.submitted(tx, work.batch, task)
        submissions.wait(tx, items, at=tx.now + at)


# ---- looking


def _wait(work: DelegatedWork, items: Sequence[Item], report: Report) -> None:
    with work.ledger.guarded(work.lease) as tx:
        at = tx.now + timedelta(seconds=work.transport.allowance.patience)
        submissions.heard(tx, work.batch, note=report.note, bytes_moved=report.bytes_moved, at=at)
        submissions.wait(tx, items, at=at)


def _settle(
    work: DelegatedWork, items: Sequence[Item], submission: Submission, report: Report
) -> list[Failure]:
    """The task has ended, or nobody knows it: keep what arrived, decide about the rest."""
    asked = [item for item in items if submission.asked_for(item)]
    arrived = [item for item in asked if item.partial_path in report.arrived]
    left = [item for item in asked if item.partial_path not in report.arrived]
    known = report.standing is not Standing.GONE
    with work.ledger.guarded(work.lease) as tx:
        tx.move([Move(item=item, became=Status.SENT, partial=item.partial) for item in arrived])
        submissions.ended(tx, work.batch, how=report.note or report.standing.value, known=known)
    if not left:
        return []
    if not known:
        raise MoverTaskGone("the mover no longer knows the task", to=f"task {submission.task}")
    if report.error is not None and report.error.reach is Reach.ENDPOINT:
        raise report.error
    return _culprits(work, left, report)


def _culprits(work: DelegatedWork, left: Sequence[Item], report: Report) -> list[Failure]:
    """The files for which a task failed; what is not among them is asked for again."""
    named = [
        _named(work, item, report.failed[item.partial_path])
        for item in left
        if item.partial_path in report.failed
    ]
    culprits = named or _changed_among(work, left)
    if culprits:
        return culprits
    reason = report.error or MoverRefused(f"the task failed ({report.note or 'no reason was given'})")
    if len(left) == 1 or reason.reach is not Reach.FILE:
        return [_left(work, item, reason) for item in left]
    with work.ledger.guarded(work.lease) as tx:
        submissions.split(tx, work.batch, left[len(left) // 2 :])
    return []


def _named(work: DelegatedWork, item: Item, error: TransferError) -> Failure:
    """A file the mover names; damage may be a lab file that changed since it was registered."""
    work.ensure()
    changed = _not_as_registered(work, item, hashed=True) if isinstance(error, ArrivedDamaged) else None
    return _refusal(item, changed) if changed else _left(work, item, error)


def _left(work: DelegatedWork, item: Item, error: TransferError) -> Failure:
    """A file that did not arrive; where its disk is another machine's, that machine looks at it again."""
    back_to = None if work.disk or error.reach is not Reach.FILE else Status.DISCOVERED
    return Failure(item=item, error=error, back_to=back_to)


def _changed_among(work: DelegatedWork, left: Sequence[Item]) -> list[Failure]:
    found = []
    for item in left:
        work.ensure()
        error = _not_as_registered(work, item, hashed=True)
        if error is not None:
            found.append(_refusal(item, error))
    return found
