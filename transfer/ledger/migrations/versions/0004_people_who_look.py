"""What the dashboard asks for: indexes of its lists, workers that say they live, machines' tokens, what was told"""

import sqlalchemy as sa
from alembic import op
from transfer.ledger.tables import BY_A_PERSON, STRAY, WRONG, Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for index, table, columns, where in (
        ("ix_sessions_held", "sessions", ["id"], "hold IS NOT NULL"),
        ("ix_sessions_leased", "sessions", ["lease_until"], "lease_until IS NOT NULL"),
        ("ix_sessions_new", "sessions", ["date", "id"], "complete_at IS NULL"),
        ("ix_sessions_date_id", "sessions", ["date", "id"], None),
        ("ix_sessions_lab_date_id", "sessions", ["lab", "date", "id"], None),
        ("ix_sessions_subject_date_id", "sessions", ["subject", "date", "id"], None),
        ("ix_datasets_unregistrable", "datasets", ["session"], "unregistrable IS NOT NULL"),
        ("ix_items_batch", "items", ["batch"], None),
        ("ix_copies_wrong", "copies", ["id"], WRONG),
        ("ix_items_superseded", "items", ["copy"], "status = 'superseded'"),
        ("ix_items_stray", "items", ["id"], STRAY),
        ("ix_events_people", "events", ["id"], BY_A_PERSON),
    ):
        some = sa.text(where) if where else None
        op.create_index(index, table, columns, unique=False, sqlite_where=some, postgresql_where=some)
    op.drop_index("ix_events_subject", "events")
    op.create_index("ix_events_subject", "events", ["subject", "subject_id", "id"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        # Letter by letter, as SQLite compares by itself.
        op.alter_column("sessions", "subject", type_=sa.String(length=200, collation="C"))
    with op.batch_alter_table("sessions") as sessions:
        sessions.add_column(sa.Column("priority", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "workers",
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("hands", sa.Integer(), nullable=False),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.Column("stopped_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("holder", name=op.f("pk_workers")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("made_by", sa.String(length=200), nullable=False),
        sa.Column("made_at", Instant(), nullable=False),
        sa.Column("until", Instant(), nullable=True),
        sa.Column("revoked_at", Instant(), nullable=True),
        sa.Column("used_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
    )
    op.create_table(
        "notices",
        sa.Column("key", sa.String(length=220), nullable=False),
        sa.Column("lab", sa.String(length=200), nullable=True),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.Column("told_at", Instant(), nullable=False),
        sa.Column("over_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_notices")),
    )
    op.create_table(
        "silences",
        sa.Column("lab", sa.String(length=200), nullable=False),
        sa.Column("until", Instant(), nullable=True),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("lab", name=op.f("pk_silences")),
    )
