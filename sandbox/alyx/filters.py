"""The query parameters of each list, and its pages.

A parameter is a small object: how its text is read (with the 400 of a form field, if it has one) and which
condition it makes. Unknown parameters, and empty ones, are ignored without a word, as on the real server.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode

from sandbox.alyx.errors import Crash, invalid
from sandbox.alyx.lookups import as_date
from sandbox.alyx.model import QC, TASK_STATUS, Row
from sandbox.alyx.queries import matches, ordered, parse, where
from sandbox.alyx.requesting import Request
from sandbox.alyx.store import Store

PAGE, LARGEST_PAGE = 250, 1000

Keys = set[str]
Reader = Callable[[Store, str], Any]


class BadParameter(Exception):
    """The text is not what this parameter takes; the argument is the form's sentence."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter: `read` makes the value, `path` is the `django=` condition it stands for."""

    path: str
    read: Reader
    apply: Callable[[Store, Any, dict[str, str]], Keys | None] | None = None


def _text(store: Store, raw: str) -> Any:
    del store
    return raw.strip()


def _flag(store: Store, raw: str) -> Any:
    del store
    return {"true": True, "1": True, "false": False, "0": False}.get(raw.lower())


def _number(store: Store, raw: str) -> Any:
    del store
    try:
        return float(raw)
    except ValueError:
        raise BadParameter("Enter a number.") from None


def _uuid(store: Store, raw: str) -> Any:
    del store
    try:
        return str(uuid.UUID(raw.strip()))
    except ValueError:
        raise BadParameter("Enter a valid UUID.") from None


def _moment(store: Store, raw: str) -> Any:
    del store
    day, _, _ = raw.strip().replace("T", " ").partition(" ")
    try:
        return as_date(day)
    except Crash:
        raise BadParameter("Enter a valid date/time.") from None


def _related(table: str) -> Reader:
    def read(store: Store, raw: str) -> Any:
        try:
            key = str(uuid.UUID(raw.strip()))
        except ValueError:
            key = ""
        if store.get(table, key) is None:
            raise BadParameter("Select a valid choice. That choice is not one of the available choices.")
        return key

    return read


def qc_of(text: Any) -> int:
    """A QC level by name in any case, or by number; raises ValueError otherwise."""
    value = str(text)
    if value.isnumeric() and int(value) in QC.values():
        return int(value)
    if value.upper() in QC:
        return QC[value.upper()]
    raise ValueError(f"{value} is not a valid QC")


def char(path: str) -> Parameter:
    """A text parameter."""
    return Parameter(path, _text)


def flag(path: str) -> Parameter:
    """A boolean parameter; anything it does not understand is ignored."""
    return Parameter(path, _flag)


def number(path: str) -> Parameter:
    """A numeric parameter."""
    return Parameter(path, _number)


def related(path: str, table: str) -> Parameter:
    """The id of a related row, which must exist."""
    return Parameter(path, _related(table))


def enum(name: str, table: str, choices: Mapping[str, int]) -> Parameter:
    """The name of a choice, in any case; an unknown one is a 500."""
    by_name = {key.lower(): value for key, value in choices.items()}

    def apply(store: Store, raw: Any, params: dict[str, str]) -> Keys:
        del params
        if raw.lower().strip() not in by_name:
            raise Crash(f"Invalid{name}, choices are: {', '.join(choices)}")
        return matches(store, table, [name], float(by_name[raw.lower().strip()]))

    return Parameter(name, _text, apply)


def _exists(store: Store, value: Any, params: dict[str, str]) -> Keys | None:
    """Datasets with a record of that state in some repository that is not personal."""
    del params
    repositories = store.tables["data-repository"]
    central = {key for key, row in repositories.items() if row["globus_is_personal"] is False}
    if not central:
        return None
    files = store.tables["files"].values()
    return {row["dataset"] for row in files if row["exists"] is value and row["data_repository"] in central}


def _tagged(name: str) -> Callable[[Store, Any, dict[str, str]], Keys]:
    def apply(store: Store, value: Any, params: dict[str, str]) -> Keys:
        del params
        having = matches(store, "datasets", ["tags", name], True)
        return having if value else set(store.tables["datasets"]) - having

    return apply


def _of_probe(store: Store, value: Any, params: dict[str, str]) -> Keys:
    del params
    probe = store.get("insertions", value)
    if probe is None:
        raise Crash("ProbeInsertion matching query does not exist.")
    conditions = {"session": probe["session"], "collection__icontains": probe["name"]}
    return where(store, "datasets", conditions) or set()


def _users(store: Store, value: Any, params: dict[str, str]) -> Keys:
    del params
    found: Keys = set(store.tables["sessions"])
    for name in value.split(","):
        found &= matches(store, "sessions", ["users", "username"], name)
    return found


def _date_range(store: Store, value: Any, params: dict[str, str]) -> Keys:
    del params
    ends = value.split(",")
    if len(ends) < 2:
        raise Crash("list index out of range")
    later = matches(store, "sessions", ["start_time", "date", "gte"], ends[0])
    return later & matches(store, "sessions", ["start_time", "date", "lte"], ends[1])


def _all_types(store: Store, value: Any, params: dict[str, str]) -> Keys:
    del params
    found: Keys = set(store.tables["sessions"])
    for name in value.split(","):
        found &= matches(store, "sessions", ["data_dataset_session_related", "dataset_type", "name"], name)
    return found


def _all_datasets(store: Store, value: Any, params: dict[str, str]) -> Keys:
    """Sessions where each named file exists on a central repository, with a QC no worse than asked."""
    worst = qc_of(params.get("dataset_qc_lte", "FAIL"))
    online = _exists(store, True, params) or set()
    found: Keys = set(store.tables["sessions"])
    for name in value.split(","):
        rows = store.tables["datasets"].values()
        found &= {r["session"] for r in rows if r["name"] == name and r["qc"] <= worst and r["id"] in online}
    return found


def _dataset_qc(store: Store, value: Any, params: dict[str, str]) -> Keys | None:
    if "datasets" in params:
        return None
    worst = qc_of(value)
    return {row["session"] for row in store.tables["datasets"].values() if row["qc"] <= worst}


def _json_of(field: str) -> Callable[[Store, Any, dict[str, str]], Keys | None]:
    def apply(store: Store, value: Any, params: dict[str, str]) -> Keys | None:
        del params
        return where(store, "sessions", {f"{field}__{name}": item for name, item in parse(value).items()})

    return apply


def _performance(worse: bool) -> Callable[[Store, Any, dict[str, str]], Keys]:
    def apply(store: Store, value: Any, params: dict[str, str]) -> Keys:
        del params
        found: Keys = set()
        for key, row in store.tables["sessions"].items():
            if row["n_trials"] and row["n_correct_trials"] is not None:
                percent = 100 * row["n_correct_trials"] // row["n_trials"]
                if percent <= value if worse else percent >= value:
                    found.add(key)
        return found

    return apply


_DATASETS = "data_dataset_session_related"

PARAMETERS: Mapping[str, Mapping[str, Parameter]] = {
    "files": {
        "id": Parameter("id", _uuid),
        "name": char("name"),
        "dataset": related("dataset", "datasets"),
        "relative_path": char("relative_path"),
        "exists": flag("exists"),
        "lab": char("dataset__session__lab__name"),
        "data_repository": char("data_repository__name"),
        "globus_is_personal": flag("data_repository__globus_is_personal"),
    },
    "datasets": {
        "id": Parameter("id", _uuid),
        "name": char("name"),
        "session": related("session", "sessions"),
        "data_format": related("data_format", "data-formats"),
        "collection": char("collection"),
        "hash": char("hash"),
        "version": char("version"),
        "file_size": number("file_size"),
        "default_dataset": flag("default_dataset"),
        "object_id": Parameter("object_id", _uuid),
        "subject": char("session__subject__nickname"),
        "lab": char("session__lab__name"),
        "created_date": char("created_datetime__date"),
        "date": char("session__start_time__date"),
        "created_by": char("created_by__username"),
        "dataset_type": char("dataset_type__name"),
        "experiment_number": char("session__number"),
        "created_date_gte": Parameter("created_datetime__date__gte", _moment),
        "created_date_lte": Parameter("created_datetime__date__lte", _moment),
        "exists": Parameter("", _flag, _exists),
        "probe_insertion": Parameter("", _uuid, _of_probe),
        "public": Parameter("", _flag, _tagged("public")),
        "protected": Parameter("", _flag, _tagged("protected")),
        "tag": char("tags__name"),
        "revision": char("revision__name"),
        "qc": enum("qc", "datasets", QC),
    },
    "sessions": {
        "id": Parameter("id", _uuid),
        "subject": char("subject__nickname__iexact"),
        "nickname": char("subject__nickname__iexact"),
        "users": Parameter("", _text, _users),
        "date_range": Parameter("", _text, _date_range),
        "lab": char("lab__name__iexact"),
        "location": char("location__icontains"),
        "number": number("number"),
        "type": char("type__iexact"),
        "task_protocol": char("task_protocol__icontains"),
        "narrative": char("narrative"),
        "n_trials": number("n_trials"),
        "n_correct_trials": number("n_correct_trials"),
        "parent_session": related("parent_session", "sessions"),
        "projects": char("projects__name__icontains"),
        "project": char("projects__name__icontains"),
        "qc": enum("qc", "sessions", QC),
        "extended_qc": Parameter("", _text, _json_of("extended_qc")),
        "json": Parameter("", _text, _json_of("json")),
        "performance_gte": Parameter("", _number, _performance(worse=False)),
        "performance_lte": Parameter("", _number, _performance(worse=True)),
        "dataset_types": Parameter("", _text, _all_types),
        "datasets": Parameter("", _text, _all_datasets),
        "dataset_qc_lte": Parameter("", _text, _dataset_qc),
        "tag": char(f"{_DATASETS}__tags__name__icontains"),
    },
    "tasks": {
        "id": Parameter("id", _uuid),
        "name": char("name"),
        "priority": number("priority"),
        "io_charge": number("io_charge"),
        "level": number("level"),
        "gpu": number("gpu"),
        "cpu": number("cpu"),
        "ram": number("ram"),
        "time_out_secs": number("time_out_secs"),
        "executable": char("executable"),
        "graph": char("graph"),
        "version": char("version"),
        "log": char("log"),
        "session": related("session", "sessions"),
        "data_repository": related("data_repository", "data-repository"),
        "lab": char("session__lab__name"),
        "status": enum("status", "tasks", TASK_STATUS),
    },
    "subjects": {
        "nickname": char("nickname"),
        "lab": char("lab__name"),
        "responsible_user": char("responsible_user__username"),
        "project": char("projects__name"),
        "sex": char("sex"),
    },
    "labs": {"name": char("name")},
    "data-repository": {
        "name": char("name"),
        "globus_is_personal": flag("globus_is_personal"),
        "globus_endpoint_id": Parameter("globus_endpoint_id", _uuid),
    },
    "notes": {"object_id": Parameter("object_id", _uuid), "text": char("text")},
}

WITH_DJANGO = frozenset({"files", "datasets", "sessions", "tasks", "subjects", "labs", "notes"})


def select(store: Store, table: str, params: dict[str, str]) -> list[str]:
    """Ids of the rows that the query asks for, in the order they are listed."""
    chosen: list[tuple[Parameter, Any]] = []
    errors: dict[str, list[str]] = {}
    for name, parameter in PARAMETERS.get(table, {}).items():
        raw = params.get(name, "")
        if not raw.strip():
            continue
        try:
            value = parameter.read(store, raw)
        except BadParameter as bad:
            errors[name] = [str(bad)]
            continue
        if value is not None:
            chosen.append((parameter, value))
    if errors:
        raise invalid(errors)
    keys: Keys | None = None
    if table in WITH_DJANGO and params.get("django", "").strip():
        keys = where(store, table, parse(params["django"].strip()))
    for parameter, value in chosen:
        if parameter.apply is None:
            found: Keys | None = matches(store, table, parameter.path.split("__"), value)
        else:
            found = parameter.apply(store, value, params)
        if found is not None:
            keys = found if keys is None else keys & found
    if keys is not None:
        keys &= store.tables[table].keys()
    return ordered(store, table, keys)


def _whole(text: str | None, least: int) -> int | None:
    try:
        value = int(text or "")
    except ValueError:
        return None
    return value if value >= least else None


def paged(request: Request, store: Store, table: str, shape: Callable[[Row], Row]) -> Row:
    """One page: at most 1000 rows, 250 if the client asks for nothing understandable."""
    params = request.params
    keys = select(store, table, params)
    limit = min(_whole(params.get("limit"), 1) or PAGE, LARGEST_PAGE)
    offset = _whole(params.get("offset"), 0) or 0
    rows = store.tables[table]
    return {
        "count": len(keys),
        "next": _page_url(request, limit, offset + limit) if offset + limit < len(keys) else None,
        "previous": _page_url(request, limit, offset - limit) if offset > 0 else None,
        "results": [shape(rows[key]) for key in keys[offset : offset + limit]],
    }


def _page_url(request: Request, limit: int, offset: int) -> str:
    query = parse_qs(request.query, keep_blank_values=True)
    query["limit"] = [str(limit)]
    query.pop("offset", None)
    if offset > 0:
        query["offset"] = [str(offset)]
    return f"{request.base}{request.path}?{urlencode(sorted(query.items()), doseq=True)}"
