"""The catalogue, kept by an Alyx server.  Implements `base.Catalog` over `AlyxHttp`.

Promised: every answer is compared with what was asked, because Alyx silently ignores filters and keys it
does not know, cuts lists to the shortest, and changes paths; and a list is whole even while others write to
it (see `alyx_lists`).

Not done: no decision.  Which dataset to register, whether a flag may be set, how to merge a record's `json`
(a PATCH replaces it as a whole) are the steps' business.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from types import EllipsisType
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

from transfer.catalog import alyx_rows as rows
from transfer.catalog.alyx_http import AlyxHttp
from transfer.catalog.alyx_lists import every, one_of, require
from transfer.catalog.base import (
    AgentTask,
    CatalogDataset,
    CatalogSession,
    DatasetType,
    FileRecord,
    Registered,
    Registration,
    Repository,
)
from transfer.errors import (
    AnswerDiffers,
    CatalogBroken,
    CatalogLoginRefused,
    CatalogRefused,
    UnknownInCatalog,
    UnknownSession,
)

_IDS = 100  # more do not fit into the request line of a server with narrow limits
_GRAPH = "alyx-transfer"

Value = TypeVar("Value", FileRecord, CatalogDataset)


class AlyxCatalog:
    """Safe to share between threads.  The caller closes it."""

    def __init__(
        self,
        url: str,
        *,
        user: str,
        password: str | None = None,
        token: str | None = None,
        requests_per_minute: int = 500,
        http: AlyxHttp | None = None,
    ) -> None:
        self._http = http or AlyxHttp(
            url, user=user, password=password, token=token, requests_per_minute=requests_per_minute
        )

    def latency(self) -> float | None:
        """Seconds that an answer of Alyx takes; None before the first."""
        return self._http.latency()

    def __repr__(self) -> str:
        return f"AlyxCatalog({self._http!r})"

    # ---- who and when ----

    def check_login(self) -> str:
        user = self._http.user
        found = self._http.find(f"/users/{_part(user)}")
        if not isinstance(found, dict) or found.get("username") != user:
            raise CatalogLoginRefused(f"Alyx knows no user {user}", to=self._http.url)
        return user

    def server_time_skew(self) -> float:
        asked_at = datetime.now(UTC)
        theirs = self._http.server_time()
        if theirs is None:
            raise CatalogBroken("Alyx's answer names no time (no Date header)", to=self._http.url)
        ours = asked_at + (datetime.now(UTC) - asked_at) / 2
        return (theirs - ours).total_seconds()

    # ---- sessions and datasets ----

    def sessions(self, subject: str, day: date, number: int) -> list[CatalogSession]:
        query = {"subject": subject, "date_range": f"{day},{day}", "number": str(number)}
        found = [
            row
            for row in every(self._http, "/sessions", query, key="id")
            if (row.get("subject"), row.get("number")) == (subject, number)
            and rows.read(rows.day_of, row, "/sessions") == day
        ]
        return [rows.read(rows.session, row, "/sessions") for row in found]

    def datasets_of_session(self, eid: UUID) -> list[CatalogDataset]:
        try:
            found = [*self._datasets({"session": str(eid)})]
        except CatalogRefused as error:
            if "Select a valid choice" not in error.what:
                raise
            raise UnknownSession("Alyx has no such session any more", to=eid) from error
        require(all(one.session == eid for one in found), "session", eid)
        return found

    def datasets(self, ids: Sequence[UUID]) -> dict[UUID, CatalogDataset]:
        return self._by_id(ids, self._datasets)

    def datasets_changed(self, repository: str, since: datetime | None) -> Iterator[CatalogDataset]:
        conditions = one_of("file_records__data_repository__name", [repository])
        if since is not None:
            conditions += f",auto_datetime__gt,{since.isoformat()}"
        for one in self._datasets({"django": conditions}):
            require(one.record(repository) is not None, "repository", repository)
            require(since is None or one.changed_at > since, "time", since)
            yield one

    def register(self, registration: Registration) -> list[Registered]:
        files = registration.files
        answer = self._http.post_once("/register-file", _registration_body(registration, self._http.user))
        to = registration.session_path
        if not isinstance(answer, list) or len(answer) != len(files):
            got = len(answer) if isinstance(answer, list) else "no list of"
            raise AnswerDiffers(
                f"{len(files)} files were registered and Alyx answered with {got}",
                to=to,
                do="Look what Alyx holds of this session, then release.",
            )
        found = [rows.read(rows.registered, row, "POST /register-file") for row in answer]
        for file, one in zip(files, found, strict=True):
            if one.path.name != file.path.name:
                raise AnswerDiffers(
                    f"Alyx answered for {one.path.name} where {file.path.name} was sent", to=to
                )
        return found

    def set_hash(self, dataset: UUID, md5: str, size: int) -> CatalogDataset:
        return self._patch_dataset(dataset, {"hash": md5, "file_size": size})

    def set_size(self, dataset: UUID, size: int) -> CatalogDataset:
        return self._patch_dataset(dataset, {"file_size": size})

    def _patch_dataset(self, dataset: UUID, news: Mapping[str, Any]) -> CatalogDataset:
        place = f"/datasets/{dataset}"
        row = self._http.patch(place, news)
        found = rows.read(rows.dataset, row, f"PATCH {place}")
        if found.id != dataset or any(row.get(name) != value for name, value in news.items()):
            do = "Look at this dataset in Alyx, then release."
            raise AnswerDiffers(f"Alyx did not take over {dict(news)}", to=place, do=do)
        return found

    def delete_dataset(self, dataset: UUID) -> None:
        self._http.delete(f"/datasets/{dataset}")

    # ---- file records ----

    def announce(
        self, record: UUID, exists: bool, json: Mapping[str, Any] | EllipsisType | None = ...
    ) -> FileRecord:
        body: dict[str, Any] = {"exists": exists}
        if not isinstance(json, EllipsisType):
            body["json"] = json
        place = f"/files/{record}"
        row = self._http.patch(place, body)
        found = rows.read(rows.file_record, row, f"PATCH {place}")
        if found.id != record or any(row.get(name) != value for name, value in body.items()):
            do = "Look at this record in Alyx, then release."
            raise AnswerDiffers(f"Alyx did not take over exists={exists}", to=place, do=do)
        return found

    def missing_records(self, repository: str) -> list[FileRecord]:
        found = [*self._records({"data_repository": repository, "exists": "False"})]
        require(all(one.repository == repository for one in found), "repository", repository)
        require(not any(one.exists for one in found), "exists", False)
        return found

    def flagged_records(self, repository: str) -> list[FileRecord]:
        found = [*self._records({"data_repository": repository, "django": "json__has_key,mismatch_hash"})]
        require(all(one.repository == repository for one in found), "repository", repository)
        require(all(one.json and "mismatch_hash" in one.json for one in found), "json", "mismatch_hash")
        return found

    def records(self, ids: Sequence[UUID]) -> dict[UUID, FileRecord]:
        return self._by_id(ids, self._records)

    # ---- what Alyx knows of the world ----

    def dataset_types(self) -> list[DatasetType]:
        return [
            rows.read(rows.dataset_type, row, "/dataset-types")
            for row in every(self._http, "/dataset-types", key="name")
        ]

    def data_formats(self) -> list[str]:
        found = (
            rows.read(rows.extension, row, "/data-formats")
            for row in every(self._http, "/data-formats", key="name")
        )
        return [one for one in found if one]

    def lab_repositories(self, lab: str) -> list[str]:
        place = f"/labs/{_part(lab)}"
        row = self._http.find(place)
        if row is None:
            raise UnknownInCatalog("Alyx has no such lab", to=lab)
        return rows.read(lambda row: [str(name) for name in row["repositories"]], row, place)

    def repository(self, name: str) -> Repository:
        place = f"/data-repository/{_part(name)}"
        row = self._http.find(place)
        if row is None:
            raise UnknownInCatalog("Alyx has no such repository", to=name)
        return rows.read(rows.repository, row, place)

    # ---- tasks ----

    def agent_task(self, name: str, repository: str) -> AgentTask | None:
        query = {
            "name": name,
            "graph": _GRAPH,
            "django": one_of("data_repository__name", [repository]),
        }
        mine = {"name": name, "graph": _GRAPH, "data_repository": repository, "session": None}
        found = [
            rows.read(rows.agent_task, row, "/tasks")
            for row in every(self._http, "/tasks", query, key="id")
            if all(row.get(field) == value for field, value in mine.items())
        ]
        return min(found, key=lambda one: one.id, default=None)

    def write_agent_task(
        self, name: str, repository: str, *, status: str, arguments: Mapping[str, Any], log: str
    ) -> AgentTask:
        # A task posted without status or session makes every list that holds it a 500 (observed on 3.6.1).
        news = {"status": status, "arguments": dict(arguments), "log": log}
        known = self.agent_task(name, repository)
        if known is not None:
            row = self._http.patch(f"/tasks/{known.id}", news)
        else:
            mine = {"name": name, "graph": _GRAPH, "data_repository": repository, "session": None}
            row = self._http.post_once("/tasks", {**mine, **news})
        written = rows.read(rows.agent_task, row, "/tasks")
        if (written.name, written.status, written.arguments) != (name, status, news["arguments"]):
            raise AnswerDiffers("Alyx did not take over our task", to=f"/tasks/{written.id}")
        return written

    def incumbent_tasks(self, lab: str) -> int:
        answer = self._http.get("/tasks", {"lab": lab, "limit": "1"})  # ours have no session, so no lab
        return rows.read(lambda row: int(row["count"]), answer, "/tasks")

    def close(self) -> None:
        self._http.close()

    # ---- lists ----

    def _records(self, query: Mapping[str, str]) -> Iterator[FileRecord]:
        return (rows.read(rows.file_record, row, "/files") for row in every(self._http, "/files", query))

    def _datasets(self, query: Mapping[str, str]) -> Iterator[CatalogDataset]:
        return (rows.read(rows.dataset, row, "/datasets") for row in every(self._http, "/datasets", query))

    def _by_id(
        self, ids: Sequence[UUID], ask: Callable[[Mapping[str, str]], Iterator[Value]]
    ) -> dict[UUID, Value]:
        wanted = list(dict.fromkeys(ids))
        found: dict[UUID, Value] = {}
        for start in range(0, len(wanted), _IDS):
            some = wanted[start : start + _IDS]
            answer = {one.id: one for one in ask({"django": one_of("id", map(str, some))})}
            require(answer.keys() <= set(some), "id", f"{len(some)} ids")
            found.update(answer)
        return found


def _registration_body(registration: Registration, user: str) -> dict[str, Any]:
    """Lists of equal length, or Alyx silently leaves out the surplus; `qc` only when a file has one."""
    files = registration.files
    body: dict[str, Any] = {
        "created_by": user,
        "path": registration.session_path.as_posix(),
        "filenames": [file.path.as_posix() for file in files],
        "hashes": [file.md5 for file in files],
        "filesizes": [file.size for file in files],
        "versions": [None] * len(files),
        "name": registration.repository,
        "server_only": False,
        "exists": True,
        "default": registration.default,
        "check_protected": True,
        "labs": [registration.lab],
    }
    if any(file.qc for file in files):
        body["qc"] = [file.qc or "NOT_SET" for file in files]
    return body


def _part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")
