"""Who opened a partial, and what a mover was asked"""

import sqlalchemy as sa
from alembic import op
from transfer.ledger.tables import Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("items") as items:
        items.add_column(sa.Column("opened_by", sa.String(length=200), nullable=True))
    with op.batch_alter_table("batches") as batches:
        batches.add_column(sa.Column("note", sa.Text(), nullable=True))
    op.create_table(
        "stagings",
        sa.Column("submission_key", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("clean_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("submission_key", name=op.f("pk_stagings")),
    )
