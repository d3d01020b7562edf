"""What each worker takes; and the oldest schema whose programs may still work on this ledger"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("workers") as workers:
        workers.add_column(sa.Column("duty", sa.String(length=500), server_default="", nullable=False))
    floor = op.create_table("schema_floor", sa.Column("revision", sa.String(length=32), nullable=False))
    op.bulk_insert(floor, [{"revision": revision}])
