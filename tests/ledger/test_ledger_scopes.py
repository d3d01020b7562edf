"""Conditions on rows: each means the same in every query that it stands in."""

from pathlib import Path

from sqlalchemy import select

from tests.ledger.build import Place
from transfer.ledger.scopes import with_open_items
from transfer.ledger.tables import copies, datasets, items, sessions
from transfer.status import Status


def test_a_session_with_open_files_is_one_also_where_items_are_joined(tmp_path: Path) -> None:
    """The item that is joined is a finished one: the condition looks at all of the session's."""
    place = Place(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    place.at(Status.RECORDED)
    place.at(Status.PLANNED, subject="SW_013")
    alone = select(sessions.c.subject).where(with_open_items())
    joined = (
        select(sessions.c.subject)
        .join(datasets, datasets.c.session == sessions.c.id)
        .join(copies, copies.c.dataset == datasets.c.id)
        .join(items, items.c.copy == copies.c.id)
        .where(with_open_items())
        .distinct()
    )
    with place.ledger.reading() as connection:
        assert connection.scalars(alone).all() == ["SW_013"]
        assert connection.scalars(joined).all() == ["SW_013"]
    place.close()
