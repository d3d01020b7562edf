"""Rows of the reference tables, and of users and subjects, as the REST answers show them."""

from typing import Any
from urllib.parse import quote

from sandbox.alyx.model import MODELS, Row
from sandbox.alyx.store import Store


def pick(row: Row, keys: tuple[str, ...]) -> Row:
    """Some of a row's columns, under their own names."""
    return {key: row[key] for key in keys}


class Shapes:
    """The shapes, for one store and one base URL (links repeat the host the client used)."""

    def __init__(self, store: Store, base: str) -> None:
        self.store = store
        self.base = base

    def name(self, table: str, key: str | None) -> str | None:
        """The name a row goes by in answers."""
        row = self.store.get(table, key)
        return None if row is None else row[MODELS[table].key]

    def names(self, table: str, keys: list[str] | None) -> list[Any]:
        """The names of a to-many relation, sorted where the model is."""
        found = [self.name(table, key) for key in keys or ()]
        return sorted(found, key=str) if MODELS[table].order else found

    def link(self, table: str, key: str | None) -> str | None:
        """The absolute URL of a row."""
        if key is None:
            return None
        return f"{self.base}/{table}/{key if MODELS[table].key == 'id' else quote(key)}"

    # Reference tables -----------------------------------------------------------

    def flat(self, table: str, row: Row) -> Row:
        """A row of a reference table."""
        match table:
            case "data-repository-type":
                return {"url": self.link(table, row["name"]), "json": row["json"], "name": row["name"]}
            case "data-repository":
                return pick(
                    {**row, "repository_type": self.name("data-repository-type", row["repository_type"])},
                    (
                        "name",
                        "timezone",
                        "globus_path",
                        "hostname",
                        "data_url",
                        "repository_type",
                        "globus_endpoint_id",
                        "globus_is_personal",
                        "json",
                    ),
                )
            case "labs":
                return pick(
                    {**row, "repositories": self.names("data-repository", row["repositories"])},
                    (
                        "name",
                        "institution",
                        "address",
                        "timezone",
                        "repositories",
                        "reference_weight_pct",
                        "zscore_weight_pct",
                        "json",
                    ),
                )
            case "dataset-types":
                shown = {**row, "created_by": self.name("users", row["created_by"])}
                return pick(shown, ("id", "name", "created_by", "description", "filename_pattern"))
            case "data-formats":
                keys = ("id", "json", "name", "description", "file_extension")
                return pick(row, (*keys, "matlab_loader_function", "python_loader_function"))
            case "projects":
                shown = {**row, "users": self.names("users", row["users"])}
                return pick(shown, ("name", "description", "users"))
            case "revisions":
                return pick(row, ("id", "json", "name", "description", "created_datetime"))
            case "tags":
                return pick(row, ("id", "json", "name", "description", "protected", "public", "hash"))
            case _:
                return self._person_or_subject(table, row)

    def _person_or_subject(self, table: str, row: Row) -> Row:
        if table == "users":
            mine = [
                s["nickname"]
                for s in self.store.tables["subjects"].values()
                if s["responsible_user"] == row["id"]
            ]
            shown = {"id": row["id"], "username": row["username"], "email": row["email"]}
            return {**shown, "subjects_responsible": sorted(mine), **row["more"]}
        return {
            "nickname": row["nickname"],
            "url": self.link("subjects", row["nickname"]),
            "id": row["id"],
            "responsible_user": self.name("users", row["responsible_user"]),
            **row["more"],
            "projects": self.names("projects", row["projects"]),
            "lab": self.name("labs", row["lab"]),
            **pick(row, ("sex", "description", "birth_date", "death_date", "json")),
        }

    def subject_detail(self, row: Row) -> Row:
        """One subject, with the histories it had in the seed."""
        return {**self.flat("subjects", row), **row["histories"]}
