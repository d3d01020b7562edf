"""Lease, advance, decide, write down: the loop that `alyx-transfer push` and the workers share.

Each public method does one piece of work and answers whether there was any.  Whoever calls may die at any
line: a lease lapses by itself, and the next caller goes on from the facts in the ledger.  Nothing is retried
here in place; a failure becomes a `not_before`, an endpoint's pause or a hold, and the ledger says when.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from transfer import journey, planning
from transfer.catalog.base import Catalog
from transfer.errors import Cure, LostRace, TransferError, Unexpected
from transfer.ledger import endpoints
from transfer.ledger.guarded import Move
from transfer.ledger.leases import Lease
from transfer.ledger.ledger import Ledger
from transfer.model import Batch, Item, Lab, Route, Session
from transfer.paths import TypeIndex
from transfer.planning import Limits
from transfer.pulse import Pulse
from transfer.retries import Hold, Patience, TryAgain, decide
from transfer.status import Status
from transfer.steps import coexistence
from transfer.steps.visit import visit
from transfer.steps.work import BatchWork, Failure, SessionWork, Work, by_hundred
from transfer.transports.base import StreamingTransport
from transfer.verdicts import Comparison, compare

log = structlog.get_logger()


@dataclass(kw_only=True)
class Runner:
    """Everything a worker needs to advance sessions and batches.  May be shared by threads."""

    ledger: Ledger
    catalog: Catalog
    labs: Sequence[Lab]
    transports: Mapping[str, str]  # store -> kind of transport
    open_transport: Callable[[str], StreamingTransport]
    types: Callable[[], TypeIndex]
    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)
    lease_seconds: float = 60
    announcers: int = 4
    heart: bool = True
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    on_moved: Callable[[int], None] | None = None

    # ---- one piece of work each

    def advance_session(self, *, only: Sequence[int] | None = None) -> bool:
        """Discover and register one due session."""
        claimed = self.ledger.claim_session(self.lease_seconds, sources=self._sources, only=only)
        if claimed is None:
            return False
        lease, session = claimed
        with structlog.contextvars.bound_contextvars(session=str(session.path), attempt=lease.token):
            self._carefully(lease, partial(self._visit, lease, session))
        return True

    def plan(self, *, only: Sequence[int] | None = None) -> list[int]:
        """Put what is registered into batches; answers their ids."""
        made: list[int] = []
        for lab in self.labs:
            route = Route(source=lab.repository, target=lab.store, transport=self.transports[lab.store])
            batching = partial(planning.batches, limits=self.limits)
            while planned := self.ledger.plan(route, batching, only=only):
                made += planned
        return made

    def advance_batch(self, *, only: Sequence[int] | None = None) -> bool:
        """Take one batch as far as it goes."""
        claimed = self.ledger.claim_batch(self.lease_seconds, sources=self._sources, only=only)
        if claimed is None:
            return False
        lease, batch = claimed
        with structlog.contextvars.bound_contextvars(batch=batch.id, attempt=lease.token):
            self._carefully(lease, partial(self._move, lease, batch))
        return True

    def work(self) -> bool:
        """One piece of whatever is due: batches first, because they hold what is nearly there."""
        return self.advance_batch() or self.advance_session() or bool(self.plan())

    def due_sessions(self) -> list[int]:
        """Sessions that could be visited now."""
        return self.ledger.due("session", sources=self._sources)

    def due_batches(self) -> list[int]:
        """Batches that could be moved now."""
        return self.ledger.due("batch", sources=self._sources)

    # ---- inside a lease

    def _visit(self, lease: Lease, session: Session) -> None:
        with self._pulse(lease) as moved:
            work = SessionWork(
                ledger=self.ledger,
                lease=lease,
                lab=self._lab(session.source),
                catalog=self.catalog,
                moved=moved,
                types=self.types(),
                sleep=self.sleep,
            )
            failures = visit(work, session)
            self._settle(work, failures)
        endpoints.went_well(self.ledger, endpoints.ALYX)
        log.info("session_visited", failures=len(failures))

    def _move(self, lease: Lease, batch: Batch) -> None:
        with self._pulse(lease) as moved, self.open_transport(batch.target) as transport:
            work = BatchWork(
                ledger=self.ledger,
                lease=lease,
                lab=self._lab(batch.source),
                catalog=self.catalog,
                moved=moved,
                transport=transport,
                announcers=self.announcers,
            )
            self._learn(batch.target, transport)
            before: list[tuple[int, Status]] = []
            while step := journey.next_step(due := self.ledger.due_items(batch.id)):
                standing = [(item.id, item.status) for item in due]
                if standing == before:
                    raise RuntimeError(f"batch {batch.id} did not move: {standing[:3]}")
                before = standing
                run, items = step
                self._settle(work, run(work, items))
                log.info("step_done", step=run.__name__, files=len(items))
        self.ledger.went_well(lease)
        endpoints.went_well(self.ledger, batch.target)
        endpoints.went_well(self.ledger, endpoints.ALYX)

    def _learn(self, store: str, transport: StreamingTransport) -> None:
        """Remember whether the store flushes to disk: what it does not, is proved again after a day."""
        state = endpoints.state(self.ledger, store)
        if state is not None and state.capabilities.get("syncs") is not transport.capabilities.syncs:
            endpoints.learnt(self.ledger, store, syncs=transport.capabilities.syncs)

    def _carefully(self, lease: Lease, run: Callable[[], None]) -> None:
        """Run under the lease; whatever goes wrong is written down, and the lease is given back."""
        try:
            run()
        except LostRace as lost:
            log.warning("lease_lost", because=lost.sentence)
            return
        except TransferError as error:
            self._whole(lease, error)
        except Exception as error:
            log.exception("defect")
            self._whole(lease, _unexpected(error))
        except KeyboardInterrupt:
            self.ledger.release(lease)
            raise
        self.ledger.release(lease)

    # ---- decide and write down

    def _settle(self, work: Work, failures: Sequence[Failure]) -> None:
        """Write down what a step could not do."""
        if not failures:
            return
        failures = self._move_back(work, failures)
        again: list[tuple[Failure, TryAgain]] = []
        held: list[tuple[Failure, str]] = []
        now = self.ledger.moment()
        for failure in failures:
            match self._decide(failure.error, failure.item.tries + failure.burn):
                case TryAgain() as later:
                    at = replace(later, at=now) if failure.back_to is Status.DISCOVERED else later
                    again.append((failure, at))
                case Hold(because):
                    held.append((failure, because))
        self._hold(work, held)
        with self.ledger.guarded(work.lease) as tx:
            for failure, later in again:
                tx.postpone([(failure.item, failure.error)], at=later.at, burn=failure.burn)
        for session in {f.item.session for f in failures if f.back_to is Status.DISCOVERED}:
            self.ledger.make_due(session)
        for error in {
            f.error.code: f.error for f in failures if journey.consequence(f.error).endpoint
        }.values():
            self._keep_back(work.lab, error)
        for failure in failures:
            log.warning(
                "file_failed", item=failure.item.id, code=failure.error.code, because=failure.error.sentence
            )

    def _decide(self, error: TransferError, tries: int) -> TryAgain | Hold:
        return decide(
            error, tries=tries, patience=self.patience, now=self.ledger.moment(), chance=self.chance()
        )

    def _move_back(self, work: Work, failures: Sequence[Failure]) -> list[Failure]:
        """Write the fact that still holds where it is less than the item had."""
        back = [f for f in failures if f.back_to is not None and f.back_to is not f.item.status]
        if not back:
            return list(failures)
        with self.ledger.guarded(work.lease) as tx:
            tx.move(
                [
                    Move(item=f.item, became=f.back_to, why=f.error.sentence)
                    for f in back
                    if f.back_to is not None
                ]
            )
        return [
            replace(f, item=replace(f.item, status=f.back_to, proof=None)) if f.back_to is not None else f
            for f in failures
        ]

    def _hold(self, work: Work, held: Sequence[tuple[Failure, str]]) -> None:
        """Put items in a person's hands, after their central records were read and, if wrong, withdrawn."""
        for some in by_hundred(held):
            items = [failure.item for failure, _ in some]
            try:
                settle_central(work, items)
            except TransferError as error:
                if error.cure is Cure.PERSON:
                    raise
                at = self._decide(error, 1)
                assert isinstance(at, TryAgain)
                with self.ledger.guarded(work.lease) as tx:
                    tx.postpone([(item, error) for item in items], at=at.at, burn=0)
                continue
            with self.ledger.guarded(work.lease) as tx:
                for failure, because in some:
                    tx.hold([(failure.item, failure.error)], because=because)

    def _whole(self, lease: Lease, error: TransferError) -> None:
        """A step failed as a whole: postpone, pause the endpoint, or hold."""
        log.warning("work_failed", code=error.code, because=error.sentence)
        try:
            self._write_whole(lease, error)
        except TransferError as lost:
            log.warning("lease_lost", because=lost.sentence)

    def _write_whole(self, lease: Lease, error: TransferError) -> None:
        reach = journey.consequence(error)
        decision = self._decide(error, self.ledger.tries(lease) + 1)
        lab = self._lab_of(lease)
        if reach.endpoint:
            self._keep_back(lab, error)
        if isinstance(decision, TryAgain):
            self.ledger.postpone(lease, at=decision.at, error=error)
        elif reach.pause:
            self.ledger.postpone(lease, at=self.ledger.moment(), error=error)
        elif lease.kind == "session":
            self.ledger.hold_session(lease, error, because=decision.because)
        else:
            work = Work(ledger=self.ledger, lease=lease, lab=lab, catalog=self.catalog)
            due = self.ledger.due_items(int(lease.subject))
            self._hold(work, [(Failure(item=item, error=error), decision.because) for item in due])

    def _keep_back(self, lab: Lab, error: TransferError) -> None:
        """Keep the failed endpoint's work back until it may have recovered, or until a person resumes it."""
        name = (
            endpoints.ALYX
            if journey.is_alyx(error)
            else lab.repository
            if journey.is_source(error)
            else lab.store
        )
        if journey.consequence(error).pause:
            endpoints.pause(self.ledger, name, by="alyx-transfer", reason=error.sentence)
            return
        state = endpoints.state(self.ledger, name)
        decision = self._decide(error, (state.failures if state else 0) + 1)
        assert isinstance(decision, TryAgain), "a failure of an endpoint that time cures is never given up"
        endpoints.failed(self.ledger, name, error, retry_at=decision.at)

    # ---- small questions

    def _pulse(self, lease: Lease) -> AbstractContextManager[Callable[[int], None]]:
        return _Beating(Pulse(self.ledger, lease), self.on_moved) if self.heart else nullcontext(self._seen)

    def _seen(self, count: int) -> None:
        if self.on_moved:
            self.on_moved(count)

    @property
    def _sources(self) -> list[str]:
        return [lab.repository for lab in self.labs]

    def _lab(self, repository: str) -> Lab:
        return next(lab for lab in self.labs if lab.repository == repository)

    def _lab_of(self, lease: Lease) -> Lab:
        return self._lab(self.ledger.source_of(lease))


class _Beating:
    """A pulse whose byte counts a watcher sees too."""

    def __init__(self, pulse: Pulse, watcher: Callable[[int], None] | None) -> None:
        self._pulse = pulse
        self._watcher = watcher

    def __enter__(self) -> Callable[[int], None]:
        self._pulse.__enter__()
        return self._moved

    def __exit__(self, *details: object) -> None:
        self._pulse.__exit__(None, None, None)

    def _moved(self, count: int) -> None:
        self._pulse.moved(count)
        if self._watcher:
            self._watcher(count)


def settle_central(work: Work, items: Sequence[Item]) -> None:
    """Read the central records of items that are about to be closed or held; withdraw what is not proved.

    An item is closed or held only after this: a worker may have died between its PATCH and its read-back.
    """
    known = work.catalog.datasets([item.uuid for item in items if item.dataset_uuid])
    for item in items:
        dataset = known.get(item.dataset_uuid) if item.dataset_uuid else None
        record = dataset.record(item.target) if dataset else None
        if dataset is None or record is None or not record.exists:
            continue
        ours = item.status is Status.PUBLISHED and compare(dataset.md5, item.md5) is Comparison.EQUAL
        standing = compare(dataset.md5, item.stored_md5) is Comparison.EQUAL
        if not ours and not standing:
            work.ensure()
            work.catalog.announce(record.id, False)
    coexistence.clear(work, items)


def _unexpected(error: Exception) -> TransferError:
    wrapped = Unexpected(f"{type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
