"""The store of a running lab as its readers see it: a web server at the address that Alyx names."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from sandbox.web_store import WebStore
from tests.cli.running import STORE, Running


@contextmanager
def readers(lab: Running) -> Iterator[WebStore]:
    with WebStore(lab.store, prefix="cortexlab/Subjects/") as made:
        patch(lab, "data-repository", STORE, data_url=made.url)
        yield made


def patch(lab: Running, table: str, key: str, **news: object) -> None:
    """What another tool, or Alyx's administrator, writes."""
    headers = {"Authorization": f"Token {lab.alyx.token_for('transfer_bot')}"}
    with httpx2.Client(base_url=lab.alyx.url, headers=headers, timeout=30) as http:
        assert http.patch(f"/{table}/{key}", json=news).status_code == 200
