"""What an observer sees of the tables, behind the server's back."""

import copy

from sandbox.alyx.model import QC, Row
from sandbox.alyx.store import Store

_QC_NAME = {value: name for name, value in QC.items()}


class Tables:
    """The tables as they are this moment, as copies: what an observer sees behind the server's back."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def rows(self, table: str) -> list[Row]:
        """Copies of all rows of a table, in heap order; relations are ids."""
        with self._store.lock:
            return copy.deepcopy(list(self._store.tables[table].values()))

    def file_records(self, repository: str | None = None, dataset: str | None = None) -> list[Row]:
        """File records: id, dataset, repository (its name), relative_path, exists, json."""
        with self._store.lock:
            names = {key: row["name"] for key, row in self._store.tables["data-repository"].items()}
            found = [
                {
                    "id": row["id"],
                    "dataset": row["dataset"],
                    "repository": names[row["data_repository"]],
                    "relative_path": row["relative_path"],
                    "exists": row["exists"],
                    "json": copy.deepcopy(row["json"]),
                }
                for row in self._store.tables["files"].values()
            ]
        return [
            row
            for row in found
            if repository in (None, row["repository"]) and dataset in (None, row["dataset"])
        ]

    def datasets(self, session: str | None = None, name: str | None = None) -> list[Row]:
        """Datasets: the stored row, with names for its type, format, revision, creator, tags and qc."""
        with self._store.lock:
            tables = self._store.tables
            chosen = [
                row
                for row in tables["datasets"].values()
                if session in (None, row["session"]) and name in (None, row["name"])
            ]
            return [
                {
                    **copy.deepcopy(row),
                    "dataset_type": tables["dataset-types"][row["dataset_type"]]["name"],
                    "data_format": tables["data-formats"][row["data_format"]]["name"],
                    "revision": tables["revisions"][row["revision"]]["name"] if row["revision"] else "",
                    "created_by": tables["users"][row["created_by"]]["username"]
                    if row["created_by"]
                    else None,
                    "tags": [tables["tags"][key]["name"] for key in row["tags"]],
                    "qc": _QC_NAME[row["qc"]],
                }
                for row in chosen
            ]

    def sessions(self, subject: str | None = None) -> list[Row]:
        """Sessions: id, subject, lab, number, start_time."""
        with self._store.lock:
            tables = self._store.tables
            found = [
                {
                    "id": row["id"],
                    "subject": tables["subjects"][row["subject"]]["nickname"],
                    "lab": tables["labs"][row["lab"]]["name"] if row["lab"] else None,
                    "number": row["number"],
                    "start_time": row["start_time"],
                }
                for row in tables["sessions"].values()
            ]
        return [row for row in found if subject in (None, row["subject"])]
