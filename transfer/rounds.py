"""The regular rounds: scan, sweep, reconcile, probe, tidy, prove, sanity, mirror, report, notices.

Each is guarded by a row of `jobs`, so that two beats, or a beat and a person, do not walk the same round at
once, and one that was missed is made up once.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import timedelta

import structlog

from transfer import agent
from transfer.errors import LostRace, TransferError
from transfer.ledger import audits, endpoints, incidents, reports, sanity
from transfer.ledger.jobs import claim_job, job_ran
from transfer.ledger.leases import Lease
from transfer.ledger.ledger import Ledger
from transfer.model import Lab
from transfer.notifying import Notifier, notify
from transfer.pulse import Pulse
from transfer.recurrence import ALWAYS, Recurrence
from transfer.runner import Runner
from transfer.steps.audit import Audit, Audited, Finding
from transfer.steps.probe import Looks, look_at_store, probe
from transfer.steps.reconcile import reconcile
from transfer.steps.reprove import reprove
from transfer.steps.scan import scan
from transfer.steps.tidy import tidy, tidy_staging
from transfer.transports.base import Readable
from transfer.transports.delegated import DelegatedTransport
from transfer.words import size

log = structlog.get_logger()

_EVERYTHING_EVERY = timedelta(days=7)
_CHOICE = 10  # so many times the sample are candidates: what stays unreadable must not fill every sample

MaybeOpen = Callable[[str], Callable[[], AbstractContextManager[Readable]] | None]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The sampled proof over HTTP: how many files a round, and the ways to a store; None where there is no such way.

    `web` may raise what the catalogue raises.
    """

    files: int
    web: MaybeOpen
    own: MaybeOpen


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """The rounds of one installation.  `version` is what the agent's row says of the program."""

    runner: Runner
    version: str
    tidy_age: timedelta = timedelta(hours=24)
    sample: Sample | None = None
    notifier: Notifier | None = None

    @property
    def ledger(self) -> Ledger:
        return self.runner.ledger

    def start(self) -> None:
        """Before anything moves: make the endpoints' rows and refuse a ledger that is not the right one.

        Raises `ForeignLedger`, `RestoredLedger`, and what the catalogue raises.
        """
        labs = self.runner.labs
        endpoints.ensure(
            self.ledger, [endpoints.ALYX, *(lab.repository for lab in labs), *self.runner.transports]
        )
        for lab in labs:
            if self.runner.has_disk_of(lab):
                agent.mirror(self.ledger, self.runner.catalog, lab, version=self.version)
            else:
                agent.check_owner(self.ledger, self.runner.catalog, lab)

    def scan(self, lab: Lab, *, when: Recurrence = ALWAYS) -> str | None:
        """Look for sessions that need a visit."""

        def run() -> str:
            found = scan(self.ledger, self.runner.catalog, lab)
            for trouble in found.troubles:
                log.warning("folder_not_read", because=trouble.sentence)
            return f"{found.sessions} sessions, {found.due} due"

        return self._job(f"scan {lab.name}", when, run)

    def sweep(self, lab: Lab) -> tuple[Sequence[int], Sequence[int]]:
        """Plan what the lab has registered; answers its sessions and batches that are due now.

        Where an endpoint failed and its time has come, a look goes first, so that no batch runs into it.
        """
        if self.runner.keeper:
            self.runner.keeper.close_idle()
        ours = [] if lab.store in self.runner.movers else [lab.store]
        self.probe([endpoints.ALYX, lab.repository, *ours])
        self.runner.plan_of(lab)
        self.ledger.close_empty_batches()
        return self.runner.due_sessions(lab), self.runner.due_to_send(lab)

    def sweep_centrally(self) -> Sequence[int]:
        """What no lab's worker does: answers the batches that movers carry and that are due now."""
        self.probe([endpoints.ALYX, *sorted(self.runner.movers)])
        self.runner.plan()
        self.ledger.close_empty_batches()
        return self.runner.due_with_movers()

    def probe(self, names: Sequence[str]) -> Mapping[str, TransferError | None]:
        """Look whether what failed is well again; answers what was found, None where it is."""
        incidents.look_at_all(self.ledger)
        return probe(self._looks, names)

    @property
    def _looks(self) -> Looks:
        return Looks(
            ledger=self.ledger,
            catalog=self.runner.catalog,
            labs=self.runner.labs,
            open_transport=self.runner.open_transport,
            failed=self.runner.aftermath.endpoint_failed,
        )

    def look(self, store: str, *, when: Recurrence = ALWAYS) -> str | None:
        """See whether a store answers, what is free there, and when our credential ends.

        A failure is the round's own: what keeps work back is work that failed, where it is done.
        """

        def run() -> str:
            free = look_at_store(self._looks, store)
            return "it answers" if free is None else f"it answers, {size(free)} are free"

        return self._job(f"probe {store}", when, run)

    def reconcile(self, lab: Lab, *, when: Recurrence = ALWAYS) -> str | None:
        """Compare Alyx with what was proved (everything once a week), and prove again what a store could not flush."""

        def run() -> str:
            mark = f"reconcile everything {lab.name}"
            now = self.ledger.moment()
            last = self.ledger.watermark(mark)
            everything = last is None or now.isoformat() >= last
            fixes = reconcile(
                self.ledger,
                self.runner.catalog,
                lab,
                open_store=lambda: self.runner.reading(lab.store),
                everything=everything,
            )
            fixes["proved again"], fixes["lost by the store"] = reprove(
                self.ledger,
                self.runner.catalog,
                lab,
                open_store=lambda: self.runner.reading(lab.store),
            )
            if everything:
                self.ledger.set_watermark(mark, (now + _EVERYTHING_EVERY).isoformat())
            return (
                ", ".join(f"{what}: {count}" for what, count in sorted(fixes.items()) if count)
                or "nothing to mend"
            )

        return self._job(f"reconcile {lab.name}", when, run)

    def tidy(self, store: str, *, when: Recurrence = ALWAYS) -> str | None:
        """Remove what dead attempts left at a store."""

        def run() -> str:
            with self.runner.open_transport(store) as transport:
                if isinstance(transport, DelegatedTransport):
                    return f"{len(tidy_staging(self.ledger, store, transport))} staging folders removed"
                removed = tidy(
                    self.ledger, store, transport, now=self.ledger.moment(), older_than=self.tidy_age
                )
            return f"{len(removed)} leftovers removed"

        return self._job(f"tidy {store}", when, run)

    def prove(self, store: str, *, when: Recurrence = ALWAYS) -> str | None:
        """Read a few stored copies as readers do, those that were not proved for the longest time."""

        def run() -> str:
            sample = self.sample
            open_web = sample.web(store) if sample is not None and sample.files else None
            if sample is None or open_web is None:
                return "not proved over HTTP: no data_url in Alyx, or proof_files is 0"
            candidates = audits.least_proved(self.ledger, store, limit=_CHOICE * sample.files)
            copies = random.sample(candidates, min(sample.files, len(candidates)))
            audit = Audit(
                ledger=self.ledger,
                catalog=self.runner.catalog,
                store=store,
                open_web=open_web,
                open_store=sample.own(store),
            )
            return _told(list(audit.run(copies)))

        return self._job(f"prove {store}", when, run)

    def sanity(self, *, when: Recurrence = ALWAYS) -> str | None:
        """Find rows of the ledger that nobody would ever look at again, and give each its next step or a person."""

        def run() -> str:
            mended = sanity.mend(self.ledger)
            for one in mended:
                log.warning("row_mended", row=f"{one.subject} {one.id}", because=one.says, done=one.done)
            return f"rows without an owner: {len(mended)}"

        return self._job("sanity", when, run)

    def mirror(self, lab: Lab, *, when: Recurrence = ALWAYS) -> str | None:
        """Tell Alyx that we live and what waits."""
        return self._job(
            f"mirror {lab.name}",
            when,
            lambda: agent.mirror(self.ledger, self.runner.catalog, lab, version=self.version),
        )

    def report(self, *, when: Recurrence = ALWAYS) -> str | None:
        """Say in the log, and in the round's outcome, what arrived, what waits and what is held."""

        def run() -> str:
            routes = reports.summary(self.ledger)
            for one in routes:
                log.info("report", **{key: value for key, value in asdict(one).items() if value is not None})
            arrived, waiting, held = (
                sum(getattr(one, key) for one in routes)
                for key in ("day_files", "waiting_files", "held_files")
            )
            return f"arrived in 24 h: {arrived}, waiting: {waiting}, held: {held}"

        return self._job("report", when, run)

    def notices(self, *, when: Recurrence = ALWAYS) -> str | None:
        """Tell people what needs them."""
        notifier = self.notifier
        if notifier is None:
            return None
        labs = {lab.repository: lab.name for lab in self.runner.labs}
        return self._job("notices", when, lambda: notify(self.ledger, notifier, labs=labs))

    def _job(self, name: str, when: Recurrence, run: Callable[[], str]) -> str | None:
        """Run it if it is due and nobody else does; answers what came of it, None when it was not run."""
        lease = claim_job(self.ledger, name, when=when, seconds=self.runner.lease_seconds)
        if lease is None:
            return None
        with Pulse(self.ledger, lease):
            try:
                outcome = run()
            except TransferError as error:
                self._ran(lease, f"[{error.code}] {error.sentence}")
                raise
        self._ran(lease, outcome)
        log.info("round_walked", job=name, outcome=outcome)
        return outcome

    def _ran(self, lease: Lease, outcome: str) -> None:
        try:
            job_ran(self.ledger, lease, outcome)
        except LostRace as lost:
            log.warning("lease_lost", because=lost.sentence)


def _told(audited: Sequence[Audited]) -> str:
    """Log what a person should see, and say the whole in a line."""
    for one in audited:
        if one.finding not in (Finding.RIGHT, Finding.MOVING, Finding.NOT_READ):
            because = one.error.sentence if one.error else one.remark
            log.warning("copy_not_right", path=str(one.copy.path), finding=one.finding, because=because)
    unread = [one.error.sentence for one in audited if one.finding is Finding.NOT_READ and one.error]
    if unread:
        log.warning("copies_not_read", files=len(unread), because=unread[0])
    found = Counter(one.finding.value for one in audited)
    return ", ".join(f"{what}: {count}" for what, count in sorted(found.items())) or "nothing to prove"
