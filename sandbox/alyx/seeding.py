"""Filling the tables from a seed: rows as Alyx's own lists show them.

A seed maps resource paths ("labs", "data-repository", "session-details", ...) to lists of answer rows. What
the answers do not show is reconstructed: ids of rows that show none are drawn, names and links become ids,
the heap order is the order of the list, and the order in which the server walks a lab's repositories (it
walks a set of objects) is the one in which it made the file records of the seed's datasets.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.alyx.bodies import defaults
from sandbox.alyx.model import QC, TASK_STATUS, Row
from sandbox.alyx.resources import INPUTS
from sandbox.alyx.store import Store, new_id

Seed = Mapping[str, Sequence[Mapping[str, Any]]]
"""Resource path -> rows as the API lists them."""

PUBLIC_USER = "intbrainlab"
"""IBL's public account, which may read everything and write nothing."""

USER_EXTRAS: Row = {"lab": [], "allowed_users": [], "is_stock_manager": False}
SUBJECT_EXTRAS: Row = {
    "age_weeks": 0,
    "species": "Laboratory mouse",
    "litter": None,
    "strain": None,
    "source": None,
    "line": None,
    "session_projects": [],
    "genotype": [],
    "alive": True,
    "reference_weight": 0.0,
    "last_water_restriction": None,
    "expected_water": 0.0,
    "remaining_water": 0.0,
}
_SUBJECT_HISTORIES = ("weighings", "water_administrations")


class Seeder:
    """Makes rows of any table, from answers or from a few arguments."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def load(self, seed: Seed, password: str | None = None) -> None:
        """Fill empty tables; users without a password in the seed get `password`."""
        for table in ("data-repository-type", "data-repository"):
            self._plain(table, seed.get(table, ()))
        for row in seed.get("users", ()):
            self.user(row["username"], row.get("password", password), row)
        for table in ("labs", "projects", "tags", "revisions", "dataset-types", "data-formats"):
            self._plain(table, seed.get(table, ()))
        for row in seed.get("subject-details") or seed.get("subjects", ()):
            self.subject(row)
        self._sessions(seed)
        for row in seed.get("datasets", ()):
            self._dataset(row)
        for row in seed.get("files", ()):
            self._file(row)
        for row in seed.get("tasks", ()):
            status = TASK_STATUS.get(row["status"], 10)
            repository = self._id("data-repository", "name", row.get("data_repository"))
            self.make("tasks", {**row, "status": status, "data_repository": repository})
        self._learn_repository_order()
        self.store.commit()

    def make(self, table: str, values: Mapping[str, Any]) -> Row:
        """Insert a row: the resource's defaults, then these values."""
        row = {"json": None, **defaults(INPUTS.get(table, {})), **values}
        row.pop("url", None)
        return self.store.insert(table, row)

    def _id(self, table: str, field: str, value: str | None) -> str | None:
        found = self.store.one(table, field, value) if value is not None else None
        return None if found is None else found["id"]

    def _ids(self, table: str, field: str, values: Sequence[str]) -> list[str]:
        found = (self._id(table, field, value) for value in values)
        return [key for key in found if key is not None]

    def _plain(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        for shown in rows:
            row = dict(shown)
            if table == "data-repository":
                row["repository_type"] = self._id("data-repository-type", "name", row.get("repository_type"))
            elif table == "labs":
                row["repositories"] = self._ids("data-repository", "name", row.get("repositories", ()))
            elif table == "projects":
                row["users"] = self._ids("users", "username", row.get("users", ()))
            elif table == "dataset-types":
                row["created_by"] = self._id("users", "username", row.get("created_by"))
            elif table == "revisions":
                row.setdefault("created_datetime", self.store.now())
            self.make(table, row)

    def user(self, username: str, password: str | None, shown: Mapping[str, Any] | None = None) -> Row:
        """A user with a password (None: cannot log in)."""
        shown = shown or {}
        more = {key: shown.get(key, value) for key, value in USER_EXTRAS.items()}
        row = {
            "username": username,
            "email": shown.get("email", f"{username}@example.org"),
            "is_public_user": shown.get("is_public_user", username == PUBLIC_USER),
            "more": more,
        }
        made = self.store.insert("users", {"id": shown.get("id") or new_id(), **row})
        self.store.secrets[made["id"]] = {"password": password, "token": shown.get("token")}
        return made

    def subject(self, shown: Mapping[str, Any]) -> Row:
        """A subject; what the sandbox does not model is shown as it was."""
        more = {key: shown.get(key, value) for key, value in SUBJECT_EXTRAS.items()}
        values = {key: shown[key] for key in INPUTS["subjects"] if key in shown}
        values["lab"] = self._id("labs", "name", shown.get("lab"))
        values["responsible_user"] = self._id("users", "username", shown.get("responsible_user"))
        values["projects"] = self._ids("projects", "name", shown.get("projects", ()))
        histories = {key: shown.get(key, []) for key in _SUBJECT_HISTORIES}
        row = {"id": shown.get("id") or new_id(), **values, "more": more, "histories": histories}
        return self.make("subjects", row)

    def _sessions(self, seed: Seed) -> None:
        details = {row["id"]: row for row in seed.get("session-details", ())}
        for listed in seed.get("sessions", ()):
            details.setdefault(listed["id"], listed)
        for shown in details.values():
            self.session(shown)
        for shown in details.values():
            parent = shown.get("parent_session")
            self.store.tables["sessions"][shown["id"]]["parent_session"] = parent[-36:] if parent else None

    def session(self, shown: Mapping[str, Any]) -> Row:
        """A session, with its probe insertions."""
        values = {key: shown[key] for key in INPUTS["sessions"] if key in shown}
        values["subject"] = self._id("subjects", "nickname", shown["subject"])
        values["lab"] = self._id("labs", "name", shown.get("lab"))
        values["projects"] = self._ids("projects", "name", shown.get("projects", ()))
        values["users"] = self._ids("users", "username", shown.get("users", ()))
        values["qc"] = QC.get(shown.get("qc", "NOT_SET"), 0)
        values["parent_session"] = None
        self.store.session_users_drawn += len(values["users"])
        at = shown.get("auto_datetime") or self.store.now()
        row = self.make("sessions", {"id": shown.get("id") or new_id(), "auto_datetime": at, **values})
        for probe in shown.get("probe_insertion", ()):
            keys = ("id", "name", "model", "serial", "json", "auto_datetime")
            self.store.insert("insertions", {**{key: probe.get(key) for key in keys}, "session": row["id"]})
        return row

    def _dataset(self, shown: Mapping[str, Any]) -> None:
        values = {key: shown[key] for key in INPUTS["datasets"] if key in shown}
        session = shown.get("session")
        self.make(
            "datasets",
            {
                **new_dataset(self.store.now()),
                **values,
                "id": shown["url"][-36:],
                "session": session[-36:] if session else None,
                "created_by": self._id("users", "username", shown.get("created_by")),
                "dataset_type": self._id("dataset-types", "name", shown["dataset_type"]),
                "data_format": self._id("data-formats", "name", shown["data_format"]),
                "revision": self._id("revisions", "name", shown.get("revision") or None),
                "tags": self._ids("tags", "name", shown.get("tags", ())),
                "qc": QC[shown.get("qc", "NOT_SET")],
                "auto_datetime": shown.get("auto_datetime") or self.store.now(),
            },
        )

    def _file(self, shown: Mapping[str, Any]) -> None:
        self.make(
            "files",
            {
                **shown,
                "id": shown["url"][-36:],
                "dataset": shown["dataset"][-36:],
                "data_repository": self._id("data-repository", "name", shown["data_repository"]),
            },
        )

    def _learn_repository_order(self) -> None:
        """Repositories that were seen before others in a dataset's records come first, unseen ones last."""
        tables = self.store.tables
        before: dict[str, set[str]] = {}
        for dataset in tables["datasets"]:
            records = (tables["files"][key] for key in self.store.pointing("files", "dataset", dataset))
            keys = list(dict.fromkeys(record["data_repository"] for record in records))
            for place, key in enumerate(keys):
                before.setdefault(key, set()).update(keys[:place])
        names = {key: row["name"] for key, row in tables["data-repository"].items()}
        self.store.repository_order = sorted(before, key=lambda key: (len(before[key]), names[key]))


def new_dataset(at: str) -> Row:
    """The columns of a dataset that no request sets, for one made at that time."""
    return {
        "created_datetime": at,
        "auto_datetime": at,
        "generating_software": "",
        "md5": None,
        "provenance_directory": None,
        "content_type": None,
        "object_id": None,
        "session": None,
        "revision": None,
        "created_by": None,
        "json": None,
        "tags": [],
    }
