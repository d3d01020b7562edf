"""Which datasets are protected: a dataset is when any of its tags says so."""

from collections.abc import Sequence
from typing import Any

from sandbox.alyx.alf import Place
from sandbox.alyx.model import Row
from sandbox.alyx.store import Store


def protecting(store: Store, row: Row) -> list[str]:
    """Names of the tags that protect this dataset."""
    tags = (store.tables["tags"][key] for key in row["tags"])
    return [tag["name"] for tag in tags if tag["protected"]]


def protection(
    store: Store, session: str | None, belongs: tuple[str, str] | None, places: Sequence[Place]
) -> tuple[bool, list[dict[str, Any]]]:
    """Whether any is protected, and per file its revisions (newest first, the unrevised last)."""
    details = []
    refused = False
    for place in places:
        rows = [
            row
            for row in store.named(session, place.name)
            if row["collection"] == place.collection and row["object_id"] == (belongs[1] if belongs else None)
        ]
        rows.sort(key=lambda row: _created(store, row), reverse=True)
        states = []
        for row in rows:
            revision = store.get("revisions", row["revision"])
            states.append({revision["name"] if revision else "": bool(protecting(store, row))})
        refused = refused or any(any(state.values()) for state in states)
        name = f"{place.collection}/{place.name}" if place.collection else place.name
        details.append({name: states})
    return refused, details


def _created(store: Store, row: Row) -> str:
    revision = store.get("revisions", row["revision"])
    return "" if revision is None else str(revision["created_datetime"])
