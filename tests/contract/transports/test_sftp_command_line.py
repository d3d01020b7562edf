"""What the system's ssh is asked, and what its words mean: both without running it."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from transfer.errors import (
    ConnectionLost,
    EndpointUnreachable,
    HostKeyChanged,
    HostKeyUnknown,
    LoginRefused,
    StoreRefused,
    TransferError,
)
from transfer.transports.sftp.carriers import complaints
from transfer.transports.sftp.carriers.command_line import (
    PINNED,
    Knowledge,
    command_line,
    preferences,
    unfit_for_a_line,
    version_of,
)
from transfer.transports.sftp.options import SftpOptions

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGRjxFJrVWbRNNxsY8BIEGWDF8kC4TM7TbNvFKGdnNVF"


def options(**changes: object) -> SftpOptions:
    return SftpOptions.model_validate(
        {"host": "far", "user": "ibl", "root": "/data", "agent": True, **changes}
    )


def settings(words: list[str]) -> dict[str, str]:
    """The `-o` of a command line; ssh believes the first of a kind."""
    given = [words[at + 1] for at, word in enumerate(words) if word == "-o"]
    told: dict[str, str] = {}
    for line in given:
        keyword, _, value = line.partition("=")
        told.setdefault(keyword.lower(), value)
    return told


ODD = st.text(max_size=12)


@given(host=ODD, user=ODD, command=st.one_of(st.none(), ODD), key=ODD.filter(lambda text: "\0" not in text))
def test_whatever_passes_is_taken_for_what_it_is(host: str, user: str, command: str | None, key: str) -> None:
    """The host comes last, after the end of the options; nothing that begins like an option gets there."""
    try:
        asked = options(host=host, user=user, key=f"/keys/{key}")
    except ValidationError:
        return
    words = command_line("ssh", (9, 2), asked, None, command=command)
    last = ["-s", "--", host, "sftp"] if command is None else ["--", host, command]
    assert words[-len(last) :] == last
    assert words[words.index("-l") + 1] == user
    assert not host.startswith("-")
    assert not user.startswith("-")
    assert "@" not in host
    assert not any(character.isspace() for character in host)


@pytest.mark.parametrize("version", [(7, 4), (8, 0), (8, 7), (9, 2), (10, 2)])
@pytest.mark.parametrize("command", [None, "true"])
def test_ssh_never_asks_never_adds_and_never_shares(version: tuple[int, int], command: str | None) -> None:
    told = settings(command_line("ssh", version, options(), None, command=command))
    assert told["batchmode"] == told["stricthostkeychecking"] == "yes"
    for keyword in ("updatehostkeys", "checkhostip", "controlmaster", "permitlocalcommand", "compression"):
        assert told[keyword] == "no"
    assert told["controlpath"] == told["escapechar"] == "none"
    # Options that older versions do not know would make them refuse the whole line.
    assert ("forkafterauthentication" in told) is (version >= (8, 7))
    assert "userknownhostsfile" not in told


def test_a_pinned_key_is_the_only_one_that_counts() -> None:
    words = command_line(
        "ssh", (9, 2), options(), Knowledge(Path("/tmp/a b/known"), pinned=True), command=None
    )
    told = settings(words)
    assert told["userknownhostsfile"] == '"/tmp/a b/known"'
    assert told["globalknownhostsfile"] == "/dev/null"
    assert told["hostkeyalias"] == PINNED
    assert told["knownhostscommand"] == "none"


def test_a_given_key_is_the_only_one_tried_unless_the_agent_may_help() -> None:
    words = command_line("ssh", (9, 2), options(key="/keys/100%", agent=False), None, command=None)
    assert words[words.index("-i") + 1] == "/keys/100%%"
    assert settings(words)["identitiesonly"] == "yes"
    assert settings(words)["identityagent"] == "none"
    helped = command_line("ssh", (9, 2), options(key="/keys/a"), None, command=None)
    assert "identityagent" not in settings(helped)


def test_a_port_is_said_only_where_one_is_given() -> None:
    """Otherwise the one in ssh's own files would never be used."""
    assert "-p" not in command_line("ssh", (9, 2), options(), None, command=None)
    words = command_line("ssh", (9, 2), options(port=22), None, command=None)
    assert words[words.index("-p") + 1] == "22"


def test_fast_algorithms_come_first_unless_somebody_chose_others() -> None:
    builtin = "user x\nciphers chacha20\nkexalgorithms sntrup\n"
    assert preferences((7, 9), builtin, builtin) == []
    new = preferences((9, 2), builtin, builtin)
    assert [line.partition("=")[0] for line in new] == ["Ciphers", "KexAlgorithms"]
    assert all("=^" in line for line in new)
    lasting = preferences((10, 0), builtin, builtin)[1]
    assert lasting.startswith("KexAlgorithms=^mlkem768x25519-sha256,")
    assert preferences((9, 2), builtin.replace("chacha20", "aes256-ctr"), builtin) == new[1:]
    assert preferences((9, 2), builtin.replace("sntrup", "ecdh"), builtin) == new[:1]


def test_versions_are_read_and_other_programs_are_none() -> None:
    assert version_of("OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.19 27 Jan 2026") == (9, 2)
    assert version_of("OpenSSH_10.0, LibreSSL 3.3.6") == (10, 0)
    assert version_of("OpenSSH_for_Windows_9.5p1, LibreSSL 3.8.2") == (9, 5)
    assert version_of("Dropbear v2022.83") is None
    assert version_of("") is None


@pytest.mark.parametrize("name", ['a"b', "a%h", "a\\b", "${HOME}", "a\nb"])
def test_paths_that_no_quoting_saves_are_told(name: str) -> None:
    assert unfit_for_a_line(Path("/etc") / name)
    assert not unfit_for_a_line(Path("/etc/it's a file"))


# ---- complaints -------------------------------------------------------------------------------------------

UNKNOWN = """No ED25519 host key is known for [127.0.0.1]:2222 and you have requested strict checking.
Host key verification failed.
"""
CHANGED = """@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
The fingerprint for the ED25519 key sent by the remote host is
SHA256:LCKoo3xW8pnfuCoFr7/iYnuaFWu5RqzN2J/cYCX0sPA.
Please contact your system administrator.
Host key for [127.0.0.1]:2222 has changed and you have requested strict checking.
Host key verification failed.
"""


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (UNKNOWN, HostKeyUnknown),
        (CHANGED, HostKeyChanged),
        ("ibl@far: Permission denied (publickey).\r\n", LoginRefused),
        ("Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\n", LoginRefused),
        ("ssh: connect to host far port 22: Connection refused\n", EndpointUnreachable),
        ("ssh: connect to host far port 22: Connection timed out\n", EndpointUnreachable),
        ("ssh: connect to host far port 22: No route to host\n", EndpointUnreachable),
        ("ssh: Could not resolve hostname far: Name or service not known\n", EndpointUnreachable),
        ("kex_exchange_identification: read: Connection reset by peer\n", EndpointUnreachable),
        (
            "Unable to negotiate with 10.0.0.1 port 22: no matching cipher found. Their offer: x\n",
            EndpointUnreachable,
        ),
        ("/root/.ssh/config: line 1: Bad configuration option: nosuch\n", EndpointUnreachable),
        ("Bad owner or permissions on /root/.ssh/config\n", EndpointUnreachable),
        ("subsystem request failed on channel 0\n", StoreRefused),
        ("channel 0: open failed: administratively prohibited: open failed\n", StoreRefused),
        ("", EndpointUnreachable),
        ("something new\n", EndpointUnreachable),
    ],
)
def test_each_complaint_has_its_kind(said: str, kind: type[TransferError]) -> None:
    assert type(complaints.explain(said, options())) is kind


def test_an_unknown_key_where_one_is_pinned_is_a_changed_one() -> None:
    pinned = options(host_key=ED25519)
    offer = (
        "Unable to negotiate with 10.0.0.1 port 22: no matching host key type found. Their offer: ssh-rsa\n"
    )
    assert type(complaints.explain(UNKNOWN, pinned)) is HostKeyChanged
    assert type(complaints.explain(offer, pinned)) is HostKeyChanged
    assert type(complaints.explain(offer, options())) is EndpointUnreachable


def test_the_fingerprint_is_named_where_ssh_tells_it() -> None:
    shown = "SHA256:LCKoo3xW8pnfuCoFr7/iYnuaFWu5RqzN2J/cYCX0sPA"
    assert f"ED25519 {shown}" in complaints.explain(CHANGED, options()).what
    talk = f"debug1: SSH2_MSG_KEX_ECDH_REPLY received\ndebug1: Server host key: ssh-ed25519 {shown}\n"
    assert complaints.key_shown(talk) == f"ssh-ed25519 {shown}"
    assert complaints.key_shown(f"banner: debug1: Server host key: ssh-ed25519 {shown}\n") is None
    assert shown in complaints.explain(UNKNOWN, options(), shown=f"ssh-ed25519 {shown}").what


@given(st.text(max_size=200))
def test_nothing_that_ssh_says_is_repeated(said: str) -> None:
    """It may quote names, addresses or a server's own words."""
    secret = "hunter2hunter2"
    for text in (
        f"{secret} {said}",
        f"{said}{secret}\n{UNKNOWN}{secret}",
        f"{secret}: Permission denied ({secret}).",
    ):
        assert secret not in complaints.explain(text, options()).sentence


def test_a_command_that_ends_like_ssh_is_told_from_ssh() -> None:
    for said in ("", "md5sum: cannot open\n", "Bad packet length 12345.\n"):
        assert complaints.explain_command(said, options()) is None
    for said in (
        "Connection to far closed by remote host.\r\n",
        "Timeout, server far not responding.\r\n",
        "client_loop: send disconnect: Broken pipe\r\n",
    ):
        assert type(complaints.explain_command(said, options())) is ConnectionLost
    refused = complaints.explain_command("ssh: connect to host far port 22: Connection refused\n", options())
    assert type(refused) is EndpointUnreachable


def test_options_print_no_port_that_was_not_given() -> None:
    assert options().address == "sftp://far"
    assert options(port=22).address == "sftp://far:22"
    assert options(host="::1", port=2222).address == "sftp://[::1]:2222"
    assert options().root == PurePosixPath("/data")
