"""What the ledger remembers of notices: what each target was told, how it goes with the target, and silenced labs.

Each target has a memory of its own, so that one that cannot be reached misses nothing and the others hear nothing
twice.  What is told of is found by `concerns`, and what is said of it decided by `transfer.news`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update

from transfer.ledger.engine import insert_into
from transfer.ledger.guarded import chunks
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import notices, silences
from transfer.notices import Digest, Silence, Told

_FORGOTTEN_AFTER = timedelta(days=30)  # since the last word: a target that left the file
_STANDING = "target"  # the first word of the rows in which the targets' failures are kept

# ---- what was told


def told_to(ledger: Ledger, target: str) -> list[Told]:
    """What this target was told and was not forgotten since."""
    with ledger.reading() as connection:
        rows = connection.execute(select(notices).where(_of(target)))
        return [
            Told(
                key=row.told["key"],
                lab=row.lab,
                sentence=row.told["sentence"],
                files=row.told["files"],
                at=row.told_at,
                gone_at=row.over_at,
            )
            for row in rows
        ]


def remember(ledger: Ledger, target: str, found: Digest, *, sent: bool) -> None:
    """Write down what a digest changes: in any case, and what holds only where its message was sent."""
    after = {one.key: one for one in (*found.keep, *(found.tell if sent else ()))}
    gone = [*found.forget, *(found.over if sent else ())]
    if not after and not gone:
        return
    with ledger.writing() as connection:
        keys = [f"{target} {key}" for key in (*gone, *after)]
        for some in chunks(keys):
            connection.execute(delete(notices).where(notices.c.key.in_(some)))
        rows = [_row(target, one) for key, one in after.items() if key not in gone]
        if rows:
            connection.execute(insert_into(connection, notices).on_conflict_do_nothing(), rows)


def forget_strangers(ledger: Ledger, targets: Sequence[str]) -> None:
    """Forget targets that nobody names any more."""
    known = [_of(one) for one in targets] + [notices.c.key == f"{_STANDING} {one}" for one in targets]
    with ledger.writing() as connection:
        old = notices.c.told_at < ledger.now(connection) - _FORGOTTEN_AFTER
        connection.execute(delete(notices).where(old, *(~one for one in known)))


def _of(target: str) -> ColumnElement[bool]:
    return notices.c.key.startswith(f"{target} ", autoescape=True)


def _row(target: str, one: Told) -> dict[str, Any]:
    return {
        "key": f"{target} {one.key}",
        "lab": one.lab,
        "told": {"key": one.key, "sentence": one.sentence, "files": one.files},
        "told_at": one.at,
        "over_at": one.gone_at,
    }


# ---- how it goes with the targets


@dataclass(frozen=True, kw_only=True, slots=True)
class Failing:
    """A target that could not be told, so many times in a row."""

    target: str
    name: str
    failures: int
    tried_at: datetime
    why: str


def failing(ledger: Ledger) -> list[Failing]:
    """Every target whose last message was not sent."""
    with ledger.reading() as connection:
        rows = connection.execute(select(notices).where(_of(_STANDING)).order_by(notices.c.key))
        return [
            Failing(
                target=row.key.partition(" ")[2],
                name=row.told["name"],
                failures=row.told["failures"],
                tried_at=row.told_at,
                why=row.told["why"],
            )
            for row in rows
        ]


def sent(ledger: Ledger, target: str, name: str, title: str) -> None:
    """The target was told; an earlier failure of it is over."""
    with ledger.unguarded() as tx:
        tx.connection.execute(delete(notices).where(notices.c.key == f"{_STANDING} {target}"))
        tx.log("notice", [(name, "told", None, None, title)])


def not_sent(ledger: Ledger, target: str, name: str, why: str) -> None:
    """The target could not be told; an event is written when this is news."""
    key = f"{_STANDING} {target}"
    with ledger.unguarded() as tx:
        row = tx.connection.execute(select(notices.c.told).where(notices.c.key == key)).first()
        failures = 1 + (int(row.told["failures"]) if row else 0)
        values = {
            "told": {"name": name, "failures": failures, "why": why},
            "told_at": tx.now,
        }
        tx.connection.execute(
            insert_into(tx.connection, notices).values(key=key, **values).on_conflict_do_nothing()
        )
        tx.connection.execute(update(notices).where(notices.c.key == key).values(**values))
        if failures == 1:
            tx.log("notice", [(name, "not told", None, None, why)])


# ---- silences


def silenced(ledger: Ledger) -> list[Silence]:
    """Every silence that was not ended, by lab; one whose time is over holds nothing back."""
    with ledger.reading() as connection:
        rows = connection.execute(select(silences).order_by(silences.c.lab))
        return [Silence(lab=row.lab, until=row.until, by=row.by, why=row.why) for row in rows]


def silence(ledger: Ledger, lab: str, *, until: datetime | None, why: str) -> Silence:
    """Tell nothing of this lab until then, or until somebody ends it; said again, the last word holds."""
    with ledger.unguarded() as tx:
        tx.connection.execute(delete(silences).where(silences.c.lab == lab))
        values = {"lab": lab, "until": until, "by": tx.actor, "why": why}
        tx.connection.execute(insert_into(tx.connection, silences).values(**values))
        detail = {"until": until.isoformat()} if until else None
        tx.log("lab", [(lab, "silenced", None, None, why)], detail)
        return Silence(lab=lab, until=until, by=tx.actor, why=why)


def unsilence(ledger: Ledger, lab: str, *, why: str | None = None) -> bool:
    """Speak of this lab again; False where it was not silenced."""
    with ledger.unguarded() as tx:
        ended = tx.connection.execute(delete(silences).where(silences.c.lab == lab))
        if ended.rowcount:
            tx.log("lab", [(lab, "silence ended", None, None, why)])
        return ended.rowcount > 0
