"""The ledger's tables, and nothing else: names as in the glossary, one row kind per table.

Times are aware and UTC (`Instant`); a *lease* is three columns; `open` is 1 while a row still moves and
NULL afterwards, so that "one open item per copy" is an ordinary unique index on every database.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON as Json
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    literal_column,
    text,
)


class Instant(TypeDecorator[datetime]):
    """An aware moment, kept in UTC.  A naive one is a defect and refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment without a time zone: {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

OPEN: ColumnElement[int] = literal_column("1")
"""The value of `open` while a row moves, written into the statement: bound as a parameter it would hide from
the database that the partial indexes serve the question."""

STRAY = "open IS NULL AND status <> 'recorded' AND status <> 'superseded' AND status <> 'abandoned'"
"""The condition that an item is closed and has not ended, as its index has it: a question must repeat it."""

WRONG = "condition = 'damaged' OR condition = 'missing'"
"""The condition that a copy is known to be wrong, as its index has it: a question must repeat it."""

# Letter by letter, as SQLite compares by itself: only then is the beginning of a name a range of an index.
_Plain = String(200).with_variant(String(200, collation="C"), "postgresql")

# SQLite numbers a row by itself only when its key is INTEGER; elsewhere keys are 64 bits wide.
_Key = BigInteger().with_variant(Integer, "sqlite")


def _key() -> Column[int]:
    return Column("id", _Key, primary_key=True)


def _lease() -> tuple[Column[Any], ...]:
    return (
        Column("lease_token", String(8)),
        Column("lease_holder", String(200)),
        Column("lease_until", Instant),
    )


def _hold() -> tuple[Column[Any], ...]:
    return (
        Column("not_before", Instant),
        Column("hold", String(64)),
        Column("hold_text", Text),
    )


ledger = Table(
    "ledger",
    metadata,
    Column("uuid", Uuid, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("mirrored_event", BigInteger, nullable=False),
    Column("watermarks", Json, nullable=False),
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("breaker", String(16), nullable=False, server_default="closed"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("retry_at", Instant),
    Column("paused_by", String(200)),
    Column("pause_reason", Text),
    Column("pace", Json),
    Column("capabilities", Json),
    Column("free_bytes", BigInteger),
    Column("probed_at", Instant),
    Column("credential_until", Instant),
    Column("bandwidth", Json(none_as_null=True)),  # a person's limit, above the config's
    Column("timetable", Json(none_as_null=True)),  # and a person's timetable
)

incidents = Table(
    "incidents",
    metadata,
    _key(),
    Column("key", String(220), nullable=False),  # code and endpoint: what makes failures one incident
    Column("code", String(16), nullable=False),
    Column("endpoint", String(200)),
    Column("text", Text, nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("open", Integer),
    UniqueConstraint("key", "open"),
)

sessions = Table(
    "sessions",
    metadata,
    _key(),
    Column("source", String(200), nullable=False),
    Column("path", String(300), nullable=False),
    Column("lab", String(200), nullable=False),
    Column("subject", _Plain, nullable=False),
    Column("date", Date, nullable=False),
    Column("number", Integer, nullable=False),
    Column("eid", Uuid),
    Column("origin", String(8), nullable=False),
    Column("complete_at", Instant),
    Column("looked_at", Instant),
    Column("look", String(32)),  # fingerprint of the last look at the folder
    Column("done_look", String(32)),  # fingerprint of the look that was wholly discovered and registered
    Column("unquiet_since", Instant),
    Column(
        "priority", Integer, nullable=False, server_default="0"
    ),  # a person's word: the highest goes first
    *_hold(),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("error", String(16)),
    Column("error_text", Text),
    *_lease(),
    UniqueConstraint("source", "path"),
    Index(
        "ix_sessions_due",
        "not_before",
        sqlite_where=text("hold IS NULL"),
        postgresql_where=text("hold IS NULL"),
    ),
    Index(
        "ix_sessions_held",
        "id",
        sqlite_where=text("hold IS NOT NULL"),
        postgresql_where=text("hold IS NOT NULL"),
    ),
    Index(
        "ix_sessions_leased",
        "lease_until",
        sqlite_where=text("lease_until IS NOT NULL"),
        postgresql_where=text("lease_until IS NOT NULL"),
    ),
    Index(
        "ix_sessions_new",
        "date",
        "id",
        sqlite_where=text("complete_at IS NULL"),
        postgresql_where=text("complete_at IS NULL"),
    ),
    # Lists show the newest first, of everything, of one lab or of one subject.
    Index("ix_sessions_date_id", "date", "id"),
    Index("ix_sessions_lab_date_id", "lab", "date", "id"),
    Index("ix_sessions_subject_date_id", "subject", "date", "id"),
)

datasets = Table(
    "datasets",
    metadata,
    _key(),
    Column("session", _Key, ForeignKey("sessions.id"), nullable=False),
    Column("path", String(1000), nullable=False),
    Column("dataset_uuid", Uuid),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("md5", String(32)),
    Column("sha256", String(64)),
    Column("hashed_at", Instant),
    Column("registered_md5", String(64)),
    Column("registered_size", BigInteger),
    Column("registered_at", Instant),
    Column("hash_origin", String(16)),
    Column("unregistrable", Text),
    Column("gone_at", Instant),
    UniqueConstraint("session", "path"),
    Index("ix_datasets_dataset_uuid", "dataset_uuid"),
    Index(
        "ix_datasets_unregistrable",
        "session",
        sqlite_where=text("unregistrable IS NOT NULL"),
        postgresql_where=text("unregistrable IS NOT NULL"),
    ),
)

copies = Table(
    "copies",
    metadata,
    _key(),
    Column("dataset", _Key, ForeignKey("datasets.id"), nullable=False),
    Column("repository", String(200), nullable=False),
    Column("record_uuid", Uuid),
    Column("path", String(1100)),
    Column("proved_md5", String(32)),
    Column("proved_size", BigInteger),
    Column("proof", String(16)),
    Column("proved_at", Instant),
    Column("store_mtime_ns", BigInteger),
    Column("announced", Boolean),
    Column("pending_at", Instant),
    Column("condition", String(16), nullable=False),
    UniqueConstraint("dataset", "repository"),
    UniqueConstraint("repository", "path"),
    Index("ix_copies_record_uuid", "record_uuid"),
    Index("ix_copies_wrong", "id", sqlite_where=text(WRONG), postgresql_where=text(WRONG)),
)

batches = Table(
    "batches",
    metadata,
    _key(),
    Column("source", String(200), nullable=False),
    Column("target", String(200), nullable=False),
    Column("transport", String(32), nullable=False),
    Column("files", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("bytes_moved", BigInteger, nullable=False, server_default="0"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("not_before", Instant),
    Column("cancel_at", Instant),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("error", String(16)),
    Column("error_text", Text),
    Column("submission_key", String(64), unique=True),
    Column("document", Json),
    Column("task", String(64)),
    Column("deadline", Instant),
    Column("note", Text),  # what the mover says of the task
    Column("open", Integer, server_default="1"),
    *_lease(),
    Index(
        "ix_batches_open",
        "target",
        "priority",
        sqlite_where=text("open = 1"),
        postgresql_where=text("open = 1"),
    ),
)

items = Table(
    "items",
    metadata,
    _key(),
    Column("copy", _Key, ForeignKey("copies.id"), nullable=False),
    Column("md5", String(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("open", Integer, server_default="1"),
    Column("batch", _Key, ForeignKey("batches.id")),
    Column("attempt", String(8)),
    Column("partial", String(80)),
    Column("opened_by", String(200)),  # the process that was to open it: see `processes`
    Column("proof", String(16)),
    Column("proved_at", Instant),
    Column("tries", Integer, nullable=False, server_default="0"),
    *_hold(),
    Column("error", String(16)),
    Column("error_text", Text),
    Column("since", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("copy", "open"),
    Index(
        "ix_items_due",
        "batch",
        "status",
        "not_before",
        sqlite_where=text("open = 1 AND hold IS NULL"),
        postgresql_where=text("open = 1 AND hold IS NULL"),
    ),
    Index(
        "ix_items_held",
        "hold",
        sqlite_where=text("open = 1 AND hold IS NOT NULL"),
        postgresql_where=text("open = 1 AND hold IS NOT NULL"),
    ),
    Index("ix_items_backlog", "created_at", sqlite_where=text("open = 1"), postgresql_where=text("open = 1")),
    Index("ix_items_batch", "batch"),
    Index(
        "ix_items_superseded",
        "copy",
        sqlite_where=text("status = 'superseded'"),
        postgresql_where=text("status = 'superseded'"),
    ),
    Index("ix_items_stray", "id", sqlite_where=text(STRAY), postgresql_where=text(STRAY)),
)

stagings = Table(
    "stagings",
    metadata,
    Column("submission_key", String(64), primary_key=True),
    Column("target", String(200), nullable=False),
    Column("clean_at", Instant, nullable=False),  # from then on no task can write there any more
)

receipts = Table(
    "receipts",
    metadata,
    _key(),
    Column("copy", _Key, ForeignKey("copies.id"), nullable=False),
    Column("item", _Key, ForeignKey("items.id")),
    Column("kind", String(16), nullable=False),
    Column("md5", String(32), nullable=False),
    Column("sha256", String(64)),
    Column("size", BigInteger, nullable=False),
    Column("proof", String(16), nullable=False),
    Column("proved_at", Instant, nullable=False),
    Column("read_back_at", Instant, nullable=False),
    Column("body", Text, nullable=False),
    Column("sha256_of_body", String(64), nullable=False),
    Index(
        "uq_receipts_arrival",
        "item",
        unique=True,
        sqlite_where=text("kind = 'arrival'"),
        postgresql_where=text("kind = 'arrival'"),
    ),
    Index("ix_receipts_copy", "copy"),
)

BY_A_PERSON = "actor >= 'person:' AND actor < 'person;'"
"""The condition that a person did it, as the index of the audit log has it: a question must repeat it to the letter."""

events = Table(
    "events",
    metadata,
    _key(),
    Column("at", Instant, nullable=False),
    Column("subject", String(16), nullable=False),  # item, session, batch, endpoint, ledger
    Column("subject_id", String(200), nullable=False),
    Column("what", String(32), nullable=False),
    Column("was", String(32)),
    Column("became", String(32)),
    Column("actor", String(200), nullable=False),
    Column("why", Text),
    Column("attempt", String(8)),
    Column("detail", Json(none_as_null=True)),
    Index("ix_events_subject", "subject", "subject_id", "id"),
    Index(
        "ix_events_people",
        "id",
        sqlite_where=text(BY_A_PERSON),
        postgresql_where=text(BY_A_PERSON),
    ),
)

hours = Table(
    "hours",
    metadata,
    Column("hour", Instant, primary_key=True),
    Column("source", String(200), primary_key=True),
    Column("target", String(200), primary_key=True),
    Column("outcome", String(16), primary_key=True),
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("seconds", BigInteger, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("last_run", Instant),
    Column("last_outcome", Text),
    *_lease(),
)

workers = Table(
    "workers",
    metadata,
    Column("holder", String(200), primary_key=True),  # as its leases name it
    Column("host", String(200), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(64), nullable=False),
    Column("hands", Integer, nullable=False),  # pieces of work at once
    Column("duty", String(500), nullable=False, server_default=""),  # what it takes: labs, "central"
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("stopped_at", Instant),
)

schema_floor = Table(
    "schema_floor",
    metadata,
    Column(
        "revision", String(32), nullable=False
    ),  # programs that know this schema may work here (see `schema`)
)

tokens = Table(
    "tokens",
    metadata,
    _key(),
    Column("name", String(200), nullable=False),
    Column(
        "digest", String(64), nullable=False, unique=True
    ),  # sha256 of the token; the token itself is never kept
    Column("role", String(16), nullable=False),
    Column("made_by", String(200), nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("until", Instant),
    Column("revoked_at", Instant),
    Column("used_at", Instant),
)

notices = Table(
    "notices",
    metadata,
    Column("key", String(220), primary_key=True),  # what was told: one cause at one place
    Column("lab", String(200)),
    Column("told", Json, nullable=False),  # what was said last, so that nothing is said twice
    Column("told_at", Instant, nullable=False),
    Column("over_at", Instant),
)

silences = Table(
    "silences",
    metadata,
    Column("lab", String(200), primary_key=True),
    Column("until", Instant),
    Column("by", String(200), nullable=False),
    Column("why", Text),
)
