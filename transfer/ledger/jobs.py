"""The schedule's memory: when each job last ran, and who runs it now.

A beat may ring as often as it likes and two beats may ring at once: a job is taken only when its time has
come and nobody holds it.  A run that was missed while the machine slept is made up once.
"""

from datetime import datetime

from sqlalchemy import select, update

from transfer.ledger.engine import insert_into
from transfer.ledger.leases import Lease, free, take
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import jobs
from transfer.recurrence import Recurrence, is_due


def claim_job(ledger: Ledger, name: str, *, when: Recurrence, seconds: float) -> Lease | None:
    """Take the job for `seconds` if it is due; None when it is not yet due again or somebody runs it.

    Its heart must beat as a batch's does: if its holder dies, nobody runs it until the lease has lapsed.
    """
    ledger.ensure_room()
    with ledger.writing() as connection:
        now = ledger.now(connection)
        connection.execute(insert_into(connection, jobs).values(name=name).on_conflict_do_nothing())
        found = connection.execute(
            select(jobs.c.last_run)
            .where(jobs.c.name == name, free(jobs, now))
            .with_for_update(skip_locked=True)
        ).first()
        if found is None or not is_due(when, found.last_run, now):
            return None
        lease = Lease("job", name, seconds=seconds)
        return lease if take(connection, lease, now) else None


def job_ran(ledger: Ledger, lease: Lease, outcome: str) -> None:
    """Write the run down and give the job back."""
    with ledger.guarded(lease) as tx:
        tx.connection.execute(
            update(jobs)
            .where(jobs.c.name == lease.subject)
            .values(
                last_run=tx.now, last_outcome=outcome, lease_token=None, lease_holder=None, lease_until=None
            )
        )


def last_run(ledger: Ledger, name: str) -> datetime | None:
    """When the job was last walked to its end; None if never."""
    with ledger.reading() as connection:
        return connection.scalar(select(jobs.c.last_run).where(jobs.c.name == name))
