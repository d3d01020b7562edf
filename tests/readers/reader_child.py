"""Runs in the environment of the real ONE-api: answers one JSON line for each JSON line of [function, argument].

An error of ONE is answered as {"error": its class, "says": its words}.  This file imports nothing of ours, and nothing
of ours imports it.
"""

import hashlib
import json
import logging
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
from iblutil.io import parquet
from one.alf.cache import DATASETS_COLUMNS, SESSIONS_COLUMNS
from one.api import ONE

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
clients = {}


def open_client(told):
    """A client with a cache of its own."""
    name, web, tables = told.pop("client"), told.pop("web"), told.pop("tables", None)
    one = ONE(silent=True, **told)
    for key, value in web.items():  # what `ONE.setup` asks a person
        one.alyx._par = one.alyx._par.set(key, value)
    if tables:
        one.load_cache(tables)
    clients[name] = one
    return one.mode


def search(told):
    return [str(eid) for eid in clients[told.pop("client")].search(**told)]


def list_datasets(told):
    one = clients[told.pop("client")]
    return sorted(one.list_datasets(UUID(told.pop("eid")), **told))


def load_dataset(told):
    """md5 of the file that was loaded, and of its array."""
    one = clients[told.pop("client")]
    eid = UUID(told.pop("eid"))
    name = told.pop("name")
    file = one.load_dataset(eid, name, download_only=True, **told)
    found = {"md5": hashlib.md5(Path(file).read_bytes()).hexdigest(), "file": str(file)}
    if name.endswith(".npy"):
        found["array"] = one.load_dataset(eid, name, **told).tolist()[:5]
    return found


def load_object(told):
    one = clients[told.pop("client")]
    loaded = one.load_object(UUID(told.pop("eid")), told.pop("object"), **told)
    return {name: np.asarray(value).tolist()[:5] for name, value in loaded.items()}


def make_tables(told):
    """Cache tables of what Alyx has, with the columns of Alyx's own `one_cache` command."""
    folder = Path(told["folder"])
    sessions = pd.DataFrame(told["sessions"], columns=[*SESSIONS_COLUMNS])
    sessions["id"] = sessions["id"].map(UUID)
    sessions["date"] = sessions["date"].map(lambda day: datetime.fromisoformat(day).date())
    datasets = pd.DataFrame(told["datasets"], columns=[*DATASETS_COLUMNS, "default_revision"])
    for key in ("id", "eid"):
        datasets[key] = datasets[key].map(UUID)
    datasets["qc"] = pd.Categorical(
        datasets["qc"], categories=DATASETS_COLUMNS["qc"].categories, ordered=True
    )
    meta = {
        "date_created": datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="minutes"),
        "origin": "sandbox",
        "min_api_version": "2.8.0",
    }
    sessions = sessions.astype({"number": "uint16"}).set_index("id")
    datasets = datasets.astype({"file_size": "UInt64", "exists": bool}).set_index(["eid", "id"])
    for name, table in (("sessions", sessions), ("datasets", datasets)):
        parquet.save(folder / f"{name}.pqt", table.sort_index(), meta)
    return sorted(file.name for file in folder.glob("*.pqt"))


for line in sys.stdin:
    function, argument = json.loads(line)
    try:
        answer = globals()[function](argument)
    except Exception as error:
        answer = {"error": type(error).__name__, "says": str(error)[:500]}
    print(json.dumps(answer), flush=True)
