"""No password and no file travels unencrypted, or to a server that is not the one it says it is."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from ftp_stores import ftp_options_of, require_pyftpdlib, require_vsftpd
from pydantic import ValidationError

from sandbox.ftp_servers import FtpStore, Tls
from sandbox.ftp_servers_certificates import Authority
from transfer.errors import (
    CertificateRefused,
    EncryptionRefused,
    EndpointUnreachable,
    LoginRefused,
    TransferError,
)
from transfer.transports.base import Download, Got, StreamingTransport
from transfer.transports.ftp import dialling, transport
from transfer.transports.ftp.options import CLEAR_TEXT, FtpOptions
from transfer.transports.ftp.transport import FtpTransport

P = PurePosixPath


class Heard:
    """Notes the verbs that reach the server; `answers` replace what it would say."""

    def __init__(self, **answers: str) -> None:
        self.verbs: list[str] = []
        self._answers = answers

    def __call__(self, verb: str, argument: str) -> str | None:
        self.verbs.append(verb)
        return self._answers.get(verb)

    @property
    def of_a_login(self) -> set[str]:
        return {"USER", "PASS"} & set(self.verbs)


def refusal_of(options: FtpOptions) -> TransferError:
    with pytest.raises(TransferError) as caught, FtpTransport(options):
        pass
    assert options.password.get_secret_value() not in str(caught.value)
    assert caught.value.__cause__ is not None
    assert options.password.get_secret_value() not in str(caught.value.__cause__)
    return caught.value


def store_with(tmp_path: Path, heard: Heard, tls: Tls = "explicit", **more: object) -> FtpStore:
    require_pyftpdlib()
    return FtpStore(tmp_path / "home", server="pyftpdlib", tls=tls, before=heard, **more)


# ---- certificates -------------------------------------------------------------------------------------------

WRONG = {
    "expired": (("127.0.0.1", -30, -2), "it has expired"),
    "not yet valid": (("127.0.0.1", 2, 30), "it is not valid yet"),
    "other name": (("store.example.org", -1, 20), "it is for another address"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("server", ["vsftpd", "vsftpd-implicit", "pyftpdlib"])
def test_a_wrong_certificate_is_refused_before_the_login(tmp_path: Path, case: str, server: str) -> None:
    (host, begins, ends), why = WRONG[case]
    heard = Heard()
    authority = Authority(tmp_path / "ours")
    certificate = authority.certificate(host, from_day=begins, until_day=ends)
    if server == "pyftpdlib":
        store = store_with(tmp_path, heard, certificate=certificate)
    else:
        require_vsftpd()
        tls: Tls = "implicit" if server.endswith("implicit") else "explicit"
        store = FtpStore(tmp_path / "home", server="vsftpd", tls=tls, certificate=certificate)
    with store:
        error = refusal_of(ftp_options_of(store, ca_file=authority.file))
    assert type(error) is CertificateRefused
    assert why in str(error)
    assert heard.of_a_login == set()


def test_a_certificate_for_another_host_name_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ours")
    with store_with(tmp_path, Heard(), certificate=authority.certificate("127.0.0.1")) as store:
        error = refusal_of(ftp_options_of(store, ca_file=authority.file, host="localhost"))
    assert type(error) is CertificateRefused
    assert "it is for another host name" in str(error)


@pytest.mark.parametrize("ca_file", ["another", "none"])
def test_an_unknown_authority_is_refused(tmp_path: Path, ca_file: str) -> None:
    heard = Heard()
    another = Authority(tmp_path / "another", "somebody else").file
    with store_with(tmp_path, heard) as store:
        error = refusal_of(ftp_options_of(store, ca_file=another if ca_file == "another" else None))
    assert type(error) is CertificateRefused
    assert "authority" in str(error)
    assert heard.of_a_login == set()


def test_an_unreadable_authority_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(CertificateRefused, match=r"gone\.pem"),
        FtpTransport(options(ca_file=tmp_path / "gone.pem")),
    ):
        pass


# ---- encryption ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["502 No TLS here.", "431 Not now.", "234"])
def test_a_server_that_does_not_encrypt_never_hears_a_password(tmp_path: Path, answer: str) -> None:
    """Whatever it answers to AUTH: a refusal, or a consent that no handshake follows."""
    heard = Heard(AUTH=answer)
    with store_with(tmp_path, heard, tls="none") as store:
        authority = Authority(tmp_path / "any").file
        error = refusal_of(ftp_options_of(store, tls="explicit", ca_file=authority, timeout=1.0))
    assert type(error) in (EncryptionRefused, EndpointUnreachable)
    assert "AUTH" in heard.verbs
    assert heard.of_a_login == set()


def test_a_server_that_does_not_encrypt_files_is_refused(tmp_path: Path) -> None:
    heard = Heard(PROT="534 Not for files.")
    with store_with(tmp_path, heard) as store:
        error = refusal_of(ftp_options_of(store))
    assert type(error) is EncryptionRefused
    assert {"PASV", "EPSV", "STOR", "MKD"}.isdisjoint(heard.verbs)


def test_a_clear_text_server_on_the_port_of_implicit_tls_is_refused(tmp_path: Path) -> None:
    heard = Heard()
    with store_with(tmp_path, heard, tls="none") as store:
        authority = Authority(tmp_path / "any").file
        error = refusal_of(ftp_options_of(store, tls="implicit", ca_file=authority))
    assert type(error) is EncryptionRefused
    assert heard.of_a_login == set()


def test_old_tls_is_refused(tmp_path: Path) -> None:
    require_pyftpdlib()
    from OpenSSL import SSL

    authority = Authority(tmp_path / "ours")
    certificate = str(authority.certificate())
    old = SSL.Context(SSL.TLS_SERVER_METHOD)
    old.set_cipher_list(b"ALL:@SECLEVEL=0")
    old.set_max_proto_version(SSL.TLS1_1_VERSION)
    old.use_certificate_chain_file(certificate)
    old.use_privatekey_file(certificate)
    heard = Heard()
    with store_with(tmp_path, heard, settings={"ssl_context": old}) as store:
        error = refusal_of(ftp_options_of(store, ca_file=authority.file))
    assert type(error) is EncryptionRefused
    assert heard.of_a_login == set()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda v: v.name)
def test_a_strict_server_sees_its_session_again(
    tmp_path: Path, lab: Path, monkeypatch: pytest.MonkeyPatch, version: ssl.TLSVersion
) -> None:
    """vsftpd takes a data connection only from the client of the control connection, in either TLS."""
    require_vsftpd()

    def trust(options: FtpOptions) -> ssl.SSLContext:
        context = dialling.trust(options)
        assert context is not None
        context.minimum_version = context.maximum_version = version
        return context

    monkeypatch.setattr(transport, "trust", trust)
    with (
        FtpStore(tmp_path / "home", server="vsftpd") as store,
        FtpTransport(ftp_options_of(store, connections=1)) as opened,
    ):
        for number in range(5):
            (store.root / str(number)).write_bytes(b"x")
        got = list(opened.get([Download(key=n, path=P(str(n))) for n in range(5)], lambda _moved: None))
    assert all(isinstance(outcome, Got) for outcome in got)


def test_with_tls_every_file_is_encrypted(tmp_path: Path, lab: Path) -> None:
    """The server would serve an unprotected data connection; nobody asks it for one."""
    heard = Heard()
    with store_with(tmp_path, heard, settings={"tls_data_required": False}) as store:
        (store.root / "a").write_bytes(b"a")
        with FtpTransport(ftp_options_of(store)) as transport:
            assert len(list(transport.stat([P("a")]))) == 1
    assert heard.verbs.index("AUTH") < heard.verbs.index("USER") < heard.verbs.index("PROT")


# ---- login --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
def test_a_wrong_password_waits_for_a_person_and_is_not_shown(tmp_path: Path, server: str) -> None:
    require_vsftpd() if server == "vsftpd" else require_pyftpdlib()
    with FtpStore(tmp_path / "home", server="vsftpd" if server == "vsftpd" else "pyftpdlib") as store:
        error = refusal_of(ftp_options_of(store, password="wrong-secret"))
    assert type(error) is LoginRefused
    assert "user and password in the config" in str(error)


def test_a_server_that_repeats_the_password_does_not_get_it_into_an_error(tmp_path: Path) -> None:
    heard = Heard(PASS="530 No such password: s3cret-Word.")
    with store_with(tmp_path, heard) as store:
        error = refusal_of(ftp_options_of(store, password="s3cret-Word"))
    assert type(error) is LoginRefused
    assert "***" in str(error)


@pytest.mark.parametrize(
    ("answer", "kind"), [("332 Account?", LoginRefused), ("421 Busy.", EndpointUnreachable)]
)
def test_other_answers_to_a_login(tmp_path: Path, answer: str, kind: type[TransferError]) -> None:
    with store_with(tmp_path, Heard(PASS=answer)) as store:
        assert type(refusal_of(ftp_options_of(store))) is kind


# ---- reaching -----------------------------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def options(**changes: object) -> FtpOptions:
    known = {"host": "127.0.0.1", "port": 1, "user": "u", "password": "s3cret", "root": "/store"}
    return FtpOptions.model_validate({**known, **changes})


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert type(refusal_of(options(port=port))) is EndpointUnreachable
    assert type(refusal_of(options(host="no-such-host.invalid"))) is EndpointUnreachable


@pytest.mark.parametrize("tls", ["explicit", "implicit", CLEAR_TEXT])
def test_a_server_that_says_nothing_is_unreachable(silent: int, tls: str) -> None:
    error = refusal_of(options(port=silent, tls=tls, timeout=0.2, connect_timeout=0.2))
    assert type(error) is EndpointUnreachable
    assert "does not answer" in str(error)


def test_a_server_that_hangs_up_at_once_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closer = threading.Thread(target=lambda: listener.accept()[0].close())
        closer.start()
        error = refusal_of(options(port=listener.getsockname()[1]))
        closer.join()
    assert type(error) is EndpointUnreachable


def test_a_full_server_is_unreachable_for_now(tmp_path: Path) -> None:
    require_vsftpd()
    one = FtpStore(tmp_path / "home", server="vsftpd", options=["max_clients=1"])
    with one as store, FtpTransport(ftp_options_of(store)):
        error = refusal_of(ftp_options_of(store))
    assert type(error) is EndpointUnreachable


@pytest.mark.parametrize("root", ["missing", "a-file"])
def test_a_missing_root_is_never_made(tmp_path: Path, root: str) -> None:
    require_vsftpd()
    with FtpStore(tmp_path / "home", server="vsftpd") as store:
        (store.root / "a-file").write_bytes(b"")
        error = refusal_of(ftp_options_of(store, root=f"{store.remote_root}/{root}"))
        assert not (store.root / "missing").exists()
    assert type(error) is EndpointUnreachable


# ---- the config ---------------------------------------------------------------------------------------------


def test_encryption_is_given_up_only_in_words() -> None:
    assert options().tls == "explicit"
    assert options(tls=CLEAR_TEXT).address == "ftp://127.0.0.1:1"
    for word in ("none", "no", "off", False, None):
        with pytest.raises(ValidationError):
            options(tls=word)


@pytest.mark.parametrize(
    "wrong",
    [
        {"root": "store"},
        {"root": "/a/../b"},
        {"root": "/a\r\nDELE b"},
        {"user": "u\r\nDELE b"},
        {"password": "p\nDELE b"},
        {"host": "h\n"},
        {"tls": CLEAR_TEXT, "ca_file": "/ca.pem"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_config_that_cannot_be_meant_is_refused_without_its_secret(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        options(**wrong)
    assert "s3cret" not in str(caught.value)


def test_usual_ports_and_printed_addresses() -> None:
    assert options(port=None).at == 21
    assert options(port=None, tls="implicit").at == 990
    assert options(host="::1").address == "ftps://[::1]:1"
    assert "s3cret" not in repr(options())


def use(_: StreamingTransport) -> None:
    """The transport is what its protocol says (for the type checker)."""


def test_it_is_a_streaming_transport() -> None:
    use(FtpTransport(options()))
