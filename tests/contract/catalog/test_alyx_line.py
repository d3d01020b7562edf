"""When the line or the server fails: what is asked again, how long we wait, what the failure is called."""

import socket
from datetime import timedelta
from uuid import uuid4

import httpx2
import pytest
from alyx_lab import RIG, STORE, Rig, registration

from transfer.catalog.alyx import AlyxCatalog
from transfer.catalog.alyx_http import AlyxHttp, Patience
from transfer.catalog.limiter import Limiter
from transfer.errors import (
    CatalogBroken,
    CatalogRefused,
    CatalogThrottled,
    CatalogUnreachable,
    TransferError,
    UnknownInCatalog,
)

DEAD = 'connection to server at "127.0.0.1", port 5432 failed: Connection refused'


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True},
        {"status": 502},
        {"status": 503},
        {"status": 504},
        {"status": 500},
        {"status": 500, "detail": DEAD},
    ],
    ids=str,
)
def test_a_passing_failure_is_asked_again(rig: Rig, catalog: AlyxCatalog, fault: dict[str, object]):
    """Two failures in a row are ours to bear."""
    rig.alyx.faults.add("GET", "/data-repository/", times=2, **fault)  # type: ignore[arg-type]

    assert catalog.repository(STORE).name == STORE

    rig.alyx.faults.assert_all_reached()
    assert len(rig.slept) == 2


def test_a_patch_whose_answer_was_lost_is_sent_again(rig: Rig, catalog: AlyxCatalog):
    """To say the same twice changes nothing."""
    [answer] = catalog.register(registration("alf/spikes.times.npy"))
    record = next(one for one in answer.records if one.repository == STORE)
    rig.alyx.faults.add("PATCH", "/files/", drop=True, after_work=True)

    assert catalog.announce(record.id, True).exists

    rig.alyx.faults.assert_all_reached()
    assert rig.alyx.requests.count("PATCH", "/files/<id>") == 2


def test_a_delete_whose_answer_was_lost_is_done(rig: Rig, catalog: AlyxCatalog):
    """What is gone already is what we wanted."""
    [answer] = catalog.register(registration("alf/spikes.times.npy"))
    rig.alyx.faults.add("DELETE", "/datasets/", drop=True, after_work=True)

    catalog.delete_dataset(answer.dataset)

    rig.alyx.faults.assert_all_reached()
    assert catalog.datasets([answer.dataset]) == {}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"drop": True}, CatalogUnreachable),
        ({"status": 503}, CatalogUnreachable),
        ({"status": 500, "detail": DEAD}, CatalogUnreachable),
        ({"status": 500, "detail": "list index out of range"}, CatalogBroken),
    ],
    ids=str,
)
def test_repeats_are_bounded(
    rig: Rig, catalog: AlyxCatalog, fault: dict[str, object], kind: type[TransferError]
):
    """After four tries the ledger waits, not we; and Alyx's own text is told."""
    rig.alyx.faults.add("GET", "/labs/", times=4, **fault)  # type: ignore[arg-type]

    with pytest.raises(kind) as caught:
        catalog.lab_repositories("cortexlab")

    rig.alyx.faults.assert_all_reached()
    assert rig.alyx.requests.count("GET", "/labs/<name>") == 4
    assert str(fault.get("detail", "")) in caught.value.what


def test_permanent_texts_of_a_500_are_refused_at_once(rig: Rig, catalog: AlyxCatalog):
    """A 500 that names our input would be the same the next time."""
    rig.alyx.faults.add("GET", "/files", status=500, detail="Cannot resolve keyword 'x' into field.")

    with pytest.raises(CatalogRefused, match="Cannot resolve keyword"):
        catalog.missing_records(STORE)

    assert rig.slept == []


def test_a_server_that_is_not_there_is_unreachable():
    """Nobody listens, so nothing was sent: the ledger tries later, and a POST has no unknown outcome."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    http = AlyxHttp(f"http://127.0.0.1:{port}", user="u", token="t", sleep=lambda _: None)

    with pytest.raises(CatalogUnreachable):
        http.get("/files")
    with pytest.raises(CatalogUnreachable):
        http.post_once("/register-file", {})
    http.close()


def test_waits_as_long_as_alyx_asks(rig: Rig, catalog: AlyxCatalog):
    """Retry-After is honoured to the second."""
    rig.alyx.faults.add("GET", "/labs/", status=429, retry_after=7)

    assert catalog.lab_repositories("cortexlab") == [RIG, STORE]

    assert rig.slept == [7.0]


def test_a_wait_longer_than_ours_is_the_ledgers(rig: Rig):
    """The worker is not blocked for minutes: the error says when to come back."""
    rig.alyx.faults.add("GET", "/labs/", status=429, retry_after=300)

    with pytest.raises(CatalogThrottled) as caught:
        rig.client(patience=Patience(longest_wait=timedelta(seconds=20))).lab_repositories("cortexlab")

    assert caught.value.after == timedelta(minutes=5)
    assert rig.slept == []


def test_a_real_throttle_lets_us_through_after_its_wait(rig: Rig, catalog: AlyxCatalog):
    """The third request of two is refused with a number of seconds, and comes later."""
    catalog.check_login()
    rig.alyx.throttle = 2
    catalog.check_login()
    catalog.check_login()

    def sleep(seconds: float) -> None:
        rig.slept.append(seconds)
        rig.alyx.throttle = None

    rig.client(sleep=sleep).check_login()

    assert len(rig.slept) == 1
    assert 0 < rig.slept[0] <= 60


def test_never_a_slash_at_the_end(rig: Rig, catalog: AlyxCatalog):
    """Alyx has no page there; the address in the config may have one."""
    http = AlyxHttp(rig.alyx.url + "/", user="rig_user", token=rig.alyx.token_for("rig_user"))
    assert http.get("/labs", {"limit": "1"})["count"] == 1
    http.close()
    catalog.missing_records(STORE)
    assert not [path for _, path in rig.alyx.requests.all() if path.endswith("/")]


def test_a_web_page_instead_of_json_names_the_address(rig: Rig):
    """A wrong alyx.url is a person's, not a 404 of a thing."""
    http = AlyxHttp(f"{rig.alyx.url}/nowhere", user="rig_user", token=rig.alyx.token_for("rig_user"))
    with pytest.raises(CatalogRefused, match="instead of JSON") as caught:
        http.find("/labs/cortexlab")
    http.close()
    assert "alyx.url" in caught.value.do


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (httpx2.Response(200, text="<html>portal</html>"), CatalogBroken, "not JSON"),
        (
            httpx2.Response(301, headers={"location": "https://a.example/x"}),
            CatalogRefused,
            "https://a.example/x",
        ),
        (httpx2.Response(502, html="<title>Bad Gateway</title>"), CatalogUnreachable, "Bad Gateway"),
        (httpx2.Response(414, html="<title>Too long</title>"), CatalogRefused, "Too long"),
        (httpx2.Response(403, html="<title>Blocked</title>"), CatalogRefused, "not by Alyx"),
        (httpx2.Response(429, json={"detail": "x"}), CatalogThrottled, "wait"),
        (httpx2.Response(400, json={"error": "of us"}), CatalogRefused, "of us"),
        (httpx2.Response(400, json={"exists": ["bad"], "status_code": 400}), CatalogRefused, "exists: bad"),
    ],
)
def test_what_a_proxy_or_alyx_answers_is_named(answer: httpx2.Response, kind: type[TransferError], text: str):
    """Both keys of Alyx's errors are read, and pages for people are recognised."""
    transport = httpx2.MockTransport(lambda request: answer)
    http = AlyxHttp("http://a.invalid", user="u", token="t", sleep=lambda _: None, transport=transport)
    with pytest.raises(kind, match=text):
        http.get("/files")


def test_unknown_names_are_told_as_such(catalog: AlyxCatalog):
    """A typing error in the config, not a failure of Alyx."""
    with pytest.raises(UnknownInCatalog):
        catalog.repository("nowhere")
    with pytest.raises(UnknownInCatalog):
        catalog.lab_repositories("no lab")
    with pytest.raises(CatalogRefused, match="No FileRecord"):
        catalog.announce(uuid4(), True)


def test_the_limiter_never_lets_more_through_in_any_minute():
    """600 requests at once, 100 a minute: every window of a minute holds at most 100."""
    now = [0.0]
    limiter = Limiter(100, clock=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + s))
    sent = []
    for n in range(600):
        limiter.wait()
        sent.append(now[0])
        now[0] += 0.001 * (n % 7)

    assert all(later - earlier >= 60 - 1e-6 for earlier, later in zip(sent, sent[100:], strict=False))
    assert sent[-1] < 6 * 60


def test_the_server_clock_is_read(catalog: AlyxCatalog):
    """Same machine, whole seconds: within two."""
    assert abs(catalog.server_time_skew()) < 2
