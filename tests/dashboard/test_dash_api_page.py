"""docs/api.md lists every operation, in the words of the OpenAPI document, and its examples work as they are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dashboard.api.actions import Asked
from tests.dashboard.entering import House, house
from tests.ledger.build import SPIKES, VIDEO
from transfer.errors import StoreDenied
from transfer.ledger import endpoints
from transfer.status import Status

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\| `(GET|POST) ([^`]+)` \| (.+?) \| `(.+)` \|$", PAGE, re.MULTILINE)
BESIDE = ("/healthz", "/readyz", "/metrics")
NOBODY_TOLD = "notices/test"  # of an installation that tells nobody


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("home")) as made:
        made.place.hold(made.place.at(Status.PLANNED, files=(SPIKES, VIDEO)), StoreDenied("no", to="alf"))
        endpoints.ensure(made.place.ledger, made.board.endpoint_names)
        yield made


@pytest.fixture(scope="module")
def program(home: House) -> TestClient:
    home.program("viewer")  # the token that an example revokes
    return home.program("admin")


@pytest.fixture(scope="module")
def document(home: House) -> dict[str, Any]:
    return home.app.openapi()


def whole(path: str) -> str:
    return path if path in BESIDE else f"/api/v1/{path}"


def test_the_page_has_every_operation_in_its_own_words(document: dict[str, Any]) -> None:
    written = {(method, whole(path)): words for method, path, words, _ in LINES}
    there = {
        (method.upper(), path): told["summary"]
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    }
    assert written == there
    assert len(LINES) == len(written)


@pytest.mark.parametrize(
    ("method", "path", "example"),
    [(method, path, example) for method, path, _, example in LINES],
    ids=lambda word: word if word.isupper() or "/" in word else "",
)
def test_each_example_is_answered(program: TestClient, method: str, path: str, example: str) -> None:
    """Against a ledger that has what the example names; where nobody is to be told, that is said."""
    if example.startswith("{"):
        answer = program.request(method, whole(path), json=json.loads(example))
    else:
        answer = program.request(method, whole(example))
    expected = 404 if path == NOBODY_TOLD else 200
    assert answer.status_code == expected, answer.text


def test_examples_of_addresses_name_only_parameters_that_there_are(document: dict[str, Any]) -> None:
    """An unknown one would be ignored, and the example be a lie."""
    for method, path, _, example in LINES:
        told = document["paths"][whole(path)][method.lower()]
        known = {one["name"] for one in told.get("parameters", []) if one["in"] == "query"}
        query = "" if example.startswith("{") else example.partition("?")[2]
        assert set(re.findall(r"(\w+)=", query)) <= known, example


def test_the_page_tells_every_status_that_an_operation_may_answer(document: dict[str, Any]) -> None:
    told = {
        status for row in re.findall(r"^\| ([\d, ]+) \|", PAGE, re.MULTILINE) for status in row.split(", ")
    }
    answered = {
        status
        for methods in document["paths"].values()
        for operation in methods.values()
        for status in operation["responses"]
        if int(status) >= 400
    }
    assert answered <= told


def test_every_operation_has_a_readable_name_and_one_form_of_failure(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"]), path
            for status, answer in operation["responses"].items():
                (media, shape) = next(iter(answer["content"].items()))
                if int(status) >= 400:
                    assert media == "application/problem+json"
                    assert shape["schema"] == {"$ref": "#/components/schemas/Problem"}
                elif path != "/metrics":
                    assert shape["schema"].get("$ref"), f"{path} says nothing of its answer"


def test_what_an_action_takes_is_told_with_examples() -> None:
    told = Asked.model_json_schema()["properties"]["target"]
    assert all(re.fullmatch(told["pattern"], one) for one in told["examples"])
