"""What may be written to each resource, and what a new row holds by default."""

from collections.abc import Mapping
from functools import partial

from sandbox.alyx.fields import Anything, Day, Enum, Flag, Input, Moment, Number, Text, Url, Uuid, Whole
from sandbox.alyx.model import QC, TASK_STATUS
from sandbox.alyx.relations import Link, Pk, Pks, Slug, Slugs

JSON = Anything(null=True)
PATH_PATTERN = r"^[a-zA-Z0-9\_][^\\\:]+$"

_name = partial(Text, required=True, blank=False, longest=255)
_text = partial(Text, default="")
_small = partial(Whole, null=True, least=-32768, most=32767)

INPUTS: Mapping[str, Mapping[str, Input]] = {
    "data-repository-type": {"json": JSON, "name": _name()},
    "data-repository": {
        "name": _name(),
        "timezone": _text(default="UTC", longest=64),
        "globus_path": _text(longest=1000),
        "hostname": _text(longest=200, pattern=r"^[a-zA-Z0-9\.\-\_]+$", message="Invalid hostname"),
        "data_url": Url(null=True, longest=200),
        "repository_type": Slug(null=True, table="data-repository-type"),
        "globus_endpoint_id": Uuid(null=True),
        "globus_is_personal": Flag(null=True),
        "json": JSON,
    },
    "labs": {
        "name": _name(),
        "institution": _text(longest=255),
        "address": _text(longest=255),
        "timezone": _text(default="UTC", longest=64),
        "repositories": Slugs(table="data-repository", default=[]),
        "reference_weight_pct": Number(default=0.0),
        "zscore_weight_pct": Number(default=0.0),
        "json": JSON,
    },
    "dataset-types": {
        "name": Text(blank=True, longest=255, default=""),
        "created_by": Slug(null=True, table="users", field="username"),
        "description": _text(longest=1023),
        "filename_pattern": Text(null=True, longest=255, default=""),
    },
    "data-formats": {
        "json": JSON,
        "name": _name(),
        "description": _text(longest=255),
        "file_extension": Text(
            required=True,
            blank=False,
            longest=255,
            pattern=r"^\.[^\.]+$",
            message="Invalid file extension, should start with a dot",
        ),
        "matlab_loader_function": _text(longest=255),
        "python_loader_function": _text(longest=255),
    },
    "projects": {
        "name": _name(),
        "description": _text(longest=1023),
        "users": Slugs(table="users", field="username", default=[]),
    },
    "revisions": {
        "json": JSON,
        "name": Text(
            required=True,
            blank=False,
            longest=255,
            pattern=r"^[\w.-]+$",
            message="Revisions must only contain letters, numbers, hyphens, underscores and forward slashes",
        ),
        "description": _text(longest=1023),
        "created_datetime": Moment(null=True),
    },
    "tags": {
        "json": JSON,
        "name": _name(),
        "description": _text(longest=1023),
        "protected": Flag(default=False),
        "public": Flag(default=False),
        "hash": Text(null=True, longest=64),
    },
    "users": {"username": _name(longest=150), "email": _text(longest=254)},
    "subjects": {
        "nickname": _name(longest=64),
        "responsible_user": Slug(table="users", field="username"),
        "birth_date": Day(null=True),
        "death_date": Day(null=True),
        "sex": _text(default="U", longest=1),
        "projects": Slugs(table="projects", default=[]),
        "lab": Slug(required=True, table="labs"),
        "description": _text(),
        "json": JSON,
    },
    "sessions": {
        "subject": Slug(required=True, table="subjects", field="nickname"),
        "users": Slugs(table="users", field="username", default=[]),
        "location": Text(null=True),
        "procedures": Anything(default=[]),
        "lab": Slug(null=True, table="labs"),
        "projects": Slugs(table="projects", default=[]),
        "type": Text(null=True, longest=255),
        "task_protocol": _text(longest=1023),
        "number": Whole(null=True, least=-(2**31), most=2**31 - 1),
        "start_time": Moment(null=True),
        "end_time": Moment(null=True),
        "narrative": _text(),
        "parent_session": Link(null=True, table="sessions"),
        "n_correct_trials": Whole(null=True, least=-(2**31), most=2**31 - 1),
        "n_trials": Whole(null=True, least=-(2**31), most=2**31 - 1),
        "extended_qc": Anything(null=True),
        "qc": Enum(name="qc", choices=QC, default=0),
        "json": JSON,
    },
    "datasets": {
        "name": _name(),
        "created_by": Slug(table="users", field="username"),
        "created_datetime": Moment(null=True),
        "dataset_type": Slug(required=True, table="dataset-types"),
        "data_format": Slug(table="data-formats"),
        "collection": Text(null=True, blank=False, default=""),
        "session": Link(table="sessions"),
        "file_size": Whole(null=True),
        "hash": Text(null=True, blank=False, default=""),
        "version": Text(null=True, blank=False, default=""),
        "revision": Slug(table="revisions"),
        "default_dataset": Flag(default=True),
        "subject": Slug(table="subjects", field="nickname"),
        "date": Day(),
        "number": Whole(),
        "tags": Slugs(table="tags", default=[]),
        "qc": Enum(name="qc", choices=QC, default=0),
        "json": JSON,
    },
    "files": {
        "dataset": Link(required=True, table="datasets"),
        "data_repository": Slug(required=True, table="data-repository"),
        "name": _text(longest=255),
        "json": JSON,
        "relative_path": Text(
            required=True, blank=False, longest=1000, pattern=PATH_PATTERN, message="Invalid path"
        ),
        "exists": Flag(default=False),
    },
    "tasks": {
        "parents": Pks(table="tasks", default=[]),
        "session": Pk(required=True, null=True, table="sessions"),
        "data_repository": Slug(null=True, table="data-repository"),
        "status": Enum(name="status", choices=TASK_STATUS, default=10),
        "name": Text(null=True, longest=64),
        "priority": _small(),
        "io_charge": _small(),
        "level": _small(),
        "gpu": _small(),
        "cpu": _small(),
        "ram": _small(),
        "time_out_secs": _small(),
        "time_elapsed_secs": Number(null=True),
        "executable": Text(null=True, longest=128),
        "graph": Text(null=True, longest=64),
        "log": Text(null=True),
        "version": Text(null=True, longest=64),
        "arguments": Anything(null=True),
    },
    "notes": {
        "user": Slug(table="users", field="username"),
        "date_time": Moment(),
        "content_type": Text(required=True),
        "object_id": Uuid(required=True),
        "text": _text(),
        "image": Text(null=True),
        "json": JSON,
    },
}

_COLUMNS = """
id name json created_datetime generating_software file_size md5 created_by data_format dataset_type
provenance_directory session collection hash version auto_datetime default_dataset revision content_type
object_id qc
"""
DATASET_COLUMNS: tuple[str, ...] = tuple(_COLUMNS.split())
"""The dataset table's columns in PostgreSQL's order, for the text of a violated constraint."""
