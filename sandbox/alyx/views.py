"""The endpoints: what each method of each resource does.

A view runs on the event loop with the store's lock held for each uninterrupted stretch. Only the writes whose
lost updates matter (file records, datasets, registration) leave a gap between reading and writing rows.
"""

import secrets
from collections.abc import Callable
from typing import Any

from sandbox.alyx import alf, registering
from sandbox.alyx.errors import Crash, Refused, invalid, missing, plain, refused
from sandbox.alyx.fields import defaults, read, unique
from sandbox.alyx.filters import paged
from sandbox.alyx.hazards import Hazards
from sandbox.alyx.model import MODELS, Row
from sandbox.alyx.protection import protecting, protection
from sandbox.alyx.requesting import Answer, Request
from sandbox.alyx.resources import DATASET_COLUMNS, INPUTS
from sandbox.alyx.seeding import SUBJECT_EXTRAS, USER_EXTRAS, new_dataset
from sandbox.alyx.serializers import Serializers
from sandbox.alyx.sessions import find_session, find_subject
from sandbox.alyx.store import Store, new_id, now

TABLES_ROOT = "/srv/tables"
"""Where the real server would look for its cache tables; the sandbox has none, as a fresh Alyx."""


class Views:
    """All endpoints over one store."""

    def __init__(self, store: Store, hazards: Hazards) -> None:
        self.store = store
        self.hazards = hazards

    # Shapes -----------------------------------------------------------------------

    def _detail_shape(self, table: str, request: Request) -> Callable[[Row], Row]:
        shapes = Serializers(self.store, request.base)
        special = {
            "sessions": shapes.session_detail,
            "datasets": shapes.dataset,
            "files": shapes.file,
            "tasks": shapes.task,
            "notes": shapes.note,
            "subjects": shapes.subject_detail,
        }
        return special.get(table) or (lambda row: shapes.flat(table, row))

    def _list_shape(self, table: str, request: Request) -> Callable[[Row], Row]:
        shapes = Serializers(self.store, request.base)
        special = {"sessions": shapes.session, "datasets": shapes.dataset_in_list}
        if table == "subjects":
            return lambda row: shapes.flat(table, row)
        return special.get(table) or self._detail_shape(table, request)

    # Reading ----------------------------------------------------------------------

    def list(self, request: Request, table: str) -> Answer:
        """One page of a table."""
        with self.store.lock:
            return Answer(200, paged(request, self.store, table, self._list_shape(table, request)))

    def find(self, request: Request, table: str) -> Row:
        """The row the path names, or a 404."""
        key = request.args["key"]
        model = MODELS[table]
        row = self.store.get(table, key)
        if model.key != "id" and (row is None or table != "tags"):
            row = self.store.one(table, model.key, key)
        if row is None:
            raise missing(model.name)
        return row

    def detail(self, request: Request, table: str) -> Answer:
        """One row."""
        with self.store.lock:
            return Answer(200, self._detail_shape(table, request)(self.find(request, table)))

    # Writing ----------------------------------------------------------------------

    async def create(self, request: Request, table: str) -> Answer:
        """POST to a list."""
        with self.store.lock:
            inputs = INPUTS[table]
            values = read(request.data(), inputs, self.store, partial=False)
            self._check_unique(table, values, None)
            row = self._prepare(table, {**defaults(inputs), **values}, request)
            if table == "datasets":
                self._check_columns(row)
            row = self.store.insert(table, {"id": new_id(), "json": None, **row})
            if table == "files":
                registering.touch_dataset(self.store, row["dataset"])
            body = self._detail_shape(table, request)(row)
        headers = {"location": body["url"]} if body.get("url") else {}
        return Answer(201, body, headers=headers)

    def _prepare(self, table: str, row: Row, request: Request) -> Row:
        """What the server adds to a new row of this table."""
        user = request.user["id"] if request.user is not None else None
        match table:
            case "datasets":
                return self._new_dataset(row, user)
            case "sessions":
                subject = self.store.tables["subjects"][row["subject"]]
                self.store.session_users_drawn += len(row["users"]) or 1
                filled = {"lab": row["lab"] or subject["lab"], "users": row["users"] or [user]}
                start = row["start_time"] or now()
                return {**row, **filled, "start_time": start, "auto_datetime": now()}
            case "subjects":
                return {
                    **row,
                    "responsible_user": row["responsible_user"] or user,
                    "more": dict(SUBJECT_EXTRAS),
                }
            case "users":
                return {**row, "is_public_user": False, "more": dict(USER_EXTRAS)}
            case "dataset-types":
                return {**row, "created_by": row["created_by"] or user}
            case "revisions":
                return {**row, "created_datetime": row["created_datetime"] or now()}
            case "tasks":
                return {**row, "datetime": now()}
            case "notes":
                return {**row, "user": row["user"] or user, "date_time": row["date_time"] or now()}
            case _:
                return row

    def _new_dataset(self, row: Row, user: str | None) -> Row:
        subject, day, number = (row.pop(name, None) for name in ("subject", "date", "number"))
        creator = row["created_by"] or user
        if row["session"] is None and subject and day:
            person = self.store.get("users", creator)
            try:
                found = find_session(self.store, self.store.tables["subjects"][subject], day, number, person)
            except ValueError as error:
                raise Crash(str(error)) from None
            row["session"] = found["id"]
        if row["data_format"] is None:
            row["data_format"] = self._unknown_format()
        if row["default_dataset"]:
            for other in self.store.named(row["session"], row["name"]):
                if other["collection"] == row["collection"] and other["default_dataset"]:
                    self.store.save("datasets", {**other, "default_dataset": False, "auto_datetime": now()})
        fresh = new_dataset()
        at = row["created_datetime"] or fresh["created_datetime"]
        return {**fresh, **row, "created_by": creator, "created_datetime": at}

    def _unknown_format(self) -> str:
        row = self.store.one("data-formats", "name", "unknown")
        if row is None:
            row = {**defaults(INPUTS["data-formats"]), "name": "unknown", "file_extension": ""}
            row = self.store.insert("data-formats", row)
        return str(row["id"])

    def _check_unique(self, table: str, values: Row, old: Row | None) -> None:
        key = MODELS[table].key
        but = old["id"] if old is not None else None
        if table == "files":
            whole = {**(old or {}), **values}
            other = self.store.file_at(whole["data_repository"], whole["relative_path"])
            if other is not None and other["id"] != but:
                raise _not_unique("data_repository, relative_path")
        elif table == "tasks":
            self._check_task_unique({**(old or {}), **values}, but)
        elif key != "id" and key in values and table != "subjects":
            unique(self.store, table, key, values[key], but=but)

    def _check_task_unique(self, whole: Row, but: str | None) -> None:
        same = tuple(whole.get(name) for name in ("name", "session", "arguments"))
        if None in same:
            return
        for row in self.store.tables["tasks"].values():
            if row["id"] != but and (row["name"], row["session"], row["arguments"]) == same:
                raise _not_unique("name, session, arguments")

    def _check_columns(self, row: Row) -> None:
        """What the table refuses although the serializer let it pass."""
        for name in ("collection", "hash", "version"):
            if row[name] is None:
                shown = (_column(row[column]) for column in DATASET_COLUMNS)
                raise Crash(
                    f'null value in column "{name}" of relation "data_dataset" violates not-null constraint\n'
                    f"DETAIL:  Failing row contains ({', '.join(shown)}).\n"
                )
        for name, longest in (("collection", 255), ("hash", 64), ("version", 64)):
            if len(row[name]) > longest:
                raise Crash(f"value too long for type character varying({longest})\n")

    async def update(self, request: Request, table: str) -> Answer:
        """PATCH and PUT: read the whole row, check the body, and later write the whole row."""
        partial = request.method == "PATCH"
        with self.store.lock:
            old = dict(self.find(request, table))
            values = read(request.data(), INPUTS[table], self.store, partial=partial)
            self._check_unique(table, values, old)
            row = {**old, **{name: value for name, value in values.items() if name in old}}
            dataset = dict(self.store.tables["datasets"][row["dataset"]]) if table == "files" else None
            if table == "datasets":
                row["auto_datetime"] = now()
                self._check_columns(row)
            elif table == "sessions":
                row["auto_datetime"] = now()
            elif table == "tasks":
                row["datetime"] = now()
        if table in ("files", "datasets"):
            await self.hazards.gap(request.method, request.template)
        with self.store.lock:
            self.store.save(table, row)
            if dataset is not None and dataset["id"] in self.store.tables["datasets"]:
                self.store.save("datasets", {**dataset, "auto_datetime": now()})
            return Answer(200, self._detail_shape(table, request)(row))

    def destroy(self, request: Request, table: str) -> Answer:
        """DELETE, with everything that refers to the row."""
        with self.store.lock:
            row = self.find(request, table)
            tags = protecting(self.store, row) if table == "datasets" else []
            if tags:
                names = ", ".join(tags)
                detail = f'Failed to delete dataset {row["name"]} due to protected tag(s) "{names}"'
                raise plain(403, "detail", detail)
            self.store.delete(table, row["id"])
            return Answer(204)

    # Registration -------------------------------------------------------------------

    async def register_file(self, request: Request) -> Answer:
        """POST /register-file."""
        body = request.data()
        if not isinstance(body, dict):
            raise Crash(f"'{type(body).__name__}' object has no attribute 'get'")
        with self.store.lock:
            plan = registering.understand(self.store, body, request.user)

        async def gap() -> None:
            await self.hazards.gap(request.method, request.template)

        # Each file is answered as it stood right after it was written.
        shapes = Serializers(self.store, request.base)
        answers = [shapes.registered(row) async for row in registering.register(self.store, plan, gap)]
        return Answer(201, answers)

    def check_protected(self, request: Request) -> Answer:
        """GET /check-protected: always HTTP 200, the verdict is in the body."""
        body = request.params or request.data()
        with self.store.lock:
            user = registering.creator(self.store, body, request.user)
            path = registering.tidy_path(body)
            names = [name for name in registering.listed(body.get("filenames", ())) if name]
            belongs = registering.owner(self.store, body)
            session = None
            if belongs is None:
                try:
                    nickname, day, number = alf.session_of(path)
                    subject = find_subject(self.store, nickname)
                    session = find_session(self.store, subject, day, number, user)["id"]
                except ValueError as error:
                    raise Crash(str(error)) from None
                places = [alf.place_in_session(path, name) for name in names]
            else:
                places = [alf.place_of_aggregate(path, name) for name in names]
            protected, details = protection(self.store, session, belongs, places)
        if protected:
            text = "One or more datasets is protected"
            return Answer(200, {"status_code": 403, "error": text, "details": details})
        return Answer(200, {"status_code": 200, "details": "None of the datasets are protected"})

    def sync_status(self, request: Request) -> Answer:
        """GET /sync-file-status: paths the nightly synchronisation would look at, newest dataset first."""
        del request
        with self.store.lock:
            tables = self.store.tables
            central = {
                key
                for key, row in tables["data-repository"].items()
                if row["globus_is_personal"] is False and "flatiron" in row["name"].lower()
            }
            waiting = {
                row["dataset"]
                for row in tables["files"].values()
                if not row["exists"] and row["data_repository"] in central
            }
            rows = sorted((tables["datasets"][key] for key in waiting), key=_created, reverse=True)
            shapes = Serializers(self.store, "")
            looked_at = {
                (row["created_datetime"], record["relative_path"]): None
                for row in rows
                for record in shapes.records(row["id"])
                if tables["data-repository"][record["data_repository"]]["globus_is_personal"]
                or "transfer_pending" in (record["json"] or {})
            }
            return Answer(200, [path for _, path in looked_at])

    def sync(self, request: Request) -> Answer:
        """POST /sync-file-status needs Globus, which the sandbox has not."""
        del request
        raise Crash("Globus not authenticated")

    # The rest -------------------------------------------------------------------------

    def token(self, request: Request) -> Answer:
        """POST /auth-token: one token per user, made at the first login."""
        body = request.data()
        if not isinstance(body, dict):
            kind = type(body).__name__
            raise invalid({"non_field_errors": [f"Invalid data. Expected a dictionary, but got {kind}."]})
        wrong = {name: ["This field is required."] for name in ("username", "password") if name not in body}
        wrong |= {
            name: ["This field may not be blank."]
            for name in ("username", "password")
            if body.get(name) == ""
        }
        if wrong:
            raise invalid(wrong)
        with self.store.lock:
            user = self.store.one("users", "username", body["username"])
            secret = self.store.secrets.get(user["id"]) if user is not None else None
            if secret is None or secret["password"] is None or secret["password"] != body["password"]:
                raise invalid({"non_field_errors": ["Unable to log in with provided credentials."]})
            secret["token"] = secret["token"] or secrets.token_hex(20)
            return Answer(200, {"token": secret["token"]})

    def cache_info(self, request: Request) -> Answer:
        """GET /cache/info/: no cache tables were ever built."""
        tag = request.args.get("key")
        if tag is not None:
            raise refused(404, "Not found.")
        raise Crash(f"[Errno 2] No such file or directory: '{TABLES_ROOT}/cache_info.json'")

    def root(self, request: Request) -> Answer:
        """GET /: to the admin pages, which the sandbox has not."""
        del request
        return Answer(302, html="", headers={"location": "/admin"})


def _not_unique(fields: str) -> Refused:
    return invalid({"non_field_errors": [f"The fields {fields} must make a unique set."]})


def _created(row: Row) -> str:
    return str(row["created_datetime"])


def _column(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value)
