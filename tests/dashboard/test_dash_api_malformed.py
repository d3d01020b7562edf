"""No request, however malformed, gets a 500: drawn from the OpenAPI document, so that a new operation is covered."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dashboard.entering import House, house
from tests.ledger.build import SPIKES, VIDEO
from transfer.errors import CATALOGUE
from transfer.status import Status


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """With a session on its way, so that numbers may hit something."""
    with house(tmp_path_factory.mktemp("home")) as made:
        made.place.at(Status.PLANNED, files=(SPIKES, VIDEO))
        yield made


@pytest.fixture(scope="module")
def program(home: House) -> TestClient:
    return home.program("admin")


@pytest.fixture(scope="module")
def document(program: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = program.get("/api/v1/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, told)
        for path, methods in sorted(document["paths"].items())
        for method, told in sorted(methods.items())
    ]


WORDS = """0 -1 1 2 NaN 1e400 % %00 ' " <script> ../.. ~ x~y 2026-03-04 2026-13-40
moving session:1 endpoint:alyx hold:x null true"""
HOSTILE = st.sampled_from(["", "9" * 40, "\x00", "a\x00b", "\u202e", "\ud800", *WORDS.split()]) | st.text(
    max_size=30
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | HOSTILE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def written(words: str) -> str:
    """As a program that minds nothing puts it into an address."""
    return quote(words.encode("utf-8", "surrogatepass"), safe="")


@st.composite
def requests(draw: st.DrawFn, document: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """One operation with nearly right, wrong and absurd parameters and body."""
    method, path, told = draw(st.sampled_from(operations(document)))
    query = []
    for one in told.get("parameters", []):
        words = draw(HOSTILE)
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", written(words) or "1")
        elif draw(st.booleans()):
            query.append(f"{one['name']}={written(words)}")
    if draw(st.booleans()):
        query.append(f"{written(draw(st.text(max_size=5)))}={written(draw(HOSTILE))}")
    more: dict[str, Any] = {}
    if "requestBody" in told or (method != "get" and draw(st.booleans())):
        names = fields(document, told)
        body = draw(st.fixed_dictionaries({}, optional={name: fitting(name) for name in names}) | VALUES)
        kind = draw(
            st.sampled_from(
                [
                    "application/json",
                    "application/json",
                    "text/plain",
                    "application/x-www-form-urlencoded",
                    "x",
                ]
            )
        )
        raw = draw(st.sampled_from([None, b"", b"{", b"\xff\xfe", b'{"target":"\xed\xa0\x80"}', b"[" * 2000]))
        more["content"] = raw if raw is not None else json.dumps(body).encode()
        more["headers"] = {"Content-Type": kind}
    return method, path + ("?" + "&".join(query) if query else ""), more


def fields(document: dict[str, Any], told: dict[str, Any]) -> list[str]:
    for content in told.get("requestBody", {}).get("content", {}).values():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        found = document["components"]["schemas"].get(name, {}).get("properties", {})
        return [*found, "more"]
    return ["more"]


def fitting(name: str) -> st.SearchStrategy[Any]:
    """Values that are often taken for this field, so that what lies behind the first look is reached as well."""
    right = {
        "target": st.sampled_from(
            [
                "session:1",
                "file:1",
                "item:1",
                "batch:1",
                "lab:cortexlab",
                "endpoint:alyx",
                "item:99",
                "session:-1",
            ]
        ),
        "why": st.sampled_from(["because", " "]),
        "level": st.integers(-200, 200),
        "rate": st.sampled_from(["1MB/s", "0", "unlimited", "fast", "-1", "1e999MB/s"]),
        "seconds": st.integers(-1, 2**70),
        "until": st.sampled_from(
            ["2026-03-05T00:00:00Z", "2026-03-05", "9999-12-31T23:59:59+14:00", "0001-01-01T00:00:00-14:00"]
        ),
        "name": st.sampled_from(["monitor", ""]),
        "role": st.sampled_from(["viewer", "emperor"]),
    }
    return right[name] | VALUES if name in right else VALUES


def test_the_document_has_every_operation_with_words(document: dict[str, Any]) -> None:
    found = operations(document)
    assert len(found) > 30
    for method, path, told in found:
        assert told["summary"], (method, path)
        assert told["operationId"], (method, path)
        assert path in ("/healthz", "/readyz") or "401" in told["responses"], (method, path)
    ids = [told["operationId"] for _, _, told in found]
    assert len(ids) == len(set(ids))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_request_gets_a_500_and_each_failure_has_a_code(
    data: st.DataObject, program: TestClient, document: dict[str, Any]
) -> None:
    method, address, more = data.draw(requests(document))
    answer = program.request(method.upper(), address, **more)
    assert answer.status_code < 500, (method, address, more, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json", (method, address)
        told = answer.json()
        assert told["code"] in CATALOGUE
        assert told["status"] == answer.status_code
        assert told["remedy"]


@pytest.mark.parametrize(
    "path", ["/api/v1/nowhere", "/api/v1/", "/api/v2/overview", "/api/v1/sessions/x/y/z"]
)
def test_an_address_that_is_none_has_a_code(program: TestClient, path: str) -> None:
    answer = program.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "E-5011")


def test_a_method_that_is_not_taken_has_a_code(program: TestClient) -> None:
    answer = program.delete("/api/v1/overview")
    assert (answer.status_code, answer.json()["code"]) == (405, "E-5011")
