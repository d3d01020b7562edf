"""Fields of a request body that name other rows: by name, by id or by URL."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sandbox.alyx.fields import Input, Wrong
from sandbox.alyx.model import MODELS
from sandbox.alyx.store import Store


@dataclass(frozen=True, slots=True)
class Slug(Input):
    """A related row by its name."""

    table: str = ""
    field: str = "name"

    def clean(self, value: Any, store: Store) -> Any:
        """The related row's id."""
        row = store.one(self.table, self.field, str(value))
        if row is None:
            raise Wrong(f"Object with {self.field}={value} does not exist.")
        return row["id"]


@dataclass(frozen=True, slots=True)
class Slugs(Slug):
    """Several related rows by their names; the list replaces what was there."""

    def clean(self, value: Any, store: Store) -> Any:
        """The related rows' ids."""
        if isinstance(value, str) or not isinstance(value, list):
            raise Wrong(f'Expected a list of items but got type "{type(value).__name__}".')
        return list(dict.fromkeys(Slug.clean(self, item, store) for item in value))


@dataclass(frozen=True, slots=True)
class Pk(Input):
    """A related row by its id."""

    table: str = ""

    def clean(self, value: Any, store: Store) -> Any:
        """The id."""
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise Wrong(f"Incorrect type. Expected pk value, received {type(value).__name__}.")
        try:
            key = str(UUID(str(value)))
        except ValueError:
            raise Wrong(f"“{value}” is not a valid UUID.") from None
        if store.get(self.table, key) is None:
            raise Wrong(f'Invalid pk "{value}" - object does not exist.')
        return key


@dataclass(frozen=True, slots=True)
class Pks(Pk):
    """Several related rows by id."""

    def clean(self, value: Any, store: Store) -> Any:
        """The ids."""
        if isinstance(value, str) or not isinstance(value, list):
            raise Wrong(f'Expected a list of items but got type "{type(value).__name__}".')
        return [Pk.clean(self, item, store) for item in value]


@dataclass(frozen=True, slots=True)
class Link(Input):
    """A related row by its URL, absolute or only its path."""

    table: str = ""

    def clean(self, value: Any, store: Store) -> Any:
        """The id at the end of the URL."""
        if not isinstance(value, str):
            raise Wrong(f"Incorrect type. Expected URL string, received {type(value).__name__}.")
        path = re.sub(r"^https?://[^/?#]*", "", value)
        found = re.fullmatch(r"/([a-z-]+)/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", path)
        if found is None or found[1] not in MODELS:
            raise Wrong("Invalid hyperlink - No URL match.")
        if found[1] != self.table:
            raise Wrong("Invalid hyperlink - Incorrect URL match.")
        if store.get(self.table, found[2]) is None:
            raise Wrong("Invalid hyperlink - Object does not exist.")
        return found[2]
