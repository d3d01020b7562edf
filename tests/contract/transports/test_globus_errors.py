"""Each failure of Globus has its own error with its own remedy, keeps its cause, and tells no secret."""

import json
import os
import socket
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from globus_lab import Place, frozen, place, soon
from globus_sdk import GlobusError

from transfer.errors import (
    CertificateRefused,
    ConfigProblems,
    MoverConsentRequired,
    MoverDenied,
    MoverLoginExpired,
    MoverOffline,
    MoverOutOfTime,
    MoverPaused,
    MoverRefused,
    MoverThrottled,
    MoverUnavailable,
    TransferError,
)
from transfer.transports.globus.login import PersonalLogin, tokens_for
from transfer.transports.globus.transport import GlobusTransport

P = PurePosixPath


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as made:
        yield made
        made.globus.faults.assert_all_reached()


@pytest.fixture
def mover(box: Place) -> Iterator[GlobusTransport]:
    with box.transport() as opened:
        yield opened


@contextmanager
def impostor(folder: Path) -> Iterator[str]:
    """A server whose certificate nobody signed; its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(folder / "server.pem"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def greet() -> None:
            with suppress(OSError):  # closed, or refused by the other side
                while True:
                    line, _ = server.accept()
                    with line, suppress(OSError):
                        context.wrap_socket(line, server_side=True).close()

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{port}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def _self_signed(file: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "impostor")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(pem))
    return file


def caught(kind: type[TransferError], act: Callable[[], Any]) -> TransferError:
    with pytest.raises(kind) as found:
        act()
    assert type(found.value) is kind
    return found.value


# ---- the login


def test_a_wrong_secret_is_refused_when_entering_and_is_not_told(box: Place) -> None:
    error = caught(MoverLoginExpired, box.transport(client_secret="hunter2-but-wrong").__enter__)

    assert "invalid_client" in error.sentence
    assert isinstance(error.__cause__, GlobusError)
    assert "hunter2" not in f"{error.sentence} {error.__cause__!r}"


def test_a_token_that_the_service_no_longer_takes_is_renewed_once(box: Place, mover: GlobusTransport) -> None:
    mover.reserve()
    before = _logins(box)
    box.globus.expire_tokens()

    mover.reserve()

    assert _logins(box) - before == 1


def test_hands_that_all_meet_an_expired_token_get_one_new_token(box: Place, mover: GlobusTransport) -> None:
    before = _logins(box)
    box.globus.expire_tokens()

    assert list(mover.stat([P(f"{n}/a") for n in range(20)])) == [None] * 20

    assert _logins(box) - before == 1


def test_a_token_that_is_refused_again_and_again_asks_for_a_person(
    box: Place, mover: GlobusTransport
) -> None:
    box.globus.faults.request("GET", "/submission_id$", times=2, status=401)

    error = caught(MoverLoginExpired, mover.reserve)

    assert "alyx-transfer globus login" in error.sentence


def test_transports_of_one_process_share_their_tokens(box: Place) -> None:
    before = _logins(box)
    for _ in range(5):
        with box.transport() as mover:
            mover.reserve()
    assert _logins(box) - before == 1


def _logins(box: Place) -> int:
    return box.globus.requests.count("POST", "/v2/oauth2/token")


def test_auth_that_is_down_is_a_matter_of_time(box: Place) -> None:
    box.globus.faults.request("POST", "/oauth2/token$", times=3, status=503)

    caught(MoverUnavailable, box.transport().__enter__)


def test_a_scope_that_globus_does_not_know_names_the_key_of_the_config(box: Place) -> None:
    error = caught(MoverConsentRequired, box.transport(data_access=[uuid4()]).__enter__)

    assert "data_access" in error.do


# ---- secrets in files


def test_the_secret_may_stand_in_a_file_of_its_own(box: Place, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{box.globus.client_secret}\n")
    file.chmod(0o600)

    with box.transport(client_secret=None, client_secret_file=file) as mover:
        mover.reserve()


@pytest.mark.parametrize(
    ("mode", "content", "remedy"),
    [(0o644, "secret", "chmod 600"), (0o600, "", "Write the secret"), (None, "", "globus login")],
    ids=["readable by others", "empty", "missing"],
)
def test_a_secret_file_that_cannot_be_used_says_what_to_do(
    box: Place, tmp_path: Path, mode: int | None, content: str, remedy: str
) -> None:
    file = tmp_path / "secret"
    if mode is not None:
        file.write_text(content)
        file.chmod(mode)

    error = caught(MoverLoginExpired, box.transport(client_secret=None, client_secret_file=file).__enter__)

    assert remedy in error.do
    assert str(file) in error.sentence


# ---- a person's login


def personal(box: Place, file: Path, **changed: Any) -> dict[str, Any]:
    return {
        "login": "user",
        "client_id": box.globus.native_client_id,
        "client_secret": None,
        "token_file": file,
        **changed,
    }


def log_in(box: Place, file: Path, **changed: Any) -> None:
    with PersonalLogin(box.options(**personal(box, file, **changed))) as visit:
        assert visit.finish(box.globus.approve(visit.url)) == file


def test_a_person_logs_in_once_and_the_workers_renew_it(box: Place, tmp_path: Path) -> None:
    file = tmp_path / "new" / "globus.json"
    log_in(box, file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(file.parent) == [file.name]
    with box.transport(**personal(box, file)) as mover:
        box.globus.expire_tokens()
        key = mover.reserve()
        document = frozen(mover, key, [box.piece(key, "a.npy")])
        assert mover.poll(mover.submit(document), document)


def test_without_a_login_a_worker_says_who_must_do_what(box: Place, tmp_path: Path) -> None:
    error = caught(MoverLoginExpired, box.transport(**personal(box, tmp_path / "none.json")).__enter__)

    assert "alyx-transfer globus login" in error.do


def test_a_login_that_was_revoked_asks_for_a_new_one(box: Place, tmp_path: Path) -> None:
    log_in(box, tmp_path / "globus.json")
    box.globus.revoke_refresh_tokens()

    error = caught(MoverLoginExpired, box.transport(**personal(box, tmp_path / "globus.json")).__enter__)

    assert "invalid_grant" in error.sentence


def test_a_code_that_is_wrong_keeps_nothing(box: Place, tmp_path: Path) -> None:
    file = tmp_path / "globus.json"
    with PersonalLogin(box.options(**personal(box, file))) as visit:
        caught(MoverLoginExpired, lambda: visit.finish("not-the-code"))
    assert not file.exists()


def test_a_login_that_others_can_read_is_not_used(box: Place, tmp_path: Path) -> None:
    file = tmp_path / "globus.json"
    log_in(box, file)
    file.chmod(0o640)

    error = caught(MoverLoginExpired, box.transport(**personal(box, file)).__enter__)

    assert f"chmod 600 {file}" in error.do


def test_a_login_for_another_client_or_other_scopes_is_not_used(box: Place, tmp_path: Path) -> None:
    file = tmp_path / "globus.json"
    log_in(box, file)

    caught(MoverLoginExpired, box.transport(**personal(box, file, client_id=uuid4())).__enter__)
    caught(MoverConsentRequired, box.transport(**personal(box, file, data_access=[uuid4()])).__enter__)


@pytest.mark.parametrize("content", ["", "[]", "{}", '"x"', "no json"])
def test_a_file_that_holds_no_login_is_said_to_be_so(box: Place, tmp_path: Path, content: str) -> None:
    file = tmp_path / "globus.json"
    file.write_text(content)
    file.chmod(0o600)

    error = caught(MoverLoginExpired, box.transport(**personal(box, file)).__enter__)

    assert "no login of ours" in error.what


def test_a_refresh_token_that_auth_replaces_is_kept(
    box: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "globus.json"
    log_in(box, file)
    first = json.loads(file.read_text())["refresh_token"]
    options = box.options(**personal(box, file))
    from transfer.transports.globus import login

    row = login._row
    monkeypatch.setattr(login, "_row", lambda answer: {**row(answer), "refresh_token": "another"})

    tokens_for(options).current()

    assert first != "another"
    assert json.loads(file.read_text())["refresh_token"] == "another"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


# ---- requests


def test_a_consent_that_is_missing_is_named_with_its_scope(tmp_path: Path) -> None:
    with place(tmp_path, kind="mapped") as box, box.transport() as mover:
        key = mover.reserve()
        document = frozen(mover, key, [box.piece(key, "a.npy")])

        error = caught(MoverConsentRequired, lambda: mover.submit(document))

        assert f"https://auth.globus.org/scopes/{box.lab_id}/data_access" in error.sentence
        assert box.globus.tasks() == []


def test_a_consent_that_the_config_names_is_asked_for_with_the_first_token(tmp_path: Path) -> None:
    with place(tmp_path, kind="mapped") as box, box.transport(data_access=[box.lab_id]) as mover:
        key = mover.reserve()
        document = frozen(mover, key, [box.piece(key, "a.npy")])
        task = mover.submit(document)
        box.globus.wait(task)
        assert mover.poll(task, document).arrived


def test_a_certificate_that_cannot_be_trusted_is_no_matter_of_time(box: Place, tmp_path: Path) -> None:
    with impostor(tmp_path) as url:
        error = caught(CertificateRefused, box.transport(auth_url=url).__enter__)

    assert "certificate" in error.what


def test_without_addresses_the_variables_of_the_sdk_lead_the_way(
    box: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in box.globus.environment.items():
        monkeypatch.setenv(name, value)

    with box.transport(service_url=None, auth_url=None) as mover:
        mover.reserve()


def test_throttling_says_how_long_to_wait(box: Place, mover: GlobusTransport) -> None:
    box.globus.faults.request("GET", "/submission_id$", times=3, status=429, retry_after=1)

    error = caught(MoverThrottled, mover.reserve)

    assert error.after == timedelta(seconds=1)


def test_throttling_that_passes_is_waited_for(box: Place, mover: GlobusTransport) -> None:
    box.globus.faults.request("GET", "/submission_id$", status=429)

    mover.reserve()


def test_a_service_that_is_down_is_a_matter_of_time(box: Place, mover: GlobusTransport) -> None:
    box.globus.faults.request("GET", "/submission_id$", times=3, status=500)

    error = caught(MoverUnavailable, mover.reserve)

    assert isinstance(error.__cause__, GlobusError)


def test_a_line_that_drops_is_a_matter_of_time(box: Place, mover: GlobusTransport) -> None:
    box.globus.faults.request("GET", "/submission_id$", times=3, drop=True)

    assert "cannot be reached" in caught(MoverUnavailable, mover.reserve).what


def test_a_service_that_does_not_answer_is_left_after_the_timeout(box: Place) -> None:
    with box.transport(timeout=0.2) as mover:
        box.globus.faults.request("GET", "/submission_id$", times=3, delay=0.6)

        assert "in time" in caught(MoverUnavailable, mover.reserve).what


def test_too_many_tasks_wait_for_better_times(box: Place, mover: GlobusTransport) -> None:
    box.globus.limits.pending = 0
    key = mover.reserve()
    document = frozen(mover, key, [box.piece(key, "a.npy")])

    caught(MoverThrottled, lambda: mover.submit(document))


def test_a_collection_that_globus_does_not_know_names_the_config(box: Place, mover: GlobusTransport) -> None:
    unknown = {"cortexlab_SR": {"collection": str(uuid4()), "root": "/Data"}}
    with box.transport(sources=unknown) as wrong:
        document = frozen(wrong, wrong.reserve(), [])

        error = caught(MoverDenied, lambda: wrong.submit(document))

    assert "Correct the collection" in error.do


def test_a_paused_store_an_absent_lab_and_a_refused_path_differ(box: Place, mover: GlobusTransport) -> None:
    def look() -> None:
        list(mover.stat([P("KS055/a")]))

    box.globus.collection(box.store_id).denied.add("/central/Subjects/KS055")
    caught(MoverDenied, look)
    box.globus.collection(box.store_id).connected = False
    caught(MoverOffline, look)
    box.globus.pause(box.store_id)
    caught(MoverPaused, look)


def test_a_submission_after_its_deadline_is_out_of_time(box: Place, mover: GlobusTransport) -> None:
    key = mover.reserve()
    document = frozen(mover, key, [box.piece(key, "a.npy")], hours=-1)
    box.globus.faults.request("POST", "/transfer$", status=400)

    caught(MoverOutOfTime, lambda: mover.submit(document))


def test_any_other_refusal_is_told_with_the_words_of_the_service(box: Place, mover: GlobusTransport) -> None:
    key = mover.reserve()
    document = frozen(mover, key, [])

    assert "NoTransferItems" in caught(MoverRefused, lambda: mover.submit(document)).sentence


def test_a_repository_that_globus_was_not_told_of_names_the_key(box: Place, mover: GlobusTransport) -> None:
    error = caught(ConfigProblems, lambda: mover.freeze(str(uuid4()), "hoferlab_SR", [], deadline=soon()))

    assert "sources.hoferlab_SR" in error.sentence


def test_an_answer_that_is_not_of_globus_is_no_answer(box: Place, mover: GlobusTransport) -> None:
    """A captive portal answers 200 to everything."""
    box.globus.faults.request("GET", "/submission_id$", status=200)

    assert "proxy" in caught(MoverUnavailable, mover.reserve).do


def test_no_error_ever_tells_a_token_or_the_secret(box: Place, mover: GlobusTransport) -> None:
    token = tokens_for(box.options()).current().value
    for status in (400, 401, 403, 404, 409, 503):
        box.globus.faults.request("GET", "/submission_id$", times=None, status=status)
        with pytest.raises(TransferError) as found:
            mover.reserve()
        told = f"{found.value.sentence} {found.value!r} {found.value.__cause__!r} {found.value.__cause__}"
        assert token not in told
        assert box.globus.client_secret not in told
        box.globus.faults.clear()
