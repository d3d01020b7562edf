"""Who we are for Alyx, and that nobody learns our secrets from us."""

import json
import logging
import traceback
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from alyx_lab import PASSWORD, USER, Rig

from transfer.catalog.alyx_http import AlyxHttp, Patience
from transfer.errors import CatalogLoginRefused, CatalogUnreachable, TransferError, UnknownOutcome

TOKEN = "0123456789abcdef0123456789abcdef01234567"
ONCE = Patience(tries=1)


def test_logs_in_once_with_a_password(rig: Rig):
    """One login serves every later request."""
    catalog = rig.client()

    assert catalog.check_login() == USER
    assert catalog.check_login() == USER

    assert rig.alyx.requests.count("POST", "/auth-token") == 1


def test_a_token_needs_no_login(rig: Rig):
    """With a token nothing is asked before the first request."""
    catalog = rig.client(password=None, token=rig.alyx.token_for(USER))

    assert catalog.check_login() == USER
    assert rig.alyx.requests.count("POST", "/auth-token") == 0


@pytest.mark.parametrize(
    "how",
    [{"password": "wrong"}, {"password": None}, {"password": None, "token": TOKEN}, {"user": "nobody"}],
    ids=["bad password", "anonymous", "unknown token", "unknown user"],
)
def test_a_refused_login_waits_for_a_person(rig: Rig, how: dict[str, str]):
    """No try again: only another credential helps."""
    with pytest.raises(CatalogLoginRefused) as caught:
        rig.client(**how).check_login()

    assert rig.slept == []
    assert "release" in caught.value.sentence


def test_somebody_elses_token_is_noticed(rig: Rig):
    """A user Alyx does not know cannot be the owner of a good token."""
    with pytest.raises(CatalogLoginRefused, match="knows no user ghost"):
        rig.client(user="ghost", token=rig.alyx.token_for(USER), password=None).check_login()


def test_a_forgotten_token_is_fetched_again_once(rig: Rig):
    """An administrator who deletes our token costs one login, not a hold."""
    catalog = rig.client(token=TOKEN)

    assert catalog.check_login() == USER

    assert rig.alyx.requests.count("POST", "/auth-token") == 1
    assert catalog.check_login() == USER
    assert rig.alyx.requests.count("POST", "/auth-token") == 1


def test_threads_share_one_login_and_one_new_one(rig: Rig):
    """Eight threads that find the token forgotten at the same moment log in once between them."""
    catalog = rig.client(token=TOKEN)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: catalog.check_login(), range(24))) == {USER}

    assert rig.alyx.requests.count("POST", "/auth-token") == 1


def test_a_token_refused_twice_is_a_refused_login(rig: Rig):
    """There is one new login for a request, not a loop."""
    rig.alyx.faults.add("GET", "/users/", times=2, status=403, detail="Invalid token.")

    with pytest.raises(CatalogLoginRefused):
        rig.client().check_login()

    rig.alyx.faults.assert_all_reached()
    assert rig.alyx.requests.count("POST", "/auth-token") == 2


def test_a_public_user_is_told_that_it_may_not_write():
    """403 for want of a permission is not a bad password, and says so."""

    def read_only(request: httpx2.Request) -> httpx2.Response:
        text = "You do not have permission to perform this action."
        return httpx2.Response(403, json={"detail": text, "status_code": 403})

    with pytest.raises(CatalogLoginRefused, match="may not do this") as caught:
        client_over(read_only).patch("/files/x", {"exists": True})
    assert "right to write" in caught.value.do


def client_over(answer, **how: object) -> AlyxHttp:
    """A client whose server is a function."""
    told = {"user": USER, "token": TOKEN, "sleep": lambda _: None, "transport": httpx2.MockTransport(answer)}
    return AlyxHttp("http://alyx.invalid", **(told | how))  # type: ignore[arg-type]


def _dropped(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ReadError("the line dropped", request=request)


def _not_json(request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, text="<html>")


def _denied(request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(403, json={"detail": "Invalid token.", "status_code": 403})


@pytest.mark.parametrize("answer", [_dropped, _not_json, _denied])
@pytest.mark.parametrize("how", [{}, {"token": None, "password": PASSWORD}], ids=["token", "password"])
def test_no_failure_shows_a_secret(answer, how: dict[str, object]):
    """Not in the message, not in the chain, not among the locals of any frame of it that a logger might print."""
    client = client_over(answer, patience=ONCE, **how)
    for call in (lambda: client.get("/files"), lambda: client.post_once("/register-file", {"a": 1})):
        with pytest.raises(TransferError) as caught:
            call()
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        shown = "".join(told.format()) + repr(caught.value) + caught.value.sentence
        shown += "".join(map(repr, _chain(caught.value)))

        for secret in (TOKEN, PASSWORD):
            assert secret not in _without_this_file(shown)


def test_a_failed_login_over_the_wire_shows_no_secret(rig: Rig):
    """The same with a real connection that is dropped while we log in, and while we ask."""
    rig.alyx.faults.add("POST", "/auth-token", drop=True)
    catalog = rig.client(patience=ONCE)
    with pytest.raises(CatalogUnreachable) as caught:
        catalog.check_login()

    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert PASSWORD not in _without_this_file("".join(told.format()))
    foreign = caught.value.__cause__
    assert foreign is not None
    assert foreign.__cause__ is foreign.__context__ is None  # their frames hold buffers with what we sent


def test_logs_and_reprs_show_no_secret(rig: Rig, caplog: pytest.LogCaptureFixture):
    """Even at the lowest level of every library below us."""
    caplog.set_level(logging.NOTSET)
    token = rig.alyx.token_for(USER)
    catalog = rig.client()

    catalog.check_login()

    shown = caplog.text + repr(catalog) + repr(vars(catalog._http)) + repr(catalog._http)
    assert caplog.records
    assert token not in shown
    assert PASSWORD not in shown
    with pytest.raises(TypeError):
        json.dumps(vars(catalog._http)["_password"])


def test_an_unknown_outcome_keeps_its_cause_without_its_frames():
    """The foreign error is the cause, and brings no locals along."""
    with pytest.raises(UnknownOutcome) as caught:
        client_over(_dropped).post_once("/register-file", {})

    assert isinstance(caught.value.__cause__, httpx2.ReadError)
    assert caught.value.__cause__.__traceback__ is None


def _chain(error: BaseException | None):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _without_this_file(text: str) -> str:
    """The frames of the tests hold the secrets on purpose; the locals of a frame follow its File line."""
    frames = text.split("\n  File ")
    return "\n".join(frame for frame in frames if "test_alyx_login.py" not in frame.partition("\n")[0])
