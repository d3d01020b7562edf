"""Reads Alyx's lists so that nothing is missing from them, and asks for them so that they are filtered.

Promised: every row that was in the list all the while is given, and each row once.  Alyx's lists have no
order, so while anybody writes the pages of one pass can skip rows and repeat others (observed on 3.6.1: half
the rows missed).  Passes are repeated until one finds nothing new; a list that fits into one page is one
query and needs no second pass.

The surprising things: values in `django=` filters are sent as lists (`name__in,['4581']`), since Alyx takes a
plain value of digits for a number and then finds nothing; and a filter it does not know is answered with
every row there is, so a filtered list is checked with `require` before anybody acts on it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from transfer.catalog.alyx_http import AlyxHttp
from transfer.catalog.alyx_rows import read
from transfer.errors import CatalogBroken, UnknownInCatalog

_PAGE = 1000  # Alyx cuts longer pages to this
_PASSES = 50
_PLAIN = re.compile(r"[\w .:@+-]+")


def every(
    http: AlyxHttp, path: str, query: Mapping[str, str] | None = None, *, key: str = "url"
) -> Iterator[dict[str, Any]]:
    """Every row of the list, known apart by its field `key`."""
    seen: set[str] = set()
    for _ in range(_PASSES):
        news = 0
        for row, alone in _one_pass(http, path, query or {}):
            name = read(lambda row: str(row[key]), row, path)
            if name not in seen:
                seen.add(name)
                news += not alone
                yield row
        if not news:
            return
    raise CatalogBroken(f"the list changed through {_PASSES} readings", to=path)


def _one_pass(http: AlyxHttp, path: str, query: Mapping[str, str]) -> Iterator[tuple[dict[str, Any], bool]]:
    """The rows of page after page, each with whether its page was the whole list."""
    offset = 0
    while True:
        answer = http.get(path, {**query, "limit": str(_PAGE), "offset": str(offset)})
        count, page = read(lambda answer: (int(answer["count"]), list(answer["results"])), answer, path)
        alone = offset == 0 and count == len(page)
        yield from ((row, alone) for row in page)
        offset += len(page)
        if not page or offset >= count:
            return


def require(holds: bool, of: str, wanted: object) -> None:
    """Raise `CatalogBroken` unless the answer `holds` to what was asked."""
    if not holds:
        do = "Tell Alyx's administrator; this program was written for Alyx 3.6."
        raise CatalogBroken(f"Alyx did not filter by {of}", to=wanted, do=do)


def one_of(field: str, values: Iterable[str]) -> str:
    """A `django=` condition.  The server evaluates the list as Python, so nothing may end a text early."""
    texts = list(values)
    for text in texts:
        if not _PLAIN.fullmatch(text):
            raise UnknownInCatalog("Alyx cannot be asked for a name with such characters", to=repr(text))
    return f"{field}__in,[{','.join(repr(text) for text in texts)}]"
