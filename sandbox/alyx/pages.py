"""Lists: which rows a query asks for, and one page of them."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode

from sandbox.alyx.errors import invalid
from sandbox.alyx.filters import PARAMETERS, WITH_DJANGO
from sandbox.alyx.model import Row
from sandbox.alyx.parameters import BadParameter, Keys, Parameter
from sandbox.alyx.queries import matches, ordered, parse, where
from sandbox.alyx.requesting import Request
from sandbox.alyx.store import Store

PAGE, LARGEST_PAGE = 250, 1000


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
