"""From what Globus says of a task to where it stands and what became of each file.

Pure: documents of the service in, a `Report` out.

A file has arrived when the list of successful transfers names it.  Only a task that compared checksums first
(sync level 3) may leave it out because the same bytes stood there already.  What the events say is for people and for
naming the files that a failed task stumbled over; `faults` are no failure.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from transfer.errors import ArrivedDamaged, MoverOutOfTime, MoverRefused, Reach, TransferError
from transfer.transports.delegated import Document, Report, Standing
from transfer.transports.globus.document import Asked, asked, staged_of
from transfer.transports.globus.events import error_of, files_of, one_line

_CHECKSUM = 3
_NO_TROUBLE = frozenset({"", "OK", "Queued", "QUEUED", "ACTIVE"})

Row = Mapping[str, Any]


def standing_of(task: Row) -> Standing:
    """GONE too when the service keeps the task but no longer what became of its files (after 30 days)."""
    match task["status"]:
        case "SUCCEEDED" | "FAILED" if task.get("history_deleted"):
            return Standing.GONE
        case "SUCCEEDED":
            return Standing.SUCCEEDED
        case "FAILED":
            return Standing.FAILED
        case _:
            return Standing.ACTIVE


def under_way(task: Row, *, errors: Sequence[Row] = (), pauses: Row | None = None) -> Report:
    """A task that has not ended.  `errors` are its last error events, latest first; `pauses` says why it is paused."""
    mood = str(task.get("nice_status") or "")
    parts = [] if mood in _NO_TROUBLE else [_mood(task, mood)]
    if not parts and mood.lower() == "queued":
        parts.append("queued")
    if task["status"] == "INACTIVE":
        parts.insert(
            0, "suspended: log in to Globus again with the same identity, or give the consent it asks for"
        )
    parts += [f"paused: {reason}" for reason in _pauses(pauses or {})]
    if faults := int(task.get("faults") or 0):
        last = f", last: {_event(errors[0])}" if errors else ""
        parts.append(f"{faults} fault{'s' if faults > 1 else ''}{last}")
    return Report(
        standing=Standing.ACTIVE, note="; ".join(parts), bytes_moved=int(task.get("bytes_transferred") or 0)
    )


def _pauses(pauses: Row) -> list[str]:
    """Each reason once: the rules' own, and what an administrator said who paused this task."""
    rules = [rule.get("message") for rule in pauses.get("pause_rules") or []]
    said = [pauses.get("source_pause_message"), pauses.get("destination_pause_message")]
    return list(dict.fromkeys(one_line(str(text)) for text in [*rules, *said] if text))


def ended(
    task: Row, document: Document, *, successful: Iterable[Row], skipped: Iterable[Row], errors: Sequence[Row]
) -> Report:
    """A task that has ended, with all its lists.  `errors` are its error events, latest first."""
    files = asked(document)
    arrived, failed = _arrivals(files, successful)
    for row in skipped:
        file = files.get(staged_of(str(row["destination_path"])))
        if file is not None and file.staged not in arrived:
            code, said = str(row["error_code"]), str(row.get("error_details") or "")
            failed[file.staged] = error_of(code, to=file.source, at_source=True, said=said)
    standing = standing_of(task)
    if standing is Standing.SUCCEEDED and document.get("sync_level") == _CHECKSUM:
        arrived |= files.keys() - failed.keys()
    if standing is Standing.FAILED:
        for staged, error in _named(files, errors).items():
            if staged not in arrived:
                failed.setdefault(staged, error)
    reason = _reason(task, errors) if standing is Standing.FAILED else None
    return Report(
        standing=standing,
        note=_closing(task, reason),
        arrived=frozenset(arrived),
        failed=failed,
        bytes_moved=int(task.get("bytes_transferred") or 0),
        error=reason,
    )


def _arrivals(
    files: Mapping[PurePosixPath, Asked], successful: Iterable[Row]
) -> tuple[set[PurePosixPath], dict[PurePosixPath, TransferError]]:
    arrived: set[PurePosixPath] = set()
    failed: dict[PurePosixPath, TransferError] = {}
    for row in successful:
        file = files.get(staged_of(str(row["destination_path"])))
        if file is None:
            continue
        seen = str(row.get("checksum") or "").lower()
        by_md5 = str(row.get("checksum_algorithm") or "").upper() == "MD5"
        if seen and by_md5 and seen != file.md5:
            failed[file.staged] = ArrivedDamaged(
                f"Globus compared the md5 {seen}, registered is {file.md5}", to=file.source
            )
        else:
            arrived.add(file.staged)
    return arrived - failed.keys(), failed


def _named(files: Mapping[PurePosixPath, Asked], errors: Sequence[Row]) -> dict[PurePosixPath, TransferError]:
    """The files that error events name, each with its latest error that is its own and not a collection's."""
    by_source = {file.source: file for file in files.values()}
    named: dict[PurePosixPath, TransferError] = {}
    for event in errors:
        for path in files_of(event):
            at_source = path in by_source
            file = by_source.get(path) or files.get(staged_of(path))
            if file is None or file.staged in named:
                continue
            error = error_of(str(event["code"]), to=file.source, at_source=at_source, said=_described(event))
            if error.reach is Reach.FILE:
                named[file.staged] = error
    return named


def _reason(task: Row, errors: Sequence[Row]) -> TransferError:
    """Why a task failed as a whole."""
    fatal = task.get("fatal_error") or {}
    code, said = str(fatal.get("code") or ""), str(fatal.get("description") or "")
    to = f"task {task['task_id']}"
    if code == "CANCELED" and task.get("canceled_by_admin_message"):
        said = str(task["canceled_by_admin_message"])
    if code != "EXPIRED":
        return (
            error_of(code, to=to, said=said)
            if code
            else MoverRefused("the task failed without a reason", to=to)
        )
    last = errors[0] if errors else None
    if last is None:
        return MoverOutOfTime("the task did not end in time", to=to)
    trouble = error_of(str(last["code"]), to=to, said=_described(last))
    if trouble.reach is Reach.ENDPOINT:
        return trouble
    return MoverOutOfTime(f"the task did not end in time, last trouble: {_event(last)}", to=to)


def _mood(task: Row, mood: str) -> str:
    said = one_line(str(task.get("nice_status_short_description") or ""))
    return f"{mood} ({said})" if said and said.upper().replace(" ", "_") != mood else mood


def _closing(task: Row, error: TransferError | None) -> str:
    faults = int(task.get("faults") or 0)
    return "; ".join([*([error.what] if error else []), *([f"{faults} faults"] if faults else [])])


def _event(event: Row) -> str:
    named = next(files_of(event), None)
    return f"{event['code']} {named}" if named else str(event["code"])


def _described(event: Row) -> str:
    return str(event.get("description") or "")
