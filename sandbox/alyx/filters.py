"""The query parameters of each list. Unknown and empty ones are ignored without a word, as on the real server."""

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.alyx.errors import Crash
from sandbox.alyx.model import QC, TASK_STATUS
from sandbox.alyx.parameters import (
    Keys,
    Parameter,
    char,
    declared_flag,
    enum,
    flag,
    identifier,
    moment,
    number,
    qc_of,
    related,
    special,
)
from sandbox.alyx.queries import matches, parse, where
from sandbox.alyx.store import Store


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
        "id": identifier("id"),
        "name": char("name"),
        "dataset": related("dataset", "datasets"),
        "relative_path": char("relative_path"),
        "exists": flag("exists"),
        "lab": char("dataset__session__lab__name"),
        "data_repository": char("data_repository__name"),
        "globus_is_personal": declared_flag("data_repository__globus_is_personal"),
    },
    "datasets": {
        "id": identifier("id"),
        "name": char("name"),
        "session": related("session", "sessions"),
        "data_format": related("data_format", "data-formats"),
        "collection": char("collection"),
        "hash": char("hash"),
        "version": char("version"),
        "file_size": number("file_size"),
        "default_dataset": flag("default_dataset"),
        "object_id": identifier("object_id"),
        "subject": char("session__subject__nickname"),
        "lab": char("session__lab__name"),
        "created_date": char("created_datetime__date"),
        "date": char("session__start_time__date"),
        "created_by": char("created_by__username"),
        "dataset_type": char("dataset_type__name"),
        "experiment_number": char("session__number"),
        "created_date_gte": moment("created_datetime__date__gte"),
        "created_date_lte": moment("created_datetime__date__lte"),
        "exists": declared_flag("", _exists),
        "probe_insertion": identifier("", _of_probe),
        "public": declared_flag("", _tagged("public")),
        "protected": declared_flag("", _tagged("protected")),
        "tag": char("tags__name"),
        "revision": char("revision__name"),
        "qc": enum("qc", "datasets", QC),
    },
    "sessions": {
        "id": identifier("id"),
        "subject": char("subject__nickname__iexact"),
        "nickname": char("subject__nickname__iexact"),
        "users": special(_users),
        "date_range": special(_date_range),
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
        "extended_qc": special(_json_of("extended_qc")),
        "json": special(_json_of("json")),
        "performance_gte": special(_performance(worse=False), numeric=True),
        "performance_lte": special(_performance(worse=True), numeric=True),
        "dataset_types": special(_all_types),
        "datasets": special(_all_datasets),
        "dataset_qc_lte": special(_dataset_qc),
        "tag": char(f"{_DATASETS}__tags__name__icontains"),
    },
    "tasks": {
        "id": identifier("id"),
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
        "globus_endpoint_id": identifier("globus_endpoint_id"),
    },
    "notes": {"object_id": identifier("object_id"), "text": char("text")},
}

WITH_DJANGO = frozenset({"files", "datasets", "sessions", "tasks", "subjects", "labs", "notes"})
