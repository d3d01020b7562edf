"""Who may: taken from the addresses that there are, so that one that is added is covered."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.access import wanting
from tests.dashboard.entering import House, Route, house, routes
from transfer.ledger import tables, tokens

SAFE = {"GET", "HEAD", "OPTIONS"}
FOR_ANYBODY = {"/login", "/healthz", "/readyz"}
FOR_VIEWERS = {"/logout"}
"""Changes that are not the ledger's: everybody may go."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture(scope="module")
def all_routes(home: House) -> list[Route]:
    found = routes(home.app)
    assert len(found) > 40
    return found


def ask(client: Any, route: Route, **more: Any) -> Any:
    """As a browser asks for a page, and as a program asks for anything else."""
    accept = "application/json" if route.path.startswith("/api/") else "text/html"
    body: dict[str, Any] = {} if route.method in SAFE else {"json": {}}
    headers = {"Accept": accept, **more.pop("headers", {})}
    return client.request(route.method, route.path, headers=headers, **body, **more)


def guarded(all_routes: list[Route]) -> list[Route]:
    return [route for route in all_routes if route.pattern not in FOR_ANYBODY]


def changing(all_routes: list[Route]) -> list[Route]:
    found = [
        route
        for route in guarded(all_routes)
        if route.method not in SAFE and route.pattern not in FOR_VIEWERS
    ]
    assert len(found) > 12
    return found


def wrong(asked: dict[str, int], right: set[int]) -> dict[str, int]:
    return {name: status for name, status in asked.items() if status not in right}


# ---- nobody


def test_nobody_is_let_in_anywhere_and_a_page_leads_to_the_login(
    home: House, all_routes: list[Route]
) -> None:
    """401 for a program; for a person the login, and no word of what is behind it."""
    nobody = home.client()

    for route in guarded(all_routes):
        answer = ask(nobody, route)
        if route.path.startswith(("/api/", "/metrics")):
            assert (answer.status_code, answer.json()["code"]) == (401, "E-5001"), str(route)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        else:
            assert answer.status_code == 303, str(route)
            assert answer.headers["Location"].partition("?")[0] == "/login", str(route)
            assert answer.content == b""


def test_a_token_that_is_none_of_ours_is_nobody_even_beside_a_cookie(
    home: House, all_routes: list[Route]
) -> None:
    admin = home.person("anna")

    for secret in ("at_" + "A" * 32, "", "x", "at_" + "A" * 31 + "!", "Bearer"):
        for route in guarded(all_routes)[::7]:
            answer = ask(admin, route, headers={"Authorization": f"Bearer {secret}"})
            assert answer.status_code in (303, 401), (secret, str(route))


# ---- who may not


def test_a_viewer_changes_nothing(home: House, all_routes: list[Route]) -> None:
    viewer, program = home.person("vera"), home.program("viewer")

    for client in (viewer, program):
        asked = {str(route): ask(client, route).status_code for route in changing(all_routes)}
        assert wrong(asked, {403}) == {}


def test_an_operator_makes_no_tokens_and_reaches_no_lab_that_an_admin_must(
    home: House, all_routes: list[Route]
) -> None:
    operator = home.person("otto")
    reserved = [route for route in guarded(all_routes) if needs(route) == {"Administering"}]

    assert {"/api/v1/tokens", "/api/v1/notices/test"} <= {route.pattern for route in reserved}
    assert wrong({str(route): ask(operator, route).status_code for route in reserved}, {403}) == {}


def test_an_account_that_the_config_gives_nothing_is_nobody(home: House, all_routes: list[Route]) -> None:
    """As after its name was taken out of the lists: the cookie is right, and lets nobody in."""
    stranger = home.person("newcomer")

    asked = {str(route): ask(stranger, route).status_code for route in guarded(all_routes)}
    assert wrong(asked, {303, 401}) == {}


# ---- whose change it is


def test_no_change_of_a_browser_without_the_token_of_its_page(home: House, all_routes: list[Route]) -> None:
    """Missing, empty, made up, or of another login."""
    other = home.person("otto").headers["X-CSRF-Token"]
    client = home.person("anna", token=False)

    for sent in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "0" * 64}, {"X-CSRF-Token": other}):
        for route in changing(all_routes):
            answer = ask(client, route, headers=sent)
            assert answer.status_code == 403, str(route)
    assert "E-5003" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9000"},
        {"Origin": "https://127.0.0.1:8420"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
    ],
    ids=str,
)
def test_no_change_that_a_page_of_another_site_sends(
    home: House, all_routes: list[Route], headers: dict[str, str]
) -> None:
    """Not even with everything else right."""
    client = home.person("anna")

    asked = {str(route): ask(client, route, headers=headers).status_code for route in changing(all_routes)}
    assert wrong(asked, {403}) == {}


def test_its_own_page_and_a_program_get_past_the_door(home: House, all_routes: list[Route]) -> None:
    """What they then are answered is the operation's own business."""
    ours = {"Origin": "http://127.0.0.1:8420", "Sec-Fetch-Site": "same-origin"}
    admin, program = home.person("anna"), home.program("admin")

    for route in changing(all_routes):
        if route.pattern != "/api/v1/actions/release-all":
            assert ask(admin, route, headers=ours).status_code not in (401, 403), str(route)
            assert ask(program, route).status_code not in (401, 403), str(route)


def test_a_form_sends_the_token_in_a_field(home: House) -> None:
    admin = home.person("anna")
    token = admin.headers.pop("X-CSRF-Token")
    form = {"lab": "no such lab", "why": "moving"}

    assert admin.post("/notices/unsilence", data=form).status_code == 403
    assert admin.post("/notices/unsilence", data=form | {"csrf_token": "0" * 64}).status_code == 403
    assert admin.post("/notices/unsilence", data=form | {"csrf_token": token}).status_code == 404


# ---- what a route says of itself


def needs(route: Route) -> set[str]:
    """The parameters by which a route says who may use it."""
    kinds = {
        **{
            getattr(wanting, name).__metadata__[0].dependency: name
            for name in ("Seeing", "Acting", "Administering")
        },
    }
    found = set()
    waiting = [route.route.dependant]
    while waiting:
        one = waiting.pop()
        found |= {kinds[one.call]} if one.call in kinds else set()
        waiting += one.dependencies
    return found


def test_each_address_says_who_may_use_it(all_routes: list[Route]) -> None:
    silent = [str(route) for route in guarded(all_routes) if not needs(route)]
    weak = [str(route) for route in changing(all_routes) if not needs(route) & {"Acting", "Administering"}]
    assert (silent, weak) == ([], [])


# ---- where nobody logs in


def test_at_home_programs_need_nothing_and_foreign_pages_get_nothing(tmp_path: Path) -> None:
    with house(tmp_path, more='login = "none"') as made:
        client, change = made.client(), "/api/v1/actions/release-all"

        assert client.get("/api/v1/labs").status_code == 200
        assert client.post(change, json={}).status_code == 200
        assert client.post(change, json={}, headers={"Origin": "https://evil.example"}).status_code == 403
        assert client.post(change, json={}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert client.get("/api/v1/labs", headers={"Host": "evil.example:8420"}).status_code == 421


def test_at_home_a_form_needs_the_token_of_our_page(tmp_path: Path) -> None:
    """A form is what a foreign page could send without asking for leave."""
    with house(tmp_path, more='login = "none"') as made:
        client = made.client()
        ours = {"Origin": "http://127.0.0.1:8420"}
        token = made.logins.csrf_token("home")

        assert client.post("/notices/test", headers=ours).status_code == 403
        assert client.post("/notices/test", headers=ours, data={"csrf_token": token}).status_code == 404


def test_a_role_that_no_version_knows_lets_nobody_in(home: House) -> None:
    _, secret = tokens.make(home.place.ledger, "future", "viewer")
    client = home.client()
    client.headers["Authorization"] = f"Bearer {secret}"
    assert client.get("/api/v1/labs").status_code == 200

    with home.place.ledger.writing() as connection:
        connection.execute(
            tables.tokens.update().where(tables.tokens.c.name == "future").values(role="owner")
        )
    assert client.get("/api/v1/labs").status_code == 401
