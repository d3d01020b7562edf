"""A store read over HTTP: names, ranges, cuts, lies and logins, against a web server that runs."""

import hashlib
import os
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.web_store import Asked, Fault, WebStore
from transfer.errors import (
    CatalogRefused,
    CertificateRefused,
    ConnectionLost,
    EndpointUnreachable,
    LoginRefused,
    StoreDenied,
    StoredFileMissing,
    StoreRefused,
    TransferError,
    UntrustedPath,
)
from transfer.transports.base import Download, Failed, Got
from transfer.transports.http.addresses import Base
from transfer.transports.http.fetching import RETRIES, Continued
from transfer.transports.http.transport import HttpTransport, login

P = PurePosixPath
BIG = os.urandom(300_000)
NAMES = [
    "KS/2026-01-01/001/alf/#2024-01-01#/spikes.times.npy",
    "a b/c d.npy",
    "mäuse/ratón-鼠.npy",
    "100%/50%25.npy",
    "what?/is=this&that.npy",
    "plus+semi;colon:@.npy",
    "%2e%2e/%2F.npy",
    "~tilde/'quote'(1).npy",
]


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebStore]:
    (tmp_path / "store").mkdir()
    with WebStore(tmp_path / "store", prefix="lab/Subjects/") as made:
        yield made


def reader(web: WebStore, **options: Any) -> HttpTransport:
    return HttpTransport(web.url, **({"connections": 1, "sleep": lambda _seconds: None} | options))


def write(web: WebStore, path: str, content: bytes = BIG) -> P:
    file = web.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return P(path)


def fetch(web: WebStore, path: P, into: Path | None = None, **options: Any) -> Got | Failed:
    with reader(web, **options) as transport:
        (outcome,) = transport.get([Download(key=7, path=path, into=into)], lambda _count: None)
    return outcome


def go_on(web: WebStore, path: P, into: Path) -> Got | Failed:
    with reader(web) as transport:
        (outcome,) = transport.get([Continued(key=7, path=path, into=into)], lambda _count: None)
    return outcome


def error_of(outcome: Got | Failed) -> TransferError:
    assert isinstance(outcome, Failed)
    return outcome.error


def script(*faults: Fault | None) -> Any:
    """These for the first requests, then no more."""
    left = list(faults)
    return lambda _asked: left.pop(0) if left else None


# ---- reading


@pytest.mark.parametrize("name", NAMES)
def test_every_name_arrives_at_the_server_as_it_is_at_the_store(
    web: WebStore, tmp_path: Path, name: str
) -> None:
    path = write(web, name, content := os.urandom(1000))

    outcome = fetch(web, path, tmp_path / "here" / "file")

    assert outcome == Got(key=7, size=1000, md5=md5(content))
    assert (tmp_path / "here" / "file").read_bytes() == content
    with reader(web) as transport:
        (found,) = transport.stat([path])
    assert found is not None
    assert (found.path, found.size) == (path, 1000)
    assert found.mtime_ns == int((web.root / name).stat().st_mtime) * 10**9


def test_a_download_without_a_place_is_only_hashed(web: WebStore) -> None:
    assert fetch(web, write(web, "a.npy")) == Got(key=7, size=len(BIG), md5=md5(BIG))


def test_an_empty_file_is_a_file(web: WebStore, tmp_path: Path) -> None:
    assert fetch(web, write(web, "a.npy", b""), tmp_path / "a") == Got(key=7, size=0, md5=md5(b""))
    assert (tmp_path / "a").read_bytes() == b""


def test_many_files_come_over_several_lines_and_one_failure_stops_no_other(web: WebStore) -> None:
    paths = [write(web, f"{number}/a.npy", bytes([number]) * 1000) for number in range(20)]
    (web.root / paths[3]).unlink()
    moved: list[int] = []

    with reader(web, connections=4) as transport:
        downloads = [Download(key=key, path=path) for key, path in enumerate(paths)]
        outcomes = {one.key: one for one in transport.get(downloads, moved.append)}

    assert set(outcomes) == set(range(20))
    assert isinstance(error_of(outcomes.pop(3)), StoredFileMissing)
    assert all(isinstance(one, Got) for one in outcomes.values())
    assert sum(moved) == 19_000


def test_stat_answers_in_order_and_none_for_what_is_not_there(web: WebStore) -> None:
    paths = [write(web, f"{size}.npy", b"x" * size) for size in (3, 1, 2)]
    with reader(web, connections=3) as transport:
        found = list(transport.stat([paths[0], P("none.npy"), *paths[1:]]))
    assert [one and one.size for one in found] == [3, None, 1, 2]


@pytest.mark.parametrize("size", [0, 5])
@pytest.mark.parametrize(
    "fault",
    [Fault(status=405), Fault(status=501), Fault(headers=(("Content-Length", ""),))],
    ids=["405", "501", "no length"],
)
def test_the_size_is_found_where_a_head_does_not_tell(web: WebStore, size: int, fault: Fault) -> None:
    path = write(web, "a.npy", b"x" * size)
    web.fault = lambda asked: fault if asked.method == "HEAD" else None
    with reader(web) as transport:
        (found,) = transport.stat([path])
    assert found is not None
    assert found.size == size


def test_nothing_is_hashed_on_the_far_side(web: WebStore) -> None:
    with reader(web) as transport, pytest.raises(StoreRefused, match="does not hash"):
        transport.digests([P("a.npy")])


@pytest.mark.parametrize("path", ["../a.npy", "a/../../b", "/etc/passwd", "a\\b", "a/\x00"])
def test_a_path_that_leaves_the_root_is_refused_before_anybody_is_asked(web: WebStore, path: str) -> None:
    assert isinstance(error_of(fetch(web, P(path))), UntrustedPath)
    with reader(web) as transport, pytest.raises(UntrustedPath):
        list(transport.stat([P(path)]))
    assert web.asked == []


@pytest.mark.parametrize(
    "url",
    ["", "store", "ftp://h/", "https://", "http://h:port/", "http://me:pw@h/", "http://h/?x", "http://h/#x"],
)
def test_a_data_url_that_is_no_folder_on_the_web_is_refused(url: str) -> None:
    with pytest.raises(CatalogRefused) as refused:
        HttpTransport(url)
    assert "pw" not in refused.value.sentence


def test_a_data_url_is_taken_with_or_without_its_slash_and_with_spaces() -> None:
    for url in ("https://h/a b/c", "https://h/a%20b/c/"):
        assert Base.of(url).address(P("#1#/x y")) == "https://h/a%20b/c/%231%23/x%20y"


# ---- lines that break


def test_a_cut_is_taken_up_where_it_happened(web: WebStore, tmp_path: Path) -> None:
    path = write(web, "a.npy")
    web.fault = script(Fault(cut_after=100_000), Fault(cut_after=50_000))

    outcome = fetch(web, path, tmp_path / "a")

    assert outcome == Got(key=7, size=len(BIG), md5=md5(BIG))
    assert (tmp_path / "a").read_bytes() == BIG
    assert [one.headers.get("range") for one in web.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert all(one.headers["if-range"].startswith('"') for one in web.asked[1:])


def test_a_file_that_is_replaced_between_two_parts_is_read_anew(web: WebStore, tmp_path: Path) -> None:
    path, other = write(web, "a.npy"), os.urandom(len(BIG))

    def replace(asked: Asked) -> Fault | None:
        if len(web.asked) == 1:
            return Fault(cut_after=1000)
        if len(web.asked) == 2:
            (web.root / path).write_bytes(other)
            os.utime(web.root / path, (1, 1))
        return None

    web.fault = replace
    assert fetch(web, path, tmp_path / "a") == Got(key=7, size=len(BIG), md5=md5(other))
    assert (tmp_path / "a").read_bytes() == other


def test_a_server_that_does_not_look_at_the_version_mixes_nothing(web: WebStore, tmp_path: Path) -> None:
    """It answers a range of the new file to who began with the old one."""
    path, other = write(web, "a.npy"), os.urandom(len(BIG))

    def replace(asked: Asked) -> Fault | None:
        if len(web.asked) == 2:
            (web.root / path).write_bytes(other)
            os.utime(web.root / path, (1, 1))
        return Fault(cut_after=1000) if len(web.asked) == 1 else Fault(ignore_condition=True)

    web.fault = replace
    assert fetch(web, path, tmp_path / "a") == Got(key=7, size=len(BIG), md5=md5(other))
    assert (tmp_path / "a").read_bytes() == other


def test_a_part_that_is_shorter_than_asked_for_is_not_the_rest(web: WebStore, tmp_path: Path) -> None:
    path = write(web, "a.npy")
    web.fault = script(Fault(cut_after=1000), Fault(part_at_most=500), Fault(part_at_most=500))
    assert fetch(web, path, tmp_path / "a") == Got(key=7, size=len(BIG), md5=md5(BIG))
    assert (tmp_path / "a").read_bytes() == BIG


UNFIT = {
    "ignores the range": Fault(ignore_range=True),
    "begins elsewhere": Fault(shift_range=10),
    "another version": Fault(headers=(("ETag", '"other"'),)),
    "another size": Fault(headers=(("Content-Range", "bytes 1000-299999/300001"),)),
    "no range said": Fault(headers=(("Content-Range", ""),)),
    "nonsense": Fault(headers=(("Content-Range", "bytes one-two/three"),)),
    "refuses ranges": Fault(status=416),
}


@pytest.mark.parametrize("fault", UNFIT.values(), ids=UNFIT)
def test_a_part_that_does_not_fit_is_no_part_of_the_file(web: WebStore, tmp_path: Path, fault: Fault) -> None:
    path = write(web, "a.npy")
    web.fault = script(Fault(cut_after=1000), fault)
    assert fetch(web, path, tmp_path / "a") == Got(key=7, size=len(BIG), md5=md5(BIG))
    assert (tmp_path / "a").read_bytes() == BIG


def test_without_a_version_the_file_is_asked_for_from_the_beginning(web: WebStore) -> None:
    path = write(web, "a.npy")
    nameless = (("ETag", ""), ("Last-Modified", ""))
    web.fault = script(Fault(cut_after=1000, headers=nameless), Fault(headers=nameless))
    assert fetch(web, path) == Got(key=7, size=len(BIG), md5=md5(BIG))
    assert [one.headers.get("range") for one in web.asked] == [None, None]


def test_a_line_that_breaks_for_ever_is_given_up_and_leaves_nothing(web: WebStore, tmp_path: Path) -> None:
    path = write(web, "a.npy")
    web.fault = lambda _asked: Fault(cut_after=10)
    assert isinstance(error_of(fetch(web, path, tmp_path / "a")), ConnectionLost)
    assert len(web.asked) == 1 + RETRIES
    assert list(tmp_path.glob("a*")) == []


def test_cuts_count_only_in_a_row_without_progress(web: WebStore) -> None:
    content = os.urandom(10 * 1024 * 1024)
    path = write(web, "a.npy", content)
    web.fault = script(*[Fault(cut_after=1_200_000)] * 8)
    assert fetch(web, path) == Got(key=7, size=len(content), md5=md5(content))


@pytest.mark.parametrize(("said", "error"), [(400_000, ConnectionLost), (200_000, None)])
def test_a_length_that_is_a_lie(web: WebStore, tmp_path: Path, said: int, error: type | None) -> None:
    """Too long a promise is a broken line; what comes beyond a short one is never read."""
    path = write(web, "a.npy")
    web.fault = lambda _asked: Fault(said_length=said)
    outcome = fetch(web, path, tmp_path / "a")
    if error:
        assert isinstance(error_of(outcome), error)
        assert not (tmp_path / "a").exists()
    else:
        assert isinstance(outcome, Got)
        assert outcome.size == said


def test_what_another_process_began_is_continued_and_hashed_as_a_whole(web: WebStore, tmp_path: Path) -> None:
    path = write(web, "a.npy")
    (tmp_path / "a").write_bytes(BIG[:123_456])
    assert go_on(web, path, tmp_path / "a") == Got(key=7, size=len(BIG), md5=md5(BIG))
    assert [one.headers.get("range") for one in web.asked] == ["bytes=123456-"]
    assert (tmp_path / "a").read_bytes() == BIG


def test_what_was_whole_already_is_not_read_again(web: WebStore, tmp_path: Path) -> None:
    path = write(web, "a.npy")
    (tmp_path / "a").write_bytes(BIG)
    moved: list[int] = []
    with reader(web) as transport:
        (outcome,) = transport.get([Continued(key=7, path=path, into=tmp_path / "a")], moved.append)
    assert outcome == Got(key=7, size=len(BIG), md5=md5(BIG))
    assert sum(moved) == 0


def test_what_is_longer_than_the_file_is_begun_again(web: WebStore, tmp_path: Path) -> None:
    path = write(web, "a.npy")
    (tmp_path / "a").write_bytes(BIG + b"more")
    assert go_on(web, path, tmp_path / "a") == Got(key=7, size=len(BIG), md5=md5(BIG))
    assert (tmp_path / "a").read_bytes() == BIG


def test_a_continued_download_that_fails_keeps_its_bytes_for_the_next(web: WebStore, tmp_path: Path) -> None:
    path = write(web, "a.npy")
    web.fault = lambda _asked: Fault(cut_after=10_000)
    error_of(go_on(web, path, tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == BIG[: 10_000 * (1 + RETRIES)]


FAULTS = st.one_of(
    st.none(),
    st.sampled_from(list(UNFIT.values())),
    st.builds(Fault, cut_after=st.integers(0, 3000)),
    st.builds(Fault, status=st.sampled_from([403, 404, 429, 500, 503])),
    st.builds(Fault, said_length=st.sampled_from([-1, 0, 1000, 5000])),
    st.builds(Fault, cut_after=st.integers(0, 3000), ignore_range=st.just(True)),
)


@settings(max_examples=40, deadline=None)
@given(faults=st.lists(FAULTS, max_size=6), prefix=st.integers(0, 2500))
def test_what_is_said_to_be_read_is_what_stands_on_the_disk(
    faults: list[Fault | None], prefix: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the server does: size and md5 of a Got are those of the file, and an honest server's are right."""
    folder, content = tmp_path_factory.mktemp("any"), bytes(range(250)) * 8
    (folder / "store").mkdir()
    into = folder / "here"
    into.write_bytes(content[:prefix])
    with WebStore(folder / "store") as web:
        path = write(web, "a.npy", content)
        web.fault = script(*faults)
        outcome = go_on(web, path, into)
    if isinstance(outcome, Got):
        assert (outcome.size, outcome.md5) == (into.stat().st_size, md5(into.read_bytes()))
        if all(fault is None or fault.said_length is None for fault in faults):
            assert outcome.md5 == md5(content)


# ---- what the server says


@pytest.mark.parametrize(
    ("status", "kind", "asked"),
    [
        (404, StoredFileMissing, 1),
        (410, StoredFileMissing, 1),
        (403, StoreDenied, 1),
        (401, LoginRefused, 1),
        (400, StoreRefused, 1),
        (500, EndpointUnreachable, 1),
        (503, EndpointUnreachable, 1 + RETRIES),
        (429, EndpointUnreachable, 1 + RETRIES),
    ],
)
def test_an_answer_that_is_no_file(web: WebStore, status: int, kind: type, asked: int) -> None:
    path = write(web, "a.npy")
    web.fault = lambda _asked: Fault(status=status)
    error = error_of(fetch(web, path))
    assert type(error) is kind
    assert "a.npy" in error.sentence
    assert len(web.asked) == asked


def test_a_server_that_is_busy_is_asked_again_when_it_said(web: WebStore) -> None:
    path, slept = write(web, "a.npy"), list[float]()
    web.fault = script(Fault(status=503, headers=(("Retry-After", "7"),)))
    assert isinstance(fetch(web, path, sleep=slept.append), Got)
    assert 6.9 < sum(slept) < 7.1


def test_a_long_wait_is_the_callers(web: WebStore) -> None:
    path = write(web, "a.npy")
    web.fault = lambda _asked: Fault(status=503, headers=(("Retry-After", "600"),))
    error = error_of(fetch(web, path))
    assert error.after is not None
    assert error.after.total_seconds() == 600
    assert len(web.asked) == 1


def test_where_nobody_listens_the_rest_is_not_asked_for(web: WebStore) -> None:
    with WebStore(web.root) as gone:
        transport = reader(gone)
    tried: list[float] = []
    transport._sleep = tried.append
    with transport:
        downloads = [Download(key=key, path=P("a.npy")) for key in range(50)]
        outcomes = list(transport.get(downloads, lambda _count: None))
    assert {type(error_of(one)) for one in outcomes} == {EndpointUnreachable}
    assert sum(tried) < 20


def test_a_server_that_says_nothing_is_a_lost_line(web: WebStore) -> None:
    path, never = write(web, "a.npy"), threading.Event()
    web.fault = lambda _asked: Fault(cut_after=10, stall=never)
    try:
        assert isinstance(error_of(fetch(web, path, timeout=0.05)), ConnectionLost)
    finally:
        never.set()


def test_giving_up_does_not_wait_for_a_server_that_says_nothing(web: WebStore) -> None:
    """Ctrl-C while a line stands still: the threads end at once."""
    stuck, good = write(web, "stuck.npy"), write(web, "good.npy", b"x")
    never = threading.Event()
    web.fault = lambda asked: Fault(cut_after=10, stall=never) if "stuck" in asked.path else None
    began = time.monotonic()
    try:
        with reader(web, connections=2) as transport:
            downloads = [Download(key=1, path=stuck), Download(key=2, path=good)]
            outcomes = iter(transport.get(downloads, lambda _count: None))
            assert next(outcomes).key == 2
            outcomes.close()  # type: ignore[attr-defined]
    finally:
        never.set()
    assert time.monotonic() - began < 20


# ---- logins


def test_a_login_opens_the_store_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with WebStore(tmp_path / "store", user="ibl", password="s3cret") as web:
        path = write(web, "a.npy")
        assert isinstance(fetch(web, path, login=login(web.url, "ibl", "s3cret")), Got)

        none, wrong = (
            error_of(fetch(web, path)),
            error_of(fetch(web, path, login=login(web.url, "ibl", "wrong"))),
        )
        assert isinstance(none, LoginRefused)
        assert isinstance(wrong, LoginRefused)
        assert "asks for a login" in none.sentence
        assert "refused user and password" in wrong.sentence
        assert "wrong" not in f"{wrong.sentence}{login(web.url, 'ibl', 'wrong')!r}"


def test_the_login_goes_to_its_own_server_only(web: WebStore) -> None:
    path = write(web, "a.npy")
    assert isinstance(fetch(web, path, login=login("https://elsewhere.example.org", "ibl", "s3cret")), Got)
    assert all("authorization" not in one.headers for one in web.asked)


def test_a_redirect_is_followed_without_the_login_when_it_leaves_the_server(
    web: WebStore, tmp_path: Path
) -> None:
    (tmp_path / "store" / "a.npy").write_bytes(b"there")
    with WebStore(tmp_path / "store", user="ibl", password="s3cret") as front:
        front.fault = lambda asked: Fault(status=302, headers=(("Location", f"{web.url}a.npy"),))
        outcome = fetch(front, P("a.npy"), login=login(front.url, "ibl", "s3cret"))
        assert isinstance(outcome, Got)
        assert "authorization" in front.asked[0].headers
    assert all("authorization" not in one.headers for one in web.asked)


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://h/x", "http://", "http://h:x/", "/lab/Subjects/a"]
)
def test_a_redirect_that_leads_nowhere_is_refused(web: WebStore, location: str) -> None:
    web.fault = lambda _asked: Fault(status=301, headers=(("Location", location),))
    assert isinstance(error_of(fetch(web, write(web, "a"))), StoreRefused)


# ---- certificates


@pytest.fixture(scope="module")
def own_authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A certificate for 127.0.0.1 that no system trusts: for the server, and as a file to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "store")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "certificate.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context, folder / "certificate.pem"


def test_a_certificate_that_nobody_vouches_for_is_refused(
    tmp_path: Path, own_authority: tuple[ssl.SSLContext, Path]
) -> None:
    context, trusted = own_authority
    (tmp_path / "store").mkdir()
    with WebStore(tmp_path / "store", tls=context) as web:
        path = write(web, "a.npy")
        asked = [Download(key=key, path=path) for key in range(9)]
        with reader(web) as transport:
            refused = [error_of(one) for one in transport.get(asked, lambda _count: None)]
        assert {type(error) for error in refused} == {CertificateRefused}
        assert web.asked == [], "nothing was said to a stranger"
        assert isinstance(fetch(web, path, ca_file=trusted), Got)


def test_a_line_under_tls_is_continued_and_given_up_as_any_other(
    tmp_path: Path, own_authority: tuple[ssl.SSLContext, Path]
) -> None:
    context, trusted = own_authority
    (tmp_path / "store").mkdir()
    never = threading.Event()
    with WebStore(tmp_path / "store", tls=context) as web:
        path, stuck = write(web, "a.npy"), write(web, "stuck.npy")
        web.fault = script(Fault(cut_after=1000))
        assert fetch(web, path, ca_file=trusted) == Got(key=7, size=len(BIG), md5=md5(BIG))

        web.fault = lambda asked: Fault(cut_after=10, stall=never) if "stuck" in asked.path else None
        began = time.monotonic()
        try:
            with reader(web, connections=2, ca_file=trusted) as transport:
                downloads = [Download(key=1, path=stuck), Download(key=2, path=path)]
                outcomes = iter(transport.get(downloads, lambda _count: None))
                assert next(outcomes).key == 2
                outcomes.close()  # type: ignore[attr-defined]
        finally:
            never.set()
        assert time.monotonic() - began < 20


def test_an_authority_file_that_is_none_is_said(web: WebStore, tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    with pytest.raises(CertificateRefused, match=r"none\.pem"), reader(web, ca_file=tmp_path / "none.pem"):
        pass
