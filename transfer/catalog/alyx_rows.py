"""From Alyx's JSON to the catalogue's values, strictly.  Pure.

A row that lacks a field or holds another type raises `CatalogBroken`, which says which row and what is wrong;
it never surfaces as a KeyError.  Paths are taken over as they are: whoever uses one calls `refuse_unsafe`.
Rows of `/files` have no id: it is the end of their url.  Times are naive server time and stay so.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import PurePosixPath
from typing import Any, TypeVar
from uuid import UUID

from transfer.catalog.base import (
    AgentTask,
    CatalogDataset,
    CatalogSession,
    DatasetType,
    FileRecord,
    Registered,
    Repository,
)
from transfer.errors import CatalogBroken

Value = TypeVar("Value")
Row = Mapping[str, Any]

_UUID_LENGTH = 36


def read(reader: Callable[[Row], Value], row: Any, of: str) -> Value:
    """`reader(row)`; raises `CatalogBroken` with the place `of` when the row is not what it should be."""
    try:
        return reader(row)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"missing {error}" if isinstance(error, KeyError) else str(error)
        do = "Tell Alyx's administrator; this program was written for Alyx 3.6."
        raise CatalogBroken(f"Alyx answered with a row we cannot read ({what})", to=of, do=do) from error


def file_record(row: Row) -> FileRecord:
    """A row of `/files`."""
    return FileRecord(
        id=_end(row["url"]),
        dataset=_end(row["dataset"]) if row["dataset"] is not None else None,
        repository=_text(row["data_repository"]),
        path=PurePosixPath(_text(row["relative_path"])),
        exists=_flag(row["exists"]),
        json=_object(row["json"]),
    )


def nested_record(row: Row, dataset: UUID) -> FileRecord:
    """A record as `/datasets` and `/register-file` nest it: with an id and without its json."""
    return FileRecord(
        id=UUID(row["id"]),
        dataset=dataset,
        repository=_text(row["data_repository"]),
        path=PurePosixPath(_text(row["relative_path"])),
        exists=_flag(row["exists"]),
    )


def dataset(row: Row) -> CatalogDataset:
    """A row of `/datasets`."""
    id_ = _end(row["url"])
    return CatalogDataset(
        id=id_,
        session=_end(row["session"]) if row["session"] is not None else None,
        name=_text(row["name"]),
        collection=_text(row["collection"] or ""),
        revision=_text(row["revision"] or ""),
        md5=_text(row["hash"] or ""),
        size=_size(row["file_size"]),
        qc=_text(row["qc"]),
        default=_flag(row["default_dataset"]),
        tags=tuple(map(_text, row["tags"])),
        created_at=naive_time(row["created_datetime"]),
        changed_at=naive_time(row["auto_datetime"]),
        records=tuple(nested_record(one, id_) for one in row["file_records"]),
    )


def registered(row: Row) -> Registered:
    """One entry of the answer to `/register-file`."""
    id_ = UUID(row["id"])
    folders = [_text(row["collection"])] if row["collection"] else []
    if row["revision"]:
        folders.append(f"#{_text(row['revision'])}#")
    return Registered(
        dataset=id_,
        path=PurePosixPath(*folders, _text(row["name"])),
        size=_size(row["file_size"]),
        records=tuple(nested_record(one, id_) for one in row["file_records"]),
    )


def session(row: Row) -> CatalogSession:
    """A row of `/sessions`."""
    return CatalogSession(
        id=UUID(row["id"]),
        subject=_text(row["subject"]),
        date=day_of(row),
        number=_whole(row["number"]),
        lab=_text(row["lab"]),
    )


def day_of(row: Row) -> date:
    """The day a session started, in server time."""
    return naive_time(row["start_time"]).date()


def dataset_type(row: Row) -> DatasetType:
    """A row of `/dataset-types`."""
    return DatasetType(name=_text(row["name"]), pattern=_text(row["filename_pattern"] or ""))


def extension(row: Row) -> str:
    """The extension of a row of `/data-formats`, with its dot; '' for a format without one."""
    return _text(row["file_extension"] or "")


def repository(row: Row) -> Repository:
    """A row of `/data-repository`."""
    url, personal = row["data_url"], row["globus_is_personal"]
    return Repository(
        name=_text(row["name"]),
        globus_path=_text(row["globus_path"] or ""),
        data_url=_text(url) if url else None,
        personal=_flag(personal) if personal is not None else None,
        json=_object(row["json"]),
    )


def agent_task(row: Row) -> AgentTask:
    """A row of `/tasks`."""
    return AgentTask(
        id=UUID(row["id"]),
        name=_text(row["name"]),
        status=_text(row["status"]),
        arguments=_object(row["arguments"]),
        log=_text(row["log"]) if row["log"] is not None else None,
    )


def naive_time(value: Any) -> datetime:
    """Server time without a zone, whatever the server writes behind it."""
    return datetime.fromisoformat(_text(value)).replace(tzinfo=None)


def _end(url: Any) -> UUID:
    """The id at the end of a url."""
    return UUID(_text(url)[-_UUID_LENGTH:])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _size(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _object(value: Any) -> Row | None:
    """A JSON object.  Anybody may write anything into a json field, so what is no object counts as none:
    one such row must not make a whole list unreadable."""
    return value if isinstance(value, dict) else None
