"""What a failure means: decided by `retries`, spread as far as it reaches, and written down.

A file's failure becomes a `not_before` or a hold; one that reaches an endpoint keeps the endpoint's work back
until it may have recovered, or pauses it when only a person can help.  Nothing is closed or held before its
central record was read and, if it announces what is not proved, withdrawn.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from transfer import journey, pacing
from transfer.catalog.base import Catalog
from transfer.errors import Cure, SourceChanged, TransferError
from transfer.ledger import endpoints, incidents
from transfer.ledger.guarded import Move
from transfer.ledger.leases import Lease
from transfer.ledger.ledger import Ledger
from transfer.model import Item, Lab
from transfer.pacing import Breaker
from transfer.retries import Hold, Patience, TryAgain, decide, wait_before, wait_of_incident
from transfer.status import Status
from transfer.steps import coexistence, late
from transfer.steps.work import Failure, Work, by_hundred, central_record
from transfer.verdicts import Comparison, compare

log = structlog.get_logger()

_BEHIND_THE_FIRST = timedelta(
    minutes=15
)  # an incident's other files wait so much longer than its first, at least


@dataclass(frozen=True, kw_only=True)
class Aftermath:
    """The deciding and writing down of failures, with what that needs."""

    ledger: Ledger
    catalog: Catalog
    labs: Sequence[Lab]
    patience: Patience
    chance: Callable[[], float]

    def settle(self, work: Work, failures: Sequence[Failure]) -> set[str]:
        """Write down what a step could not do; answers the endpoints that are kept back for it."""
        if not failures:
            return set()
        failures = self._move_back(work, failures)
        failures, places = self._together(work, failures)
        again: list[tuple[Failure, datetime]] = []
        held: list[tuple[Failure, str]] = []
        now = self.ledger.moment()
        for failure in failures:
            match self._decide_file(failure, now):
                case TryAgain(at):
                    again.append((failure, at))
                case Hold(because):
                    held.append((failure, because))
        self._hold(work, late.still_failed(work, held))
        with self.ledger.guarded(work.lease) as tx:
            for failure, at in again:
                tx.postpone([(failure.item, failure.error)], at=at, burn=failure.burn)
        for session in {f.item.session for f in failures if f.back_to is Status.DISCOVERED}:
            self.ledger.make_due(session)
        reaching = {f.error.code: f.error for f in failures if journey.consequence(f.error).endpoint}
        names = [self._keep_back(work.lab, error) for error in reaching.values()]
        kept_back = {name for name in names if name is not None} | places
        for failure in failures:
            log.warning(
                "file_failed", item=failure.item.id, code=failure.error.code, because=failure.error.sentence
            )
        return kept_back

    def _together(self, work: Work, failures: Sequence[Failure]) -> tuple[list[Failure], set[str]]:
        """Let what fails alike wait together; answers the other failures, and the endpoints where that happened."""
        kinds: dict[str, list[Failure]] = defaultdict(list)
        for failure in failures:
            kinds[failure.error.code].append(failure)
        places = set()
        for code, alike in kinds.items():
            place = journey.endpoint_of(alike[0].error, work.lab)
            if place is None:
                continue
            known = incidents.is_open(self.ledger, code, place)
            if pacing.is_systematic(alike[0].error, files=len(alike), known=known):
                self._wait_together(work, place, alike)
                places.add(place)
                failures = [failure for failure in failures if failure.error.code != code]
        return list(failures), places

    def _wait_together(self, work: Work, place: str, alike: Sequence[Failure]) -> None:
        """One incident: no try is spent, the smallest file goes first, and all the others after it."""
        error = alike[0].error
        first = alike[pacing.goes_first([failure.item.size for failure in alike])]
        incident = incidents.note(self.ledger, error, place)
        lasted = self.ledger.moment() - incident.first_at
        wait = wait_of_incident(lasted, self.patience, chance=self.chance())
        at = self.ledger.moment() + wait
        later = at + max(wait, _BEHIND_THE_FIRST)
        with self.ledger.guarded(work.lease) as tx:
            tx.postpone([(first.item, first.error)], at=at, burn=0)
            rest = [(failure.item, failure.error) for failure in alike if failure is not first]
            tx.postpone(rest, at=later, burn=0)
        incidents.let_wait(self.ledger, incident, until=later, but=[first.item.id])
        incident = incidents.note(self.ledger, error, place)
        if place == work.lab.store and len(alike) >= pacing.ENOUGH:
            endpoints.failed(self.ledger, place, error, retry_at=self._soon())
        log.warning(
            "files_fail_alike",
            endpoint=place,
            code=error.code,
            files=incident.files,
            failed=len(alike),
            because=error.sentence,
        )

    def _decide_file(self, failure: Failure, now: datetime) -> TryAgain | Hold:
        """As for any failure, with two exceptions: what is discovered again is decided then, by its hashes, and
        what only pauses an endpoint is no reason to hold each of its files.
        """
        if failure.back_to is Status.DISCOVERED:
            return TryAgain(now)
        if journey.consequence(failure.error).pause:
            return TryAgain(now + self.patience.first_wait)
        return self._decide(failure.error, failure.item.tries + failure.burn)

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
            # Its bytes are not those that size and time promised: it is hashed anew.
            tx.forget_hashes([f.item for f in back if isinstance(f.error, SourceChanged)])
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
                if error.cure is Cure.PERSON and not journey.is_alyx_away(error, work.lab):
                    raise
                self.keep_back(work.lab, error)
                again = self._decide(error, 1)
                at = again.at if isinstance(again, TryAgain) else self._soon()
                with self.ledger.guarded(work.lease) as tx:
                    tx.postpone([(item, error) for item in items], at=at, burn=0)
                continue
            with self.ledger.guarded(work.lease) as tx:
                for failure, because in some:
                    tx.hold([(failure.item, failure.error)], because=because)

    def whole(self, lease: Lease, error: TransferError) -> None:
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

    def keep_back(self, lab: Lab, error: TransferError) -> set[str]:
        """A step could not be done although others can: keep back the endpoint it failed at; answers its name."""
        log.warning("step_put_off", code=error.code, because=error.sentence)
        name = self._keep_back(lab, error) if journey.consequence(error).endpoint else None
        return {name} if name else set()

    def _soon(self) -> datetime:
        return self.ledger.moment() + self.patience.first_wait

    def _keep_back(self, lab: Lab, error: TransferError) -> str | None:
        """Keep the failed endpoint's work back until it may have recovered, or until a person resumes it."""
        name = journey.endpoint_of(error, lab)
        if name is not None:
            self.endpoint_failed(name, error)
        return name

    def endpoint_failed(self, name: str, error: TransferError) -> None:
        """Pause the endpoint, or keep it back; several that ran into one failure at once count once."""
        incidents.note(self.ledger, error, name)
        if journey.consequence(error).pause:
            endpoints.pause(self.ledger, name, by=endpoints.PROGRAM, reason=error.sentence, code=error.code)
            return
        state = endpoints.state(self.ledger, name)
        now = self.ledger.moment()
        counted = state is not None and state.breaker is Breaker.OPEN and error.after is None
        if counted and state is not None and state.retry_at is not None and state.retry_at > now:
            return
        failures = state.failures if state else 0
        wait = wait_before(failures + 2, self.patience, chance=self.chance(), asked=error.after)
        endpoints.failed(self.ledger, name, error, retry_at=now + wait)

    def _lab_of(self, lease: Lease) -> Lab:
        source = self.ledger.source_of(lease)
        return next(lab for lab in self.labs if lab.repository == source)


def settle_central(work: Work, items: Sequence[Item]) -> None:
    """Read the central records of items that are about to be closed or held; withdraw what is known to be wrong.

    An item is closed or held only after this: a worker may have died between its PATCH and its read-back.  A
    copy that somebody else announced and that we never looked at is not ours to judge.
    """
    known = work.catalog.datasets([item.uuid for item in items if item.dataset_uuid])
    for item in items:
        dataset = known.get(item.dataset_uuid) if item.dataset_uuid else None
        record = central_record(item, dataset) if dataset else None
        if dataset is not None and record is not None and record.exists and _known_wrong(item, dataset.md5):
            work.ensure()
            work.catalog.announce(record.id, False)
    coexistence.clear(work, items)


def _known_wrong(item: Item, announced: str) -> bool:
    """Whether the store is known not to hold the bytes of the announced hash.

    What we put there ourselves is known; and an attempt to send begins with a look at what stands there, unless a
    mover was asked to send: then nobody looked.
    """
    if item.stored_md5 is not None:
        return compare(announced, item.stored_md5) is not Comparison.EQUAL
    if item.partial and "/" in item.partial:
        return False
    return item.attempt is not None or (item.status is Status.PLANNED and item.tries > 0)
