"""What Alyx's tables look like: the tables, their fields, and how they refer to each other.

One `Model` per REST resource, named by the resource's path. Field names are Django's, because the
`django=` filter and its error messages speak them. A row is a plain dict: a foreign key holds the
target's id, a many-to-many holds a list of ids, a datetime holds naive ISO text, a choice its integer.
Only what the transfer of files can touch is modelled; `hidden` lists further names that the real server
mentions when it cannot resolve a field.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Row = dict[str, Any]

QC: dict[str, int] = {"CRITICAL": 50, "FAIL": 40, "WARNING": 30, "NOT_SET": 0, "PASS": 10}
TASK_STATUS: dict[str, int] = {
    "Waiting": 20,
    "Held": 25,
    "Started": 30,
    "Errored": 40,
    "Abandoned": 45,
    "Empty": 50,
    "Incomplete": 55,
    "Complete": 60,
}


class Kind(StrEnum):
    """How a field compares; the value is the Django class that error messages name."""

    UUID = "UUIDField"
    CHAR = "CharField"
    TEXT = "TextField"
    BOOL = "BooleanField"
    INT = "IntegerField"
    BIG = "BigIntegerField"
    FLOAT = "FloatField"
    DATETIME = "DateTimeField"
    DATE = "DateField"
    JSON = "JSONField"
    FK = "ForeignKey"
    MANY = "ManyToManyField"
    REVERSE = "ManyToOneRel"


@dataclass(frozen=True, slots=True)
class Field:
    """One field; `to` is the target table of a relation, `via` the field there that points back."""

    kind: Kind
    to: str = ""
    via: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """One table: its Django name, its key in URLs, its fields and its default order."""

    name: str
    fields: dict[str, Field]
    key: str = "name"
    order: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    verbose: str = ""
    indexed: tuple[str, ...] = field(default=())

    def names(self) -> list[str]:
        """Every name Django lists as a choice, sorted as it sorts them."""
        found = set(self.hidden)
        for name, item in self.fields.items():
            found.add(name)
            if item.kind is Kind.FK:
                found.add(f"{name}_id")
        return sorted(found)


def _fk(to: str) -> Field:
    return Field(Kind.FK, to)


def _many(to: str) -> Field:
    return Field(Kind.MANY, to)


def _back(to: str, via: str) -> Field:
    return Field(Kind.REVERSE, to, via)


UUID, CHAR, BOOL, INT = Field(Kind.UUID), Field(Kind.CHAR), Field(Kind.BOOL), Field(Kind.INT)
JSON, DATETIME, FLOAT, TEXT = Field(Kind.JSON), Field(Kind.DATETIME), Field(Kind.FLOAT), Field(Kind.TEXT)

MODELS: dict[str, Model] = {
    "data-repository-type": Model(
        "DataRepositoryType",
        {
            "id": UUID,
            "json": JSON,
            "name": CHAR,
            "datarepository": _back("data-repository", "repository_type"),
        },
        order=("name",),
        verbose="data repository type",
    ),
    "data-repository": Model(
        "DataRepository",
        {
            "id": UUID,
            "name": CHAR,
            "json": JSON,
            "repository_type": _fk("data-repository-type"),
            "hostname": CHAR,
            "data_url": CHAR,
            "timezone": CHAR,
            "globus_path": CHAR,
            "globus_endpoint_id": UUID,
            "globus_is_personal": BOOL,
            "filerecord": _back("files", "data_repository"),
            "lab": _back("labs", "repositories"),
            "tasks": _back("tasks", "data_repository"),
        },
        order=("name",),
        verbose="data repository",
    ),
    "labs": Model(
        "Lab",
        {
            "id": UUID,
            "name": CHAR,
            "json": JSON,
            "institution": CHAR,
            "address": CHAR,
            "timezone": CHAR,
            "repositories": _many("data-repository"),
            "reference_weight_pct": FLOAT,
            "zscore_weight_pct": FLOAT,
            "subject": _back("subjects", "lab"),
            "session": _back("sessions", "lab"),
        },
        hidden=("cage_cleaning_frequency_days", "cage_type", "food", "labmembership", "light_cycle"),
        verbose="lab",
    ),
    "users": Model(
        "LabMember",
        {
            "id": UUID,
            "username": CHAR,
            "email": CHAR,
            "is_public_user": BOOL,
            "subjects_responsible": _back("subjects", "responsible_user"),
        },
        key="username",
        hidden=("allowed_users", "is_stock_manager", "is_superuser", "password"),
        verbose="user",
    ),
    "projects": Model(
        "Project",
        {"id": UUID, "json": JSON, "name": CHAR, "description": CHAR, "users": _many("users")},
        verbose="project",
    ),
    "tags": Model(
        "Tag",
        {
            "id": UUID,
            "json": JSON,
            "name": CHAR,
            "description": CHAR,
            "protected": BOOL,
            "public": BOOL,
            "hash": CHAR,
            "datasets": _back("datasets", "tags"),
        },
        verbose="tag",
    ),
    "revisions": Model(
        "Revision",
        {"id": UUID, "json": JSON, "name": CHAR, "description": CHAR, "created_datetime": DATETIME},
        verbose="revision",
    ),
    "dataset-types": Model(
        "DatasetType",
        {
            "id": UUID,
            "json": JSON,
            "name": CHAR,
            "created_by": _fk("users"),
            "description": CHAR,
            "filename_pattern": CHAR,
            "dataset": _back("datasets", "dataset_type"),
        },
        order=("name",),
        verbose="dataset type",
    ),
    "data-formats": Model(
        "DataFormat",
        {
            "id": UUID,
            "json": JSON,
            "name": CHAR,
            "description": CHAR,
            "file_extension": CHAR,
            "matlab_loader_function": CHAR,
            "python_loader_function": CHAR,
            "dataset": _back("datasets", "data_format"),
        },
        order=("name",),
        verbose="data format",
    ),
    "subjects": Model(
        "Subject",
        {
            "id": UUID,
            "json": JSON,
            "nickname": CHAR,
            "lab": _fk("labs"),
            "responsible_user": _fk("users"),
            "projects": _many("projects"),
            "sex": CHAR,
            "description": TEXT,
            "birth_date": Field(Kind.DATE),
            "death_date": Field(Kind.DATE),
            "actions_sessions": _back("sessions", "subject"),
        },
        key="nickname",
        order=("nickname",),
        hidden=("line", "litter", "source", "species", "strain"),
        verbose="subject",
    ),
    "sessions": Model(
        "Session",
        {
            "id": UUID,
            "json": JSON,
            "subject": _fk("subjects"),
            "users": _many("users"),
            "lab": _fk("labs"),
            "location": CHAR,
            "projects": _many("projects"),
            "type": CHAR,
            "task_protocol": CHAR,
            "number": INT,
            "start_time": DATETIME,
            "end_time": DATETIME,
            "narrative": TEXT,
            "parent_session": _fk("sessions"),
            "n_trials": INT,
            "n_correct_trials": INT,
            "qc": INT,
            "extended_qc": JSON,
            "auto_datetime": DATETIME,
            "data_dataset_session_related": _back("datasets", "session"),
            "probe_insertion": _back("insertions", "session"),
            "tasks": _back("tasks", "session"),
        },
        key="id",
        order=("-start_time",),
        hidden=("chronic_insertion", "field_of_view", "notes", "procedures", "wateradmin_session_related"),
        verbose="session",
        indexed=("subject",),
    ),
    "insertions": Model(
        "ProbeInsertion",
        {
            "id": UUID,
            "json": JSON,
            "name": CHAR,
            "model": CHAR,
            "serial": CHAR,
            "session": _fk("sessions"),
            "auto_datetime": DATETIME,
        },
        key="id",
        indexed=("session",),
        verbose="probe insertion",
    ),
    "datasets": Model(
        "Dataset",
        {
            "id": UUID,
            "name": CHAR,
            "json": JSON,
            "created_datetime": DATETIME,
            "generating_software": CHAR,
            "file_size": Field(Kind.BIG),
            "md5": UUID,
            "created_by": _fk("users"),
            "data_format": _fk("data-formats"),
            "dataset_type": _fk("dataset-types"),
            "provenance_directory": _fk("datasets"),
            "session": _fk("sessions"),
            "collection": CHAR,
            "hash": CHAR,
            "version": CHAR,
            "auto_datetime": DATETIME,
            "default_dataset": BOOL,
            "revision": _fk("revisions"),
            "content_type": CHAR,
            "object_id": UUID,
            "qc": INT,
            "tags": _many("tags"),
            "file_records": _back("files", "dataset"),
        },
        key="id",
        hidden=(
            "content_object",
            "content_type_id",
            "data_dataset_provenance_related",
            "download",
            "field_of_view",
            "probe_insertion",
            "protected",
            "public",
        ),
        verbose="dataset",
        indexed=("session",),
    ),
    "files": Model(
        "FileRecord",
        {
            "id": UUID,
            "name": CHAR,
            "json": JSON,
            "dataset": _fk("datasets"),
            "data_repository": _fk("data-repository"),
            "relative_path": CHAR,
            "exists": BOOL,
        },
        key="id",
        verbose="file record",
        indexed=("dataset", "data_repository"),
    ),
    "tasks": Model(
        "Task",
        {
            "id": UUID,
            "json": JSON,
            "name": CHAR,
            "priority": INT,
            "io_charge": INT,
            "level": INT,
            "gpu": INT,
            "cpu": INT,
            "ram": INT,
            "time_out_secs": INT,
            "time_elapsed_secs": FLOAT,
            "executable": CHAR,
            "graph": CHAR,
            "status": INT,
            "log": TEXT,
            "session": _fk("sessions"),
            "version": CHAR,
            "parents": _many("tasks"),
            "datetime": DATETIME,
            "arguments": JSON,
            "data_repository": _fk("data-repository"),
        },
        key="id",
        order=("level", "-priority", "-session__start_time"),
        hidden=("task",),
        verbose="task",
    ),
    "notes": Model(
        "Note",
        {
            "id": UUID,
            "json": JSON,
            "user": _fk("users"),
            "date_time": DATETIME,
            "text": TEXT,
            "image": CHAR,
            "content_type": CHAR,
            "object_id": UUID,
        },
        key="id",
        verbose="note",
    ),
}
