"""When people logged in to the dashboard and out of it: events like all that people do.

A login is over when its person has logged out since, wherever that was: the dashboard asks here, so that it holds for
every dashboard of this ledger, and after a restart.
"""

from datetime import datetime

from sqlalchemy import select

from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import events

PERSON = "person"
_IN, _OUT = "logged_in", "logged_out"


def logged_in(ledger: Ledger, name: str) -> datetime:
    """Write down that somebody logged in; when."""
    return _told(ledger, name, _IN)


def logged_out(ledger: Ledger, name: str) -> datetime:
    """Write down that somebody logged out: every login of theirs is over."""
    return _told(ledger, name, _OUT)


def _told(ledger: Ledger, name: str, what: str) -> datetime:
    with ledger.acting_as(f"person:{name}").unguarded() as tx:
        tx.log(PERSON, [(name, what, None, None, None)])
        return tx.now


def is_over(ledger: Ledger, name: str, since: datetime) -> bool:
    """Whether this person has logged out since."""
    query = (
        select(events.c.at)
        .where(events.c.subject == PERSON, events.c.subject_id == name, events.c.what == _OUT)
        .order_by(events.c.id.desc())
        .limit(1)
    )
    with ledger.reading() as connection:
        last = connection.scalar(query)
    return last is not None and since <= last
