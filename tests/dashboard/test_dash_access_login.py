"""Logging in with an Alyx account: what a cookie is worth, when a login is over, and that guessing is slow."""

import base64
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from config import places
from config.sections import Dashboard
from dashboard.access import keys
from dashboard.access.logins import NAME, Logins, now
from dashboard.access.throttle import FREE, NAME_LONGEST, Throttle
from dashboard.pages.entrance import own_path
from tests.dashboard.entering import PASSWORD, House, house
from transfer.errors import CatalogThrottled, CatalogUnreachable, ConfigProblems, LoginThrottled
from transfer.ledger import logins as ledger_logins

WHO = "/api/v1/labs"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as made:
        yield made


def log_in(client: TestClient, name: str = "vera", password: str = PASSWORD, **more: str) -> Any:
    return client.post("/login", data={"name": name, "password": password, **more})


def cookie_of(answer: Any) -> str:
    return str(answer.headers["Set-Cookie"]).partition(";")[0].partition("=")[2]


def seen_with(home: House, cookie: str) -> int:
    return home.client().get(WHO, headers={"Cookie": f"{NAME}={cookie}"}).status_code


# ---- in and out


def test_who_has_logged_in_is_led_on_and_let_in(home: House) -> None:
    client = home.client()
    answer = log_in(client, next="/sessions?lab=a")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/sessions?lab=a")
    assert home.asked == ["vera"]
    assert client.get(WHO).status_code == 200
    assert client.get("/login").headers["Location"] == "/"


def test_the_cookie_is_for_our_pages_only_and_no_script_reads_it(home: House) -> None:
    told = log_in(home.client()).headers["Set-Cookie"]

    assert told.startswith(f"{NAME}=")
    assert told.split("; ")[1:] == ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"]


def test_over_tls_the_cookie_is_for_this_host_and_for_tls_only(tmp_path: Path) -> None:
    with house(tmp_path, more='https = true\nnames = ["dash.example.org"]') as made:
        client = made.client(base_url="https://dash.example.org")
        told = log_in(client).headers["Set-Cookie"]

        assert told.startswith(f"__Host-{NAME}=")
        assert told.endswith("; HttpOnly; SameSite=Strict; Secure")
        assert client.get(WHO).status_code == 200
        bare = {"Cookie": f"{NAME}={cookie_of(log_in(made.client(base_url='https://dash.example.org')))}"}
        assert made.client(base_url="https://dash.example.org").get(WHO, headers=bare).status_code == 401


def test_what_alyx_refuses_is_told_in_a_sentence_and_lets_nobody_in(home: House) -> None:
    client = home.client()
    answer = log_in(client, password="wrong")

    assert answer.status_code == 401
    assert "Alyx did not accept name and password" in answer.text
    assert "Set-Cookie" not in answer.headers
    assert client.get(WHO).status_code == 401


@pytest.mark.parametrize("name", ["", " ", "a b", "ve\x00ra", "vera\n", "v" * 151, "'; --", "token rig"])
def test_what_is_no_name_in_alyx_is_not_asked_for(home: House, name: str) -> None:
    """So nobody can be called as a token is in the audit log."""
    if name.strip() != "vera":
        assert log_in(home.client(), name).status_code in (401, 422)
        assert home.asked == []


@pytest.mark.parametrize(
    ("failure", "status", "words"),
    [
        (CatalogUnreachable("Alyx did not answer (ConnectTimeout)"), 503, "Alyx did not answer"),
        (CatalogThrottled("Alyx asks us to wait", after=timedelta(seconds=7)), 503, "Try again in 7 s."),
    ],
)
def test_alyx_being_away_is_told_and_counts_against_nobody(
    home: House, failure: Exception, status: int, words: str
) -> None:
    client = home.client()
    for _ in range(3 * FREE):
        home.answers.append(failure)
        answer = log_in(client)
        assert answer.status_code == status
        assert words in answer.text
    assert log_in(client).status_code == 303


def test_an_account_without_a_role_is_told_so(home: House) -> None:
    answer = log_in(home.client(), "newcomer")

    assert (answer.status_code, "may not use the dashboard" in answer.text) == (403, True)
    assert "Set-Cookie" not in answer.headers


def test_logging_in_and_out_are_in_the_audit_log(home: House) -> None:
    client = home.client()
    log_in(client)
    home.person("otto").post("/logout")

    events = [(row.subject_id, row.what) for row in home.place.events() if row.subject == "person"]
    assert events == [("vera", "logged_in"), ("otto", "logged_in"), ("otto", "logged_out")]
    assert {row.actor for row in home.place.events()} == {"person:vera", "person:otto"}


# ---- what a cookie is worth


def test_each_login_is_another_cookie_whatever_the_browser_had_before(home: House) -> None:
    """Nobody can give a browser a login and later share what it became."""
    client = home.client()
    planted = cookie_of(log_in(client))
    client.cookies.set(NAME, planted)
    new = cookie_of(log_in(client))

    assert planted != new
    assert home.logins.read(planted) != home.logins.read(new)
    one, other = home.logins.read(planted), home.logins.read(new)
    assert one
    assert other
    assert one.nonce != other.nonce


def test_after_logging_out_every_copy_of_the_cookie_is_worth_nothing(home: House) -> None:
    one, other = home.person("vera"), home.person("vera")
    somebody_else = home.person("otto")
    home.place.clock.forward(seconds=1)

    answer = one.post("/logout")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert [client.get(WHO).status_code for client in (one, other, somebody_else)] == [401, 401, 200]
    home.place.clock.forward(seconds=1)
    assert home.person("vera").get(WHO).status_code == 200


def test_logging_out_holds_for_every_dashboard_and_after_a_restart(home: House) -> None:
    """The ledger knows it, not the process."""
    client = home.person("vera")
    another = home.restarted()
    another.headers["Cookie"] = client.headers["Cookie"]
    assert another.get(WHO).status_code == 200

    client.post("/logout")
    assert another.get(WHO).status_code == 401


def test_a_login_ends_some_hours_after_it_began_however_busy(home: House) -> None:
    cookie = cookie_of(log_in(home.client()))
    for _ in range(5):
        home.time.forward(hours=2.3)
        answer = home.client().get(WHO, headers={"Cookie": f"{NAME}={cookie}"})
        assert answer.status_code == 200
        cookie = cookie_of(answer)
    home.time.forward(hours=0.6)
    assert seen_with(home, cookie) == 401


def test_a_login_ends_when_its_browser_asked_for_nothing(home: House) -> None:
    cookie = cookie_of(log_in(home.client()))
    home.time.forward(hours=3.9)
    assert seen_with(home, cookie) == 200
    home.time.forward(hours=0.2)
    assert seen_with(home, cookie) == 401


def test_a_cookie_is_not_sent_anew_with_every_answer(home: House) -> None:
    client = home.person("vera")
    assert "Set-Cookie" not in client.get(WHO).headers
    home.time.forward(minutes=2)
    assert "Set-Cookie" in client.get(WHO).headers


def test_a_role_is_asked_of_the_config_and_is_not_in_the_cookie(home: House) -> None:
    """Taking a name out of the config is enough."""
    client = home.person("anna")
    assert client.get("/api/v1/tokens").status_code == 200

    restarted = home.restarted(admins=[], viewers=["anna"])
    restarted.headers.update(client.headers)
    assert restarted.get(WHO).status_code == 200
    assert restarted.get("/api/v1/tokens").status_code == 403


TOLD = Dashboard()
SIGNED = Logins(b"k" * 32, TOLD)
GENUINE = SIGNED.written(SIGNED.begin("vera", since=now()))


@given(st.data())
def test_a_cookie_that_was_altered_is_none(data: st.DataObject) -> None:
    """Any letter changed, left out or added, anywhere."""
    place = data.draw(st.integers(0, len(GENUINE) - 1))
    letters = data.draw(st.text("ABCabc019-_.=", max_size=2))
    altered = GENUINE[:place] + letters + GENUINE[place + 1 :]
    if altered != GENUINE:
        found = SIGNED.read(altered)
        # The last letter of base64 has bits that mean nothing: the same bytes, so the same signature.
        assert found is None or found == SIGNED.read(GENUINE)


@given(st.text(max_size=3000) | st.binary(max_size=300).map(lambda some: some.decode("latin-1")))
def test_whatever_is_sent_as_a_cookie_is_read_without_a_failure(cookie: str) -> None:
    assert SIGNED.read(cookie) is None


def test_a_cookie_of_another_key_or_of_another_purpose_is_none() -> None:
    assert SIGNED.read(GENUINE) is not None
    assert Logins(b"j" * 32, TOLD).read(GENUINE) is None
    payload = (
        base64.urlsafe_b64encode(json.dumps(["anna", "2026-03-04", 1, "n"]).encode()).rstrip(b"=").decode()
    )
    assert SIGNED.read(payload) is None
    assert SIGNED.read(f"{payload}.{GENUINE.rpartition('.')[2]}") is None


# ---- the key


def test_the_key_is_made_once_by_however_many_begin_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For its owner only, and nothing is left beside it."""
    folder = tmp_path / "state"
    monkeypatch.setattr(places, "state_folder", lambda: folder)
    found: list[bytes] = []
    together = threading.Barrier(8)

    def begin() -> None:
        together.wait()
        found.append(keys.signing_key(TOLD))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1
    assert [file.name for file in folder.iterdir()] == [keys.NAME]
    assert (folder / keys.NAME).stat().st_mode & 0o777 == 0o600


def test_a_key_that_others_can_read_or_that_is_short_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "state_folder", lambda: tmp_path)
    file = tmp_path / keys.NAME
    file.touch(mode=0o600)
    file.write_text("x" * 31)
    with pytest.raises(ConfigProblems, match="fewer than 32"):
        keys.signing_key(TOLD)
    file.write_text("x" * 32)
    file.chmod(0o644)
    with pytest.raises(ConfigProblems, match="can be read by others"):
        keys.signing_key(TOLD)


# ---- guessing


class Ticks:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wait_of(throttle: Throttle, address: str, name: str) -> float:
    try:
        throttle.begin(address, name)
    except LoginThrottled as error:
        return error.after.total_seconds() if error.after else -1.0
    return 0.0


def test_each_failure_of_an_address_makes_its_wait_longer() -> None:
    ticks = Ticks()
    throttle, waits = Throttle(clock=ticks), []
    for count in range(FREE + 12):
        waited = wait_of(throttle, "192.0.2.1", f"name{count}")
        if waited:
            ticks.now += waited
            assert wait_of(throttle, "192.0.2.1", f"name{count}") == 0
        waits.append(waited)

    assert waits[:FREE] == [0] * FREE
    assert waits[FREE:] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


def test_many_at_once_are_no_way_round() -> None:
    """An attempt counts from its beginning, whether or not Alyx has answered."""
    throttle = Throttle(clock=Ticks())
    admitted = [wait_of(throttle, "192.0.2.1", f"name{count}") for count in range(100)].count(0)
    assert admitted == FREE


def test_a_name_waits_half_a_minute_at_most_and_its_owner_not_at_all() -> None:
    ticks = Ticks()
    throttle = Throttle(clock=ticks)
    assert wait_of(throttle, "192.0.2.9", "vera") == 0
    throttle.succeeded("192.0.2.9", "vera")

    for count in range(200):
        wait_of(throttle, f"198.51.100.{count}", "vera")

    assert 0 < wait_of(throttle, "203.0.113.5", "vera") <= NAME_LONGEST
    assert wait_of(throttle, "192.0.2.9", "vera") == 0
    ticks.now += NAME_LONGEST
    assert wait_of(throttle, "203.0.113.5", "vera") == 0


def test_the_right_password_of_ones_own_does_not_make_an_address_guess_faster() -> None:
    throttle = Throttle(clock=Ticks())
    for _ in range(FREE - 1):
        assert wait_of(throttle, "192.0.2.1", "victim") == 0
    assert wait_of(throttle, "192.0.2.1", "attacker") == 0
    throttle.succeeded("192.0.2.1", "attacker")

    assert wait_of(throttle, "192.0.2.1", "victim") == 0
    assert wait_of(throttle, "192.0.2.1", "victim") > 0


def test_an_hour_later_all_is_forgotten() -> None:
    ticks = Ticks()
    throttle = Throttle(clock=ticks)
    for _ in range(50):
        wait_of(throttle, "192.0.2.1", "vera")
    ticks.now += 3601
    assert [wait_of(throttle, "192.0.2.1", "vera") for _ in range(FREE)] == [0] * FREE


@given(
    st.lists(st.tuples(st.ip_addresses().map(str) | st.text(max_size=5), st.text(max_size=300)), max_size=60)
)
def test_memory_is_bounded_whoever_asks(attempts: list[tuple[str, str]]) -> None:
    throttle = Throttle(clock=Ticks(), kept=10)
    for address, name in attempts:
        if wait_of(throttle, address, name) == 0:
            throttle.succeeded(address, name)
        wait_of(throttle, address, name)
    assert max(len(throttle._addresses), len(throttle._names), len(throttle._friends)) <= 10


def test_the_addresses_of_one_network_of_ipv6_are_one() -> None:
    throttle = Throttle(clock=Ticks())
    waits = [wait_of(throttle, f"2001:db8::{count:x}", f"name{count}") for count in range(20)]
    assert waits.count(0) == FREE
    assert wait_of(throttle, "2001:db8:0:1::1", "name") == 0


def test_who_guesses_is_told_to_wait_and_alyx_is_not_asked(home: House) -> None:
    client = home.client()
    for _ in range(FREE):
        assert log_in(client, password="wrong").status_code == 401
    asked = len(home.asked)

    answer = log_in(client)
    assert (answer.status_code, "E-5005" in answer.text) == (429, True)
    assert int(answer.headers["Retry-After"]) >= 1
    assert len(home.asked) == asked


# ---- where it leads


@given(st.text(max_size=40) | st.text("/\\.:@?#%a\t\n ", max_size=12).map(lambda words: f"/{words}"))
def test_after_a_login_we_lead_to_a_page_of_ours_only(words: str) -> None:
    """As browsers read addresses: a backslash is a slash, tabs and line breaks are not there."""
    led = own_path(words)
    assert led.startswith("/")
    as_read = led.replace("\\", "/").translate({9: None, 10: None, 13: None})
    assert not as_read.startswith("//")
    assert led.isprintable()


@pytest.mark.parametrize(
    "words",
    ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "javascript:x", ""],
)
def test_a_foreign_address_leads_to_the_first_page(home: House, words: str) -> None:
    assert log_in(home.client(), next=words).headers["Location"] == "/"
    client = home.person("vera")
    assert client.get("/login", params={"next": words}).headers["Location"] == "/"


def test_the_login_leads_back_to_the_page_that_was_asked_for(home: House) -> None:
    client = home.client(headers={"Accept": "text/html"})
    answer = client.get("/notices?x=1&y=%2F")
    assert answer.headers["Location"] == "/login?next=%2Fnotices%3Fx%3D1%26y%3D%252F"

    form = client.get(answer.headers["Location"])
    assert 'name="next" value="/notices?x=1&amp;y=%2F"' in form.text


def test_a_part_of_a_page_sends_the_whole_page_to_the_login(home: House) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://evil.example/notices", "Accept": "text/html"}
    answer = home.client().get("/notices", headers=headers)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/login?next=%2Fnotices")


def test_a_link_from_elsewhere_leads_to_the_page_without_a_second_login(home: House) -> None:
    """Browsers keep the cookie back then; our own page asks again, and with that the cookie comes."""
    headers = {"Sec-Fetch-Site": "cross-site", "Accept": "text/html"}
    answer = home.client().get("/notices", headers=headers)
    assert (answer.status_code, 'content="0;url=/login?next=%2Fnotices"' in answer.text) == (200, True)

    again = home.person("vera").get("/login?next=%2Fnotices")
    assert (again.status_code, again.headers["Location"]) == (303, "/notices")


def test_a_page_of_another_site_logs_nobody_in(home: House) -> None:
    """Nobody is to work under an account that somebody else chose for them."""
    answer = home.client().post(
        "/login", data={"name": "vera", "password": PASSWORD}, headers={"Origin": "https://evil.example"}
    )
    assert (answer.status_code, home.asked) == (403, [])


def test_a_login_by_the_clock_of_a_ledger_that_is_behind_is_not_over(home: House) -> None:
    since = ledger_logins.logged_in(home.place.ledger, "vera")
    login = home.logins.begin("vera", since=since)
    home.time.forward(seconds=-30)
    assert seen_with(home, home.logins.written(login)) == 200
