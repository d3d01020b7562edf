"""Lease, advance, decide, write down: the loop that `alyx-transfer push` and the workers share.

Each public method does one piece of work and answers whether there was any.  Whoever calls may die at any
line: a lease lapses by itself, and the next caller goes on from the facts in the ledger.  Nothing is retried
here in place; a failure becomes a `not_before`, an endpoint's pause or a hold, and the ledger says when.
"""

import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from transfer import journey, planning
from transfer.aftermath import Aftermath
from transfer.bandwidth import GivenBack
from transfer.catalog.base import Catalog
from transfer.errors import LostRace, TransferError, Unexpected
from transfer.guest import Guest
from transfer.hands import Beating, Carried, Hand
from transfer.keeping import Keeper
from transfer.ledger import bandwidth, endpoints
from transfer.ledger.due import WITHOUT_ALYX
from transfer.ledger.leases import Lease
from transfer.ledger.ledger import Ledger
from transfer.model import Batch, Lab, Route, Session
from transfer.paths import TypeIndex
from transfer.planning import Limits
from transfer.pulse import Pulse
from transfer.retries import Patience
from transfer.status import JOURNEY, Status
from transfer.steps.visit import visit
from transfer.steps.wind_up import wind_up
from transfer.steps.work import BatchWork, DelegatedWork, SessionWork, StreamingWork
from transfer.transports.base import Readable, StreamingTransport
from transfer.transports.delegated import DelegatedTransport
from transfer.transports.unreadable import Unreadable

log = structlog.get_logger()


@dataclass(kw_only=True)
class Runner:
    """Everything a worker needs to advance sessions and batches.  May be shared by threads."""

    ledger: Ledger
    catalog: Catalog
    labs: Sequence[Lab]
    transports: Mapping[str, str]  # store -> kind of transport
    movers: Collection[str] = ()  # stores to which a mover carries the bytes
    disks: Collection[str] | None = None  # labs whose disks are here: the others' are not read; None is all
    follows: bool = True  # whether this process follows what movers carry
    open_transport: Callable[[str], StreamingTransport | DelegatedTransport]
    types: Callable[[], TypeIndex]
    open_reader: Callable[[str], Readable | None] = lambda _store: None  # another road to a store's files
    keeper: Keeper | None = None  # of connections, between one batch and the next
    limits: Limits = field(default_factory=Limits)
    limits_of: Mapping[str, Limits] = field(default_factory=dict)  # by store, where they differ
    patience: Patience = field(default_factory=Patience)
    lease_seconds: float = 60
    announcers: int = 4
    heart: bool = True
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    on_moved: Callable[[int], None] | None = None
    guest: Guest | None = None  # keeps the labs' limits
    interruptible: Callable[[], AbstractContextManager[None]] = nullcontext  # where Ctrl-C may strike
    held: list[Lease] = field(default_factory=list)  # what is worked on at this moment
    hands: int = 1  # pieces of work that this process does at once
    _hands_for_large: threading.Semaphore = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Of several hands one never takes a large file: what is small must not wait for hours behind it."""
        self._hands_for_large = threading.Semaphore(max(self.hands - 1, 1))

    def close(self) -> None:
        """Nobody works any more: close what was kept for the next batch."""
        if self.keeper:
            self.keeper.close()

    def has_disk_of(self, lab: Lab) -> bool:
        """Whether the lab's data folder is to be read from here."""
        return self.disks is None or lab.name in self.disks

    # ---- one piece of work each

    def advance_session(self, *, only: Sequence[int] | None = None) -> bool:
        """Discover and register one due session."""
        claimed = self.ledger.claim_session(self.lease_seconds, sources=self._disks(), only=only)
        if claimed is None:
            return False
        lease, session = claimed
        with structlog.contextvars.bound_contextvars(session=str(session.path), attempt=lease.token):
            self._carefully(lease, partial(self._visit, lease, session))
        return True

    def plan(self, *, only: Sequence[int] | None = None) -> list[int]:
        """Put what is registered into batches; answers their ids."""
        return [batch for lab in self.labs for batch in self.plan_of(lab, only=only)]

    def plan_of(self, lab: Lab, *, only: Sequence[int] | None = None) -> list[int]:
        """Put what one lab has registered into batches; answers their ids."""
        made: list[int] = []
        route = Route(source=lab.repository, target=lab.store, transport=self.transports[lab.store])
        batching = partial(planning.batches, limits=self.limits_of.get(lab.store, self.limits))
        while planned := self.ledger.plan(route, batching, only=only):
            made += planned
        return made

    def advance_batch(self, *, only: Sequence[int] | None = None) -> bool:
        """Take one batch as far as it goes."""
        with self._hand_for_large() as hand:
            claimed = self._claim_batch(only, large=hand.is_ours)
            if claimed is None:
                return False
            lease, batch = claimed
            if not planning.is_large(batch, self.limits):
                hand.give_back()
            with structlog.contextvars.bound_contextvars(batch=batch.id, attempt=lease.token):
                self._carefully(lease, partial(self._move, lease, batch))
        return True

    def _claim_batch(self, only: Sequence[int] | None, *, large: bool) -> tuple[Lease, Batch] | None:
        for sources, targets in self._takes:
            claimed = self.ledger.claim_batch(
                self.lease_seconds,
                sources=sources,
                targets=targets,
                only=only,
                large_bytes=self.limits.large_bytes,
                large=large,
            )
            if claimed is not None:
                return claimed
        return None

    def _hand_for_large(self) -> Hand:
        """The right to take a large file, while one of this process's hands is left to what is small."""
        return Hand(self._hands_for_large)

    def work(self) -> bool:
        """One piece of whatever is due: batches first, because they hold what is nearly there."""
        return self.advance_batch() or self.advance_session() or bool(self.plan())

    def due_sessions(self, lab: Lab | None = None) -> list[int]:
        """Sessions that could be visited now, of one lab or of all."""
        return self.ledger.due("session", sources=self._disks(lab))

    def due_batches(self) -> list[int]:
        """Batches that this process could move now."""
        return [
            batch
            for sources, targets in self._takes
            for batch in self.ledger.due("batch", sources=sources, targets=targets)
        ]

    def due_to_send(self, lab: Lab) -> list[int]:
        """Batches of a lab that could be sent through us now."""
        return self.ledger.due("batch", sources=self._disks(lab), targets=self._streaming)

    def due_with_movers(self) -> list[int]:
        """Batches that a mover carries, and that could be looked at now."""
        return self.ledger.due("batch", sources=self._sources, targets=sorted(self.movers))

    # ---- inside a lease

    def _visit(self, lease: Lease, session: Session) -> None:
        with self._pulse(lease, session.source) as moved:
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
            kept_back = self.aftermath.settle(work, failures)
        self._answered({session.source, endpoints.ALYX} - kept_back)
        log.info("session_visited", failures=len(failures))

    def _move(self, lease: Lease, batch: Batch) -> None:
        lent = self.keeper.lend if self.keeper else self.open_transport
        with self._pulse(lease, batch.source) as moved, lent(batch.target) as transport:
            carried = Carried(moved)
            setting: dict[str, Any] = {
                "ledger": self.ledger,
                "lease": lease,
                "lab": self._lab(batch.source),
                "catalog": self.catalog,
                "moved": carried,
                "announcers": self.announcers,
            }
            if isinstance(transport, DelegatedTransport):
                kept_back = self._delegate(setting, batch, transport)
            else:
                work = StreamingWork(**setting, transport=transport)
                kept_back = self._advance(batch, work, journey.STREAMING)
                self._learn(batch.target, transport)
        self.ledger.went_well(lease)
        self._answered({batch.source, batch.target, endpoints.ALYX} - kept_back)
        if batch.target not in kept_back:
            endpoints.moved_well(self.ledger, batch.target, moved=carried.bytes, seconds=carried.seconds)

    def _delegate(self, setting: dict[str, Any], batch: Batch, transport: DelegatedTransport) -> set[str]:
        work = DelegatedWork(
            **setting,
            transport=transport,
            batch=batch.id,
            disk=self.has_disk_of(self._lab(batch.source)),
            open_reader=partial(self.open_reader, batch.target),
        )
        return set() if wind_up(work) else self._advance(batch, work, journey.DELEGATED)

    def _advance(
        self, batch: Batch, work: journey.Setting, steps: Mapping[Status, journey.Step[journey.Setting]]
    ) -> set[str]:
        """Step after step while there is one; answers the endpoints that are kept back.

        Once Alyx is away the batch goes on with what does not need it.
        """
        before: tuple[bool, list[tuple[int, Status]]] | None = None
        kept_back: set[str] = set()
        while step := journey.next_step(
            steps, due := self.ledger.due_items(batch.id), may=self._steps_possible(work)
        ):
            standing = work.alyx, [(item.id, item.status) for item in due]
            if standing == before:
                raise RuntimeError(f"batch {batch.id} did not move: {standing[1][:3]}")
            before = standing
            run, items = step
            try:
                kept_back |= self.aftermath.settle(work, run(work, items))
            except TransferError as error:
                if not (work.alyx and journey.is_alyx_away(error, work.lab)):
                    raise
                kept_back |= self.aftermath.keep_back(work.lab, error)
            else:
                log.info("step_done", step=run.__name__, files=len(items))
        if work.alyx:
            return kept_back
        if any(item.status in WITHOUT_ALYX for item in due):  # it would be claimed again at once
            self.ledger.wait(work.lease, at=self.ledger.moment() + self.patience.first_wait)
        return kept_back | {endpoints.ALYX}

    def _steps_possible(self, work: BatchWork) -> Collection[Status]:
        """The facts from which the batch goes on now; whether Alyx answers is asked until it does not."""
        work.alyx = work.alyx and not self.ledger.is_kept_back(endpoints.ALYX)
        return JOURNEY if work.alyx else journey.without_alyx(work.lab)

    def reading(self, store: str) -> Readable:
        """A way to read a store's files, not yet entered."""
        transport = self.open_transport(store)
        if not isinstance(transport, DelegatedTransport):
            return transport
        return self.open_reader(store) or Unreadable(store)

    def _answered(self, names: set[str]) -> None:
        """These endpoints did what they were asked: what failed there before is over."""
        endpoints.went_well(self.ledger, *sorted(names))

    def _learn(self, store: str, transport: StreamingTransport) -> None:
        """Remember whether the store flushes to disk: what it does not, is proved again after a day."""
        state = endpoints.state(self.ledger, store)
        if state is not None and state.capabilities.get("syncs") is not transport.capabilities.syncs:
            endpoints.learnt(self.ledger, store, syncs=transport.capabilities.syncs)

    def _carefully(self, lease: Lease, run: Callable[[], None]) -> None:
        """Run under the lease; whatever goes wrong is written down, and the lease is given back."""
        self.held.append(lease)
        try:
            with self.interruptible():
                self._written_down(lease, run)
        except KeyboardInterrupt:
            self.ledger.release(lease)
            raise
        finally:
            self.held.remove(lease)
        self.ledger.release(lease)  # if it is still ours

    def _written_down(self, lease: Lease, run: Callable[[], None]) -> None:
        try:
            run()
        except LostRace as lost:
            log.warning("lease_lost", because=lost.sentence)
        except GivenBack as back:
            self._give_back(lease, back.error)
        except TransferError as error:
            self.aftermath.whole(lease, error)
        except Exception as error:
            log.exception("defect")
            self.aftermath.whole(lease, _unexpected(error))

    def _give_back(self, lease: Lease, error: TransferError) -> None:
        """No failure: the work stays due and waits for its time, with what arrived of it."""
        try:
            if not isinstance(error, LostRace):
                bandwidth.given_back(self.ledger, lease, error)
        except TransferError as lost:
            error = lost
        log.info("work_given_back", code=error.code, because=error.sentence)

    @property
    def aftermath(self) -> Aftermath:
        """What failures mean, and their writing down."""
        return Aftermath(
            ledger=self.ledger,
            catalog=self.catalog,
            labs=self.labs,
            patience=self.patience,
            chance=self.chance,
        )

    # ---- small questions

    @contextmanager
    def _pulse(self, lease: Lease, source: str) -> Iterator[Callable[[int], None]]:
        """Where bytes are counted: the heart, a watcher, and the lab's limit."""
        heart = Beating(Pulse(self.ledger, lease), self.on_moved) if self.heart else nullcontext(self._seen)
        with heart as moved:
            yield self.guest.held_to(source, lease, moved) if self.guest else moved

    def _seen(self, count: int) -> None:
        if self.on_moved:
            self.on_moved(count)

    @property
    def _sources(self) -> list[str]:
        """The labs whose machines may be disturbed now."""
        names = [lab.repository for lab in self.labs]
        return [name for name in names if not (self.guest and self.guest.silent(name))]

    def _disks(self, lab: Lab | None = None) -> list[str]:
        """Of those the ones whose disks are here; at most the one lab's."""
        here = {one.repository for one in self.labs if lab in (None, one) and self.has_disk_of(one)}
        return [name for name in self._sources if name in here]

    @property
    def _streaming(self) -> list[str]:
        return sorted({lab.store for lab in self.labs}.difference(self.movers))

    @property
    def _takes(self) -> list[tuple[list[str], list[str] | None]]:
        """From where to where this process may claim batches."""
        if self.disks is None and self.follows:
            return [(self._sources, None)]
        with_movers = [(self._sources, sorted(self.movers))] if self.follows and self.movers else []
        return [(self._disks(), self._streaming), *with_movers]

    def _lab(self, repository: str) -> Lab:
        return next(lab for lab in self.labs if lab.repository == repository)


def _unexpected(error: Exception) -> TransferError:
    wrapped = Unexpected(f"{type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
