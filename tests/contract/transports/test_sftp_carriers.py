"""Both carriers keep the same promises, on every kind of server; and what only one of them could break."""

import functools
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

import pytest
from line_gate import Gate
from sftp_stores import options_of, require, require_ssh, require_sshd

from sandbox.store import SftpStore
from transfer.conformance import CHECKS, Check, believe_remote_hash
from transfer.errors import EndpointUnreachable, StoreDenied, StoreRefused, UntrustedPath
from transfer.transports.base import (
    Download,
    Failed,
    Got,
    Published,
    Rename,
    Sent,
    StreamingTransport,
    Upload,
)
from transfer.transports.sftp import carrier as carriers
from transfer.transports.sftp import channels
from transfer.transports.sftp.carrier import choose, connect
from transfer.transports.sftp.carriers.openssh import SshCarrier, find_ssh
from transfer.transports.sftp.channels import Channels
from transfer.transports.sftp.hashing import commands, hash_files
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.transport import SftpTransport

P = PurePosixPath
CARRIERS = ["paramiko", "ssh"]
Way = Callable[..., SftpOptions]


def ignore(_moved: int) -> None: ...


def upload(lab: Path, key: int, partial: PurePosixPath, content: bytes = b"spikes") -> Upload:
    source = lab / str(key)
    source.write_bytes(content)
    return Upload(key=key, source=source, partial=partial, size=len(content), mtime_ns=0)


@pytest.fixture(scope="module", params=CARRIERS)
def carrier(request: pytest.FixtureRequest) -> str:
    if request.param == "ssh":
        require_ssh()
    return str(request.param)


@pytest.fixture
def way(carrier: str) -> Way:
    return functools.partial(options_of, carrier=carrier)


# ---- every kind of server ---------------------------------------------------------------------------------


def _chroot(running: ExitStack) -> Path:
    """sshd wants every folder above the new root to be root's alone, which those in /tmp are not."""
    require(os.getuid() == 0, "needs root: sshd's ChrootDirectory")
    folder = Path(
        running.enter_context(tempfile.TemporaryDirectory(dir="/run", prefix="alyx-transfer-test-"))
    )
    folder.chmod(0o755)
    return folder


def _server(kind: str, tmp: Path, carrier: str, running: ExitStack) -> SftpOptions:
    """The options of a client of a server of this kind, which runs from now on."""
    if kind == "embedded":
        store = SftpStore(tmp / "store", home=tmp / "home", server="embedded")
        return options_of(running.enter_context(store), carrier=carrier)
    require_sshd()
    root, options = tmp / "store", SSHD[kind]
    if kind == "chroot":
        jail = _chroot(running)
        root, options = jail / "store", [f"ChrootDirectory {jail}", "ForceCommand internal-sftp"]
    store = running.enter_context(SftpStore(root, home=tmp / "home", server="sshd", options=options))
    if kind == "chroot":
        return options_of(store, carrier=carrier, root="/store")
    if kind != "two connections":
        return options_of(store, carrier=carrier)
    gate = running.enter_context(Gate(store.host, store.port, most=2))
    return options_of(store, carrier=carrier, port=gate.port, host_key=store.host_key)


SSHD = {
    "plain": [],
    "chroot": [],
    "no posix-rename": ["Subsystem sftp internal-sftp -P posix-rename"],
    "one session": ["MaxSessions 1"],
    "few at a time": ["MaxStartups 2:100:2"],
    "two connections": [],
}


@pytest.fixture(scope="module", params=[*SSHD, "embedded"])
def options(
    request: pytest.FixtureRequest, carrier: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SftpOptions]:
    with ExitStack() as running:
        yield _server(request.param, tmp_path_factory.mktemp("server"), carrier, running)


@pytest.fixture(scope="module")
def transport(options: SftpOptions) -> Iterator[StreamingTransport]:
    with SftpTransport(options) as opened:
        yield opened


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_keeps_the_promise(
    check: Check, transport: StreamingTransport, scratch: PurePosixPath, lab: Path
) -> None:
    check.run(transport, scratch, lab)


def test_a_hash_command_is_offered_where_there_is_a_shell_and_is_true(
    transport: StreamingTransport, scratch: PurePosixPath, lab: Path, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["options"]
    assert transport.capabilities.remote_hash is (kind not in ("chroot", "embedded"))
    # Also after a batch that takes all the connections it can get.
    uploads = [upload(lab, key, scratch / str(key), bytes(key)) for key in range(300)]
    assert all(isinstance(outcome, Sent) for outcome in transport.put(uploads, ignore))
    assert believe_remote_hash(transport, scratch) is transport.capabilities.remote_hash


HELL = [
    b'it\'s "quoted"',
    b"$(touch hacked)`touch hacked`",
    b"-rf --help",
    b"~",
    b"*?[a-z]{b,c}",
    unicodedata.normalize("NFC", "Zoë-é").encode(),
    unicodedata.normalize("NFD", "Zoë-é").encode(),
    b"case",
    b"CASE",
    b"invalid \xff\xfe utf-8",
    b"\xed\xa0\x80 half a surrogate",
    b" leading and trailing ",
    b"%s %n #{x} ${HOME}",
]
REFUSED = [b"a\nb", b"a\r\nb", b"\n", b"back\\slash\\n"]


def test_no_name_is_anything_but_a_name(sshd: SftpStore, way: Way, scratch: PurePosixPath, lab: Path) -> None:
    """Put, hashed, renamed, read and removed; all at once, so that twins must stay apart."""
    names = [os.fsdecode(raw) for raw in HELL]
    sent = [upload(lab, key, scratch / f"p{name}", HELL[key]) for key, name in enumerate(names)]
    refused = [upload(lab, -1, scratch / os.fsdecode(raw)) for raw in REFUSED]
    with SftpTransport(way(sshd)) as transport:
        assert {type(o.error) for o in transport.put(refused, ignore) if isinstance(o, Failed)} == {
            UntrustedPath
        }
        md5 = {o.key: o.md5 for o in transport.put(sent, ignore) if isinstance(o, Sent)}
        hashed = {found.path: found.digest for found in transport.digests([u.partial for u in sent])}
        assert hashed == {u.partial: md5[u.key] for u in sent}
        finals = [scratch / name for name in names]
        renames = [Rename(key=u.key, partial=u.partial, final=f) for u, f in zip(sent, finals, strict=True)]
        assert all(isinstance(outcome, Published) for outcome in transport.publish(renames))
        assert sorted(os.listdir(os.fsencode(sshd.root / scratch))) == sorted(HELL)
        got = transport.get([Download(key=key, path=path) for key, path in enumerate(finals)], ignore)
        assert {outcome.key: outcome.md5 for outcome in got if isinstance(outcome, Got)} == md5
        assert list(transport.remove(finals)) == []
        assert list(transport.stat(finals)) == [None] * len(finals)


def test_no_name_is_anything_but_a_name_to_the_hash_command(
    sshd: SftpStore, scratch: PurePosixPath, opened: carriers.Carrier
) -> None:
    """Also those that the transport refuses: its root may have such a name."""
    folder = os.fsencode(sshd.root / scratch)
    os.mkdir(folder)
    expected = {}
    for raw in [*HELL, *REFUSED]:
        with open(os.path.join(folder, raw), "wb") as file:
            file.write(raw)
        expected[os.path.join(folder, raw)] = hashlib.md5(raw).hexdigest()
    tried = 0
    for command in commands("md5"):
        if shutil.which(command.line.split()[4] if command.line.startswith("env") else "powershell"):
            found = dict(hash_files(opened, command, list(expected), address="sftp://here", timeout=20))
            assert found == expected, command
            tried += 1
    assert tried >= 1


def test_a_read_only_server_denies(tmp_path: Path, lab: Path, way: Way) -> None:
    require_sshd()
    options = ["Subsystem sftp internal-sftp -R"]
    with (
        SftpStore(tmp_path / "store", home=tmp_path / "home", server="sshd", options=options) as store,
        SftpTransport(way(store)) as transport,
    ):
        (failed,) = transport.put([upload(lab, 0, P("x"))], ignore)
    assert isinstance(failed, Failed)
    assert type(failed.error) is StoreDenied


# ---- commands ---------------------------------------------------------------------------------------------


@pytest.fixture
def opened(sshd: SftpStore, way: Way) -> Iterator[carriers.Carrier]:
    made = connect(way(sshd))
    try:
        yield made
    finally:
        made.close()


def test_a_command_takes_and_gives_much_and_says_how_it_ended(opened: carriers.Carrier) -> None:
    much = os.urandom(3_000_000)
    outcome = opened.run("cat; exit 3", much, timeout=20)
    assert (outcome.out, outcome.status) == (much, 3)
    assert opened.run("true", b"", timeout=20).status == 0


def test_a_command_that_does_not_read_its_input_still_says_something(opened: carriers.Carrier) -> None:
    outcome = opened.run("exec <&-; echo done; exit 1", bytes(5_000_000), timeout=20)
    assert (outcome.out, outcome.status) == (b"done\n", 1)


def test_complaints_without_end_do_not_stop_a_command(opened: carriers.Carrier) -> None:
    outcome = opened.run("head -c 3000000 /dev/zero >&2; echo done", b"", timeout=20)
    assert outcome.out == b"done\n"


def test_a_silent_command_is_given_up(opened: carriers.Carrier) -> None:
    with pytest.raises(StoreRefused):
        opened.run("sleep 20", b"", timeout=0.2)


# ---- how many ---------------------------------------------------------------------------------------------


def test_a_limit_is_learned_once(sshd: SftpStore, lab: Path, scratch: PurePosixPath) -> None:
    require_ssh()
    refused: list[int] = []
    with Gate(sshd.host, sshd.port, most=2) as gate:
        options = options_of(
            sshd, port=gate.port, host_key=sshd.host_key, carrier="ssh", hash_command=False, connections=4
        )
        with SftpTransport(options) as transport:
            for batch in range(3):
                uploads = [upload(lab, key, scratch / f"{batch}-{key}") for key in range(300)]
                assert all(isinstance(outcome, Sent) for outcome in transport.put(uploads, ignore))
                refused.append(gate.refused)
    assert refused[0] > 0
    assert refused == refused[:1] * 3


def test_an_idle_connection_that_died_is_replaced(
    tmp_path: Path, lab: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was under way on it, so nothing is lost."""
    require_sshd()
    monkeypatch.setattr(channels, "TRUSTED_FOR", 0.0)
    with (
        SftpStore(tmp_path / "store", home=tmp_path / "home", server="sshd") as store,
        SftpTransport(way(store)) as transport,
    ):
        for key in range(3):
            (sent,) = transport.put([upload(lab, key, P(str(key)))], ignore)
            assert isinstance(sent, Sent)
            assert [found and found.size for found in transport.stat([P(str(key))])] == [6]
            assert len(list(transport.digests([P("0")]))) == 1
            store.cut()


# ---- processes --------------------------------------------------------------------------------------------


def children() -> set[int]:
    return {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }


@pytest.fixture
def needs_proc() -> None:
    require_ssh()
    require(Path("/proc/self/task").exists(), "needs /proc")


def test_no_process_and_no_file_is_left(
    sshd: SftpStore, needs_proc: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = children()
    options = options_of(sshd, carrier="ssh", host_key=sshd.host_key)
    carrier = connect(options)
    with Channels(carrier, options) as lines:
        with lines.several(3) as hands:
            ours = children() - before
            assert len(ours) == len(hands) == 3
            # Ctrl-C in our terminal is not for them.
            assert all(os.getsid(pid) == pid for pid in ours)
            assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o700]
            hands[0].interrupt()
        assert len(children() - before) == 2
    assert children() == before
    assert list(tmp_path.iterdir()) == []


def test_ssh_ends_when_we_are_killed(sshd: SftpStore, needs_proc: None) -> None:
    options = options_of(sshd, carrier="ssh", hash_command=False)
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from transfer.transports.sftp.options import SftpOptions\n"
        "from transfer.transports.sftp.transport import SftpTransport\n"
        "with SftpTransport(SftpOptions.model_validate_json(sys.argv[1])) as transport:\n"
        "    with transport._channels.several(3):\n"
        "        tasks = Path('/proc/self/task').iterdir()\n"
        "        print(*((task / 'children').read_text() for task in tasks), flush=True)\n"
        "        time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, options.model_dump_json(exclude_none=True)],
        stdout=subprocess.PIPE,
        text=True,
    ) as we:
        assert we.stdout is not None
        pids = [int(pid) for pid in we.stdout.readline().split()]
        we.send_signal(signal.SIGKILL)
    assert len(pids) == 3
    until = time.monotonic() + 20
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ---- ssh's own configuration ------------------------------------------------------------------------------


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has ssh read a file of the test's, as if it were `~/.ssh/config`."""
    program = find_ssh()
    require_ssh()
    assert program is not None
    places = tmp_path / "bin"
    places.mkdir()

    def write(config: str) -> None:
        (tmp_path / "config").write_text(config)
        wrapper = f'#!/bin/sh\nenv > {tmp_path}/environment\nexec {program.path} -F {tmp_path}/config "$@"\n'
        (places / "ssh").write_text(wrapper)
        (places / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{places}{os.pathsep}{os.environ['PATH']}")

    return write


def test_names_and_jumps_of_sshs_configuration_are_honoured(
    tmp_path: Path, configured: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    require_sshd()
    with SftpStore(
        tmp_path / "store", home=tmp_path / "home", server="sshd", options=["AllowTcpForwarding yes"]
    ) as store:
        configured(
            f"Host far near\n  HostName {store.host}\n  Port {store.port}\n  User {store.user}\n"
            f"  IdentityFile {store.key}\n  UserKnownHostsFile {store.known_hosts}\n"
            "Host far\n  ProxyJump near\n  RemoteCommand touch hacked\n  ForwardAgent yes\n"
        )
        monkeypatch.setenv("ALYX_TRANSFER_ALYX__PASSWORD", "correct-horse")
        options = SftpOptions(host="far", user=store.user, root=P(str(store.root)), carrier="ssh")
        assert options.address == "sftp://far"
        with SftpTransport(options) as transport:
            assert transport.capabilities.remote_hash
    assert "correct-horse" not in (tmp_path / "environment").read_text()


def test_a_configuration_that_ssh_does_not_accept_says_so(
    sshd: SftpStore, configured: Callable[[str], None]
) -> None:
    configured("NoSuchOption yes\n")
    with (
        pytest.raises(EndpointUnreachable, match="configuration"),
        SftpTransport(options_of(sshd, carrier="ssh")),
    ):
        pass


def test_a_known_hosts_file_of_any_name_is_read(sshd: SftpStore, tmp_path: Path) -> None:
    require_ssh()
    for number, name in enumerate(["plain", "with space", 'a "quoted" %d ${HOME} back\\slash']):
        folder = tmp_path / str(number) / name
        folder.mkdir(parents=True)
        (folder / "known").write_bytes(sshd.known_hosts.read_bytes())
        with SftpTransport(options_of(sshd, carrier="ssh", known_hosts=folder / "known")):
            pass


# ---- which one --------------------------------------------------------------------------------------------


def test_ssh_is_chosen_wherever_it_can_be_used(sshd: SftpStore, monkeypatch: pytest.MonkeyPatch) -> None:
    require_ssh()
    auto = options_of(sshd)
    assert choose(auto) == "ssh"
    assert isinstance(connect(auto), SshCarrier)
    assert choose(options_of(sshd, carrier="paramiko")) == "paramiko"
    for secret in ({"password": "x"}, {"key_passphrase": "x"}):
        assert choose(options_of(sshd, **secret)) == "paramiko"
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(sys, "platform", "win32")
        assert choose(auto) == "paramiko"
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(os, "getuid", lambda: 987_654_321)
        assert choose(auto) == "paramiko"
    monkeypatch.setenv("PATH", "/nonexistent")
    assert choose(auto) == "paramiko"
    with pytest.raises(EndpointUnreachable, match="no ssh program"):
        connect(options_of(sshd, carrier="ssh"))
