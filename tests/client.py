"""Another client of the sandbox Alyx, with a user of its own: what ibllib, the crons or a person do behind our back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

from tests.world import LAB, LAB_SERVER, World, md5


class Client:
    """Requests as another tool makes them; each must be answered with success unless told otherwise."""

    def __init__(self, box: World, http: httpx2.Client) -> None:
        self.box = box
        self.http = http

    def register(self, session: str, files: Mapping[str, bytes], **more: object) -> httpx2.Response:
        """POST /register-file for files of a session, named by their path in it; the answer, whatever it is."""
        body = {
            "created_by": "other_tool",
            "path": session,
            "filenames": list(files),
            "hashes": [md5(content) for content in files.values()],
            "filesizes": [len(content) for content in files.values()],
            "versions": [None] * len(files),
            "name": LAB_SERVER,
            "labs": [LAB],
        }
        return self.http.post("/register-file", json=body | more)

    def patch(self, table: str, key: str, **news: object) -> dict[str, Any]:
        answer = self.http.patch(f"/{table}/{key}", json=news)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def delete(self, table: str, key: str) -> None:
        assert self.http.delete(f"/{table}/{key}").status_code == 204


@contextmanager
def other_client(box: World) -> Iterator[Client]:
    """Another user's connection."""
    box.alyx.add_user("other_tool", password="secret")
    headers = {"Authorization": f"Token {box.alyx.token_for('other_tool')}"}
    with httpx2.Client(base_url=box.alyx.url, headers=headers, timeout=30) as http:
        yield Client(box, http)
