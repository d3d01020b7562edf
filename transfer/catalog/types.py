"""Alyx's table of dataset types, kept for a while: it changes a few times a year and is asked for every file."""

import threading
import time
from collections.abc import Callable

from transfer.catalog.base import Catalog
from transfer.paths import TypeIndex

_FRESH_FOR = 600.0  # seconds


class KnownTypes:
    """Answers the index, read from the catalogue at most every ten minutes.  May be shared by threads."""

    def __init__(self, catalog: Catalog, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._catalog = catalog
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._index: TypeIndex | None = None
        self._read_at = 0.0

    def __call__(self) -> TypeIndex:
        """Raises what the catalogue raises when it has to be asked."""
        with self._lock:
            if self._index is None or self._monotonic() - self._read_at > _FRESH_FOR:
                types = [(kind.name, kind.pattern) for kind in self._catalog.dataset_types()]
                self._index = TypeIndex(types, frozenset(self._catalog.data_formats()))
                self._read_at = self._monotonic()
            return self._index
