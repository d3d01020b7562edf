"""Rows as the REST answers show them: names for ids, absolute links, nested rows.

Which keys an answer has, and which of them are names, links, integers or strings, differs from endpoint to
endpoint; every shape here was seen on the real server.
"""

from sandbox.alyx.alf import with_uuid
from sandbox.alyx.model import QC, TASK_STATUS, Row
from sandbox.alyx.shapes import Shapes, pick

_QC_NAME = {value: name for name, value in QC.items()}
_STATUS_NAME = {value: name for name, value in TASK_STATUS.items()}


def enum_name(names: dict[int, str], value: int) -> str:
    """The name of a choice; the real server trips over a value that is none."""
    if value not in names:
        raise IndexError("list index out of range")
    return names[value]


class Serializers(Shapes):
    """The shapes of sessions, datasets, file records, tasks and notes."""

    # Sessions -------------------------------------------------------------------

    def session(self, row: Row) -> Row:
        """A session in a list."""
        return {
            "id": row["id"],
            "subject": self.name("subjects", row["subject"]),
            "start_time": row["start_time"],
            "number": row["number"],
            "lab": self.name("labs", row["lab"]),
            "projects": self.names("projects", row["projects"]),
            "url": self.link("sessions", row["id"]),
            "task_protocol": row["task_protocol"],
        }

    def session_detail(self, row: Row) -> Row:
        """One session, with those of its datasets that exist centrally."""
        online = [d for d in self._datasets_of(row["id"]) if self.online(d["id"])]
        probes = [
            self.store.tables["insertions"][key]
            for key in self.store.pointing("insertions", "session", row["id"])
        ]
        keys = ("n_correct_trials", "n_trials")
        return {
            "subject": self.name("subjects", row["subject"]),
            "users": self.names("users", row["users"]),
            "location": row["location"],
            "procedures": row["procedures"],
            "lab": self.name("labs", row["lab"]),
            "projects": self.names("projects", row["projects"]),
            **pick(row, ("type", "task_protocol", "number", "start_time", "end_time", "narrative")),
            "parent_session": self.link("sessions", row["parent_session"]),
            **pick(row, keys),
            "url": self.link("sessions", row["id"]),
            "extended_qc": row["extended_qc"],
            "qc": enum_name(_QC_NAME, row["qc"]),
            "wateradmin_session_related": [],
            "data_dataset_session_related": [self._dataset_of_session(d) for d in online],
            **pick(row, ("auto_datetime", "id", "json")),
            "probe_insertion": [self._insertion(probe, row) for probe in probes],
            "field_of_view": [],
            "notes": [
                self.note(n) for n in self.store.tables["notes"].values() if n["object_id"] == row["id"]
            ],
        }

    def _datasets_of(self, session: str) -> list[Row]:
        keys = self.store.in_order("datasets", self.store.pointing("datasets", "session", session))
        return [self.store.tables["datasets"][key] for key in keys]

    def online(self, dataset: str) -> bool:
        """Whether a repository that is not personal has the file."""
        return any(
            record["exists"]
            and self.store.tables["data-repository"][record["data_repository"]]["globus_is_personal"] is False
            for record in self.records(dataset)
        )

    def _dataset_of_session(self, row: Row) -> Row:
        shown = pick(row, ("id", "name"))
        return {
            **shown,
            "dataset_type": self.name("dataset-types", row["dataset_type"]),
            "data_url": self._data_url_of(row),
            "url": self.link("datasets", row["id"]),
            **pick(row, ("file_size", "hash", "version", "collection")),
            "revision": row["revision"] or "",
            "default_revision": str(row["default_dataset"]),
            "qc": enum_name(_QC_NAME, row["qc"]),
        }

    def _data_url_of(self, row: Row) -> str | None:
        """The address of the copy that the server prefers: central first, then by name backwards."""
        repositories = self.store.tables["data-repository"]
        there = [
            r
            for r in self.records(row["id"])
            if r["exists"] and repositories[r["data_repository"]]["data_url"]
        ]
        there.sort(key=lambda r: repositories[r["data_repository"]]["name"], reverse=True)
        there.sort(key=lambda r: repositories[r["data_repository"]]["globus_is_personal"] is not False)
        return self._data_url(there[0]) if there else None

    def _insertion(self, probe: Row, session: Row) -> Row:
        info = self.session(session)
        inside = [
            d["id"]
            for d in self._datasets_of(session["id"])
            if probe["name"].lower() in (d["collection"] or "").lower()
        ]
        keys = ("subject", "start_time", "number", "lab", "id", "projects", "task_protocol")
        return {
            **pick(probe, ("id", "session", "model")),
            "session_info": pick(info, keys),
            **pick(probe, ("name", "json", "serial", "auto_datetime")),
            "chronic_insertion": None,
            "datasets": sorted(inside),
        }

    # Datasets and file records --------------------------------------------------

    def records(self, dataset: str) -> list[Row]:
        """The file records of a dataset."""
        files = self.store.tables["files"]
        return [files[key] for key in self.store.pointing("files", "dataset", dataset)]

    def _data_url(self, record: Row) -> str | None:
        root = self.store.tables["data-repository"][record["data_repository"]]["data_url"]
        return root + with_uuid(record["relative_path"], record["dataset"]) if root else None

    def _nested(self, record: Row) -> Row:
        repository = self.store.tables["data-repository"][record["data_repository"]]
        return {
            "id": record["id"],
            "data_repository": repository["name"],
            "data_repository_path": repository["globus_path"],
            "relative_path": record["relative_path"],
            "data_url": self._data_url(record),
            "exists": record["exists"],
        }

    def dataset(self, row: Row) -> Row:
        """One dataset."""
        session = self.store.get("sessions", row["session"])
        return {
            "url": self.link("datasets", row["id"]),
            "name": row["name"],
            "created_by": self.name("users", row["created_by"]),
            "created_datetime": row["created_datetime"],
            "dataset_type": self.name("dataset-types", row["dataset_type"]),
            "data_format": self.name("data-formats", row["data_format"]),
            "collection": row["collection"],
            "session": self.link("sessions", row["session"]),
            **pick(row, ("file_size", "hash", "version")),
            "experiment_number": None if session is None else session["number"],
            "file_records": [self._nested(record) for record in self.records(row["id"])],
            "auto_datetime": row["auto_datetime"],
            "revision": self.name("revisions", row["revision"]) or "",
            "default_dataset": row["default_dataset"],
            "tags": [self.store.tables["tags"][key]["name"] for key in row["tags"]],
            "qc": enum_name(_QC_NAME, row["qc"]),
            "json": row["json"],
        }

    def dataset_in_list(self, row: Row) -> Row:
        """A dataset in a list: the same, with two counts that only lists have."""
        tags = [self.store.tables["tags"][key] for key in row["tags"]]
        flags = {flag: int(any(tag[flag] for tag in tags)) for flag in ("protected", "public")}
        return {**self.dataset(row), **flags}

    def file(self, row: Row) -> Row:
        """One file record; it has no `id`, the last 36 characters of `url` are it."""
        return {
            "url": f"{self.base}/files/{row['id']}",
            "dataset": f"{self.base}/datasets/{row['dataset']}",
            "data_repository": self.store.tables["data-repository"][row["data_repository"]]["name"],
            **pick(row, ("name", "json", "relative_path", "exists")),
        }

    def registered(self, row: Row) -> Row:
        """A dataset as register-file answers it: qc as an integer, no hash, no version."""
        session = self.store.get("sessions", row["session"])
        if session is not None:
            place = {
                "session": session["id"],
                "session_number": session["number"],
                "session_users": ",".join(self.names("users", session["users"])),
                "session_start_time": session["start_time"],
            }
            subject = self.name("subjects", session["subject"])
        else:
            place = {"content_type": row["content_type"], "object_id": row["object_id"]}
            subject = self.name("subjects", row["object_id"])
        return {
            **pick(row, ("id", "name", "file_size")),
            "subject": subject,
            "created_by": self.name("users", row["created_by"]),
            "created_datetime": row["created_datetime"],
            "dataset_type": self.name("dataset-types", row["dataset_type"]),
            "data_format": self.name("data-formats", row["data_format"]),
            **place,
            "collection": row["collection"],
            "revision": self.name("revisions", row["revision"]) or "",
            "default": row["default_dataset"],
            "qc": row["qc"],
            "file_records": [
                pick(self._nested(record), ("id", "data_repository", "relative_path", "exists"))
                for record in self.records(row["id"])
            ],
        }

    # Tasks and notes --------------------------------------------------------------

    def task(self, row: Row) -> Row:
        """One task."""
        keys = ("name", "priority", "io_charge", "level", "gpu", "cpu", "ram", "time_out_secs")
        more = ("time_elapsed_secs", "executable", "graph", "log", "version", "datetime", "arguments")
        return {
            **pick(row, ("id", "parents", "session")),
            "data_repository": self.name("data-repository", row["data_repository"]),
            "status": enum_name(_STATUS_NAME, row["status"]),
            **pick(row, keys),
            **pick(row, more),
        }

    def note(self, row: Row) -> Row:
        """One note."""
        shown = pick(row, ("id", "date_time", "content_type", "object_id", "text", "image", "json"))
        return {"user": self.name("users", row["user"]), **shown}
