"""Alembic's way into the ledger's migrations; the connection comes from `transfer.ledger.schema`."""

from typing import Any, Literal

from alembic import context

from transfer.ledger.tables import Instant, metadata


def _render(kind: str, obj: Any, autogen: Any) -> str | Literal[False]:
    if kind == "type" and isinstance(obj, Instant):
        autogen.imports.add("from transfer.ledger.tables import Instant")
        return "Instant()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    render_item=_render,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
