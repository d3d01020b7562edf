"""The documents of tasks and files: every key that the real service's recorded answers have."""

import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.globus.clock import isoformat
from sandbox.globus.errors import DESCRIPTIONS
from sandbox.globus.task import Event, Move, SkippedError, State, Task

Document = dict[str, Any]
USER = "sandbox"


def task_document(task: Task, names: dict[str, str], now: datetime, *, queued: bool) -> Document:
    """A task.  `names` are the display names of collections by id."""
    return {
        "DATA_TYPE": "task",
        "task_id": task.id,
        "type": task.kind,
        "status": task.status,
        "label": task.label,
        "username": USER,
        "owner_id": task.owner_id,
        "command": "API 0.10",
        "request_time": isoformat(task.requested),
        "completion_time": isoformat(task.completed),
        "deadline": isoformat(task.deadline),
        "fatal_error": _fatal(task),
        "history_deleted": False,
        "canceled_by_admin": None,
        "canceled_by_admin_message": None,
        "is_paused": task.paused,
        **_places(task, names),
        **_options(task),
        **_numbers(task, now),
        **_mood(task, queued=queued),
    }


def _fatal(task: Task) -> Document | None:
    if task.fatal is None:
        return None
    return {"code": task.fatal, "description": DESCRIPTIONS.get(task.fatal, task.fatal)}


def _places(task: Task, names: dict[str, str]) -> Document:
    there: Document = {}
    for side, key in (("source", task.source_id), ("destination", task.destination_id)):
        there[f"{side}_endpoint"] = None if key is None else f"{USER}#{key}"
        there[f"{side}_endpoint_id"] = key
        there[f"{side}_endpoint_display_name"] = None if key is None else names.get(key)
        there[f"{side}_base_path"] = None
        there[f"{side}_local_user"] = None
        there[f"{side}_local_user_status"] = "NO_PERMISSION"
    return there


def _options(task: Task) -> Document:
    deletion = task.kind == "DELETE"
    flags = (
        "delete_destination_extra",
        "encrypt_data",
        "fail_on_quota_errors",
        "preserve_timestamp",
        "skip_source_errors",
        "verify_checksum",
    )
    return {
        **{flag: task.option(flag) for flag in flags},
        "sync_level": task.document.get("sync_level"),
        "recursive_symlinks": None if deletion else "ignore",
        "filter_rules": task.document.get("filter_rules"),
    }


def _numbers(task: Task, now: datetime) -> Document:
    files = [move for move in task.moves if not move.folder]
    seconds = max(((task.completed or now) - task.requested).total_seconds(), 1)
    return {
        "bytes_checksummed": task.bytes_checksummed,
        "bytes_transferred": task.bytes_transferred,
        "effective_bytes_per_second": int(task.bytes_transferred / seconds),
        "directories": len(task.moves) - len(files),
        "files": len(files),
        "files_skipped": sum(1 for move in files if move.unchanged or move.state is State.SKIPPED),
        "files_transferred": len(task.delivered),
        "symlinks": 0,
        "faults": task.faults,
        **{f"subtasks_{state.value}": task.count(state) for state in State},
        "subtasks_total": task.count(),
    }


def _mood(task: Task, *, queued: bool) -> Document:
    """How an unfinished task fares; nothing but nulls for one that has ended."""
    if task.ended:
        status, text, well, expires = None, None, None, None
    elif task.suspended:
        status, text, well, expires = "NO_CREDENTIALS", DESCRIPTIONS["NO_CREDENTIALS"], False, 0
    elif task.paused:
        status, text, well, expires = "PAUSED", DESCRIPTIONS["PAUSED"], False, -1
    elif task.trouble:
        status, text, well, expires = task.trouble, DESCRIPTIONS.get(task.trouble, task.trouble), False, -1
    elif queued:
        status, text, well, expires = "Queued", "Queued", True, -1
    else:
        status, text, well, expires = "OK", "OK", True, -1
    return {
        "is_ok": well,
        "nice_status": status,
        "nice_status_details": None,
        "nice_status_expires_in": expires,
        "nice_status_short_description": text,
    }


def event_document(event: Event) -> Document:
    """One event."""
    return {
        "DATA_TYPE": "event",
        "code": event.code,
        "description": DESCRIPTIONS.get(event.code, event.code),
        "details": event.details,
        "is_error": event.is_error,
        "time": event.time.isoformat(sep=" ", timespec="seconds"),
    }


def success_document(move: Move) -> Document:
    """One file that arrived."""
    return {
        "DATA_TYPE": "successful_transfer",
        "source_path": move.source,
        "destination_path": move.destination,
        "size": move.size,
        "checksum": move.checksum,
        "checksum_algorithm": move.item.algorithm if move.checksum else None,
        "dynamic": False,
    }


def skipped_document(skipped: SkippedError) -> Document:
    """One path that was left out."""
    item = skipped.move.item
    return {
        "DATA_TYPE": "skipped_error",
        "error_code": skipped.code,
        "error_details": skipped.details,
        "error_time": isoformat(skipped.time),
        "source_path": skipped.move.source,
        "destination_path": skipped.move.destination,
        "is_directory": skipped.move.folder,
        "is_symlink": False,
        "is_delete_destination_extra": False,
        "external_checksum": item.external_checksum,
        "checksum_algorithm": item.algorithm if item.external_checksum else None,
    }


def file_document(local: Path, name: str) -> Document:
    """One file or folder as `ls` and `stat` show it.  Raises `OSError`."""
    found = local.lstat()
    link = local.readlink() if stat.S_ISLNK(found.st_mode) else None
    kind = "file" if stat.S_ISREG(found.st_mode) else "dir" if stat.S_ISDIR(found.st_mode) else "other"
    document = {
        "DATA_TYPE": "file",
        "name": name,
        "type": kind,
        "size": found.st_size,
        "last_modified": _when(found.st_mtime),
        "permissions": f"{stat.S_IMODE(found.st_mode):04o}",
        "user": USER,
        "group": USER,
    }
    links = {f"link_{key}": None for key in ("group", "last_modified", "size", "target", "user")}
    if link is None:
        return {**document, **links}
    return {**document, **links, **_behind(local), "link_target": str(link), "link_size": found.st_size}


def _behind(local: Path) -> Document:
    """What a symbolic link shows: the type, size and time of its target."""
    try:
        found = local.stat()
    except OSError:
        return {"type": "invalid_symlink"}
    kind = "dir" if stat.S_ISDIR(found.st_mode) else "file"
    return {"type": kind, "size": found.st_size, "last_modified": _when(found.st_mtime)}


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat(sep=" ")
