"""The endpoints: what each method of each resource does.

A view runs on the event loop with the store's lock held for each uninterrupted stretch. Only the writes whose
lost updates matter (file records, datasets, registration) leave a gap between reading and writing rows.
"""

from collections.abc import Callable
from typing import Any

from sandbox.alyx import registering
from sandbox.alyx.bodies import defaults, read, unique
from sandbox.alyx.errors import Crash, Refused, invalid, missing, plain
from sandbox.alyx.hazards import Hazards
from sandbox.alyx.model import MODELS, Row
from sandbox.alyx.pages import paged
from sandbox.alyx.protection import protecting
from sandbox.alyx.requesting import Answer, Request
from sandbox.alyx.resources import DATASET_COLUMNS, INPUTS
from sandbox.alyx.seeding import SUBJECT_EXTRAS, USER_EXTRAS, new_dataset
from sandbox.alyx.serializers import Serializers
from sandbox.alyx.sessions import find_session
from sandbox.alyx.store import Store, new_id


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
                start = row["start_time"] or self.store.now()
                return {**row, **filled, "start_time": start, "auto_datetime": self.store.now()}
            case "subjects":
                histories: Row = {"weighings": [], "water_administrations": []}
                more: Row = {"more": dict(SUBJECT_EXTRAS), "histories": histories}
                return {**row, "responsible_user": row["responsible_user"] or user, **more}
            case "users":
                return {**row, "is_public_user": False, "more": dict(USER_EXTRAS)}
            case "dataset-types":
                return {**row, "created_by": row["created_by"] or user}
            case "revisions":
                return {**row, "created_datetime": row["created_datetime"] or self.store.now()}
            case "tasks":
                return {**row, "datetime": self.store.now()}
            case "notes":
                return {**row, "user": row["user"] or user, "date_time": row["date_time"] or self.store.now()}
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
                    self.store.save(
                        "datasets", {**other, "default_dataset": False, "auto_datetime": self.store.now()}
                    )
        fresh = new_dataset(self.store.now())
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
            self._check_task_unique(values, old)
        elif key != "id" and key in values and table != "subjects":
            unique(self.store, table, key, values[key], but=but)

    def _check_task_unique(self, values: Row, old: Row | None) -> None:
        """Name, session and arguments together; nulls, and in an update what does not change, do not count."""
        names = ("name", "session", "arguments")
        whole = {name: values.get(name, (old or {}).get(name)) for name in names}
        counting = [value for name, value in whole.items() if old is None or value != old[name]]
        if not counting or None in counting:
            return
        for row in self.store.tables["tasks"].values():
            if (old is None or row["id"] != old["id"]) and all(row[name] == whole[name] for name in names):
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
                row["auto_datetime"] = self.store.now()
                self._check_columns(row)
            elif table == "sessions":
                row["auto_datetime"] = self.store.now()
            elif table == "tasks":
                row["datetime"] = self.store.now()
        if table in ("files", "datasets"):
            await self.hazards.gap(request.method, request.template)
        with self.store.lock:
            self.store.save(table, row)
            if dataset is not None and dataset["id"] in self.store.tables["datasets"]:
                self.store.save("datasets", {**dataset, "auto_datetime": self.store.now()})
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


def _not_unique(fields: str) -> Refused:
    return invalid({"non_field_errors": [f"The fields {fields} must make a unique set."]})


def _column(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value)
