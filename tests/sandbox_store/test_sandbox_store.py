"""The store behaves the same over OpenSSH and over the embedded server, and leaves nothing behind."""

import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from paramiko import BadHostKeyException, Ed25519Key, SFTPClient, SSHException

from sandbox.sshd import configuration
from sandbox.store import SftpStore

REPOSITORY = Path(__file__).parents[2]


def answers(port: int) -> bool:
    with socket.socket() as line:
        line.settimeout(2)
        return line.connect_ex(("127.0.0.1", port)) == 0


def test_files_go_up_and_are_seen_on_disk_under_the_same_absolute_path(store, sftp):
    """A client speaks the real root's paths, as with a shell account."""
    sftp.mkdir(f"{store.root}/lab")
    with sftp.open(f"{store.root}/lab/spikes.times.npy", "wb") as file:
        file.write(b"x" * 100_000)

    assert (store.root / "lab/spikes.times.npy").read_bytes() == b"x" * 100_000
    assert sftp.listdir(f"{store.root}/lab") == ["spikes.times.npy"]
    seen = sftp.stat(f"{store.root}/lab/spikes.times.npy")
    assert seen.st_size == 100_000
    assert seen.st_mtime == int((store.root / "lab/spikes.times.npy").stat().st_mtime)


def test_an_empty_file_is_a_file(store, sftp):
    sftp.open(f"{store.root}/empty.ssv", "wb").close()

    assert sftp.stat(f"{store.root}/empty.ssv").st_size == 0
    assert sftp.open(f"{store.root}/empty.ssv", "rb").read() == b""


def test_exclusive_creation_refuses_a_name_that_exists(store, sftp):
    (store.root / "taken.part").write_bytes(b"somebody else's")

    with pytest.raises(OSError):
        sftp.open(f"{store.root}/taken.part", "wbx")

    assert (store.root / "taken.part").read_bytes() == b"somebody else's"


def test_posix_rename_replaces_and_plain_rename_refuses(store, sftp):
    for name in ("old", "new", "newer"):
        (store.root / name).write_text(name)

    with pytest.raises(OSError):
        sftp.rename(f"{store.root}/old", f"{store.root}/new")
    assert (store.root / "new").read_text() == "new"

    sftp.posix_rename(f"{store.root}/old", f"{store.root}/new")
    assert (store.root / "new").read_text() == "old"

    sftp.rename(f"{store.root}/new", f"{store.root}/free")
    assert sorted(path.name for path in store.root.iterdir()) == ["free", "newer"]


def test_missing_files_are_missing(store, sftp):
    for ask in (sftp.stat, sftp.remove, sftp.listdir, lambda path: sftp.open(path, "rb")):
        with pytest.raises(FileNotFoundError):
            ask(f"{store.root}/nowhere")


def test_attributes_and_removal(store, sftp):
    path = store.root / "a"
    path.write_bytes(b"0123456789")

    sftp.truncate(str(path), 4)
    sftp.utime(str(path), (1_000_000_000, 1_000_000_001))
    sftp.chmod(str(path), 0o640)

    assert path.read_bytes() == b"0123"
    assert (path.stat().st_mtime, stat.S_IMODE(path.stat().st_mode)) == (1_000_000_001, 0o640)
    sftp.remove(str(path))
    sftp.mkdir(f"{store.root}/folder")
    sftp.rmdir(f"{store.root}/folder")
    assert not list(store.root.iterdir())


def test_many_clients_with_many_channels_work_at_once(store, connect):
    """Four connections of four channels each; every file arrives whole."""
    names = [f"{client}-{channel}" for client in range(4) for channel in range(4)]

    def fill(files: SFTPClient, name: str) -> None:
        with files, files.open(f"{store.root}/{name}", "wbx") as file:
            file.write(name.encode() * 20_000)

    def serve(number: int) -> None:
        with connect(store) as client:
            threads = [
                threading.Thread(target=fill, args=(client.open_sftp(), name))
                for name in names
                if name.startswith(f"{number}-")
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    clients = [threading.Thread(target=serve, args=(number,)) for number in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    assert all((store.root / name).read_bytes() == name.encode() * 20_000 for name in names)


def test_a_stranger_is_refused(store, tmp_path, connect):
    """Neither another key nor a password opens the store."""
    with SftpStore(tmp_path / "other", home=tmp_path / "stranger", server="embedded") as other:
        stranger = other.key
    store.key = stranger

    with pytest.raises(SSHException), connect(store):
        pass


def test_the_host_key_is_the_one_announced(store, connect):
    with connect(store) as client:
        key = client.get_transport().get_remote_server_key()
        assert store.host_key == f"{key.get_name()} {key.get_base64()}"
    assert store.known_hosts.read_text() == f"[127.0.0.1]:{store.port} {store.host_key}\n"


def test_a_client_that_knows_another_key_refuses_the_server(store, tmp_path, connect):
    with SftpStore(tmp_path / "other", home=tmp_path / "stranger", server="embedded") as other:
        store.known_hosts.write_text(f"[127.0.0.1]:{store.port} {other.host_key}\n")

    with pytest.raises(BadHostKeyException), connect(store):
        pass


def test_the_private_key_is_private(store):
    for key in (store.key, store.key.with_name("host_key")):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert Ed25519Key.from_private_key_file(str(store.key))


def test_a_second_run_keeps_keys_port_and_files(kind, tmp_path, connect):
    """Whoever copied known_hosts after the first run can use it in the second."""
    places = {"home": tmp_path / "home", "server": kind}
    with SftpStore(tmp_path / "root", **places) as first, connect(first) as client:
        client.open_sftp().open(f"{first.root}/kept", "wb").close()
        facts = (first.port, first.host_key, first.key.read_bytes(), first.known_hosts.read_bytes())

    with SftpStore(tmp_path / "root", **places) as second, connect(second) as client:
        assert facts == (
            second.port,
            second.host_key,
            second.key.read_bytes(),
            second.known_hosts.read_bytes(),
        )
        assert client.open_sftp().listdir(str(second.root)) == ["kept"]


def test_a_port_that_was_taken_meanwhile_is_replaced(kind, tmp_path, connect):
    places = {"home": tmp_path / "home", "server": kind}
    with SftpStore(tmp_path / "root", **places) as first:
        pass

    with (
        socket.create_server(("127.0.0.1", first.port)),
        SftpStore(tmp_path / "root", **places) as second,
        connect(second),
    ):
        assert second.port != first.port
        assert second.host_key == first.host_key


def test_leaving_ends_the_server_and_its_connections(kind, tmp_path, connect):
    """Even with a client in the middle of a file, nothing answers and no thread of ours is left."""
    before = set(threading.enumerate())
    with ExitStack() as client:
        with SftpStore(tmp_path / "root", home=tmp_path / "home", server=kind) as store:
            files = client.enter_context(connect(store)).open_sftp()
            files.open(f"{store.root}/half", "wb").write(b"x")

        assert not answers(store.port)
        with pytest.raises((EOFError, OSError, SSHException)):
            files.listdir(str(store.root))

    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) <= before


def test_cut_drops_the_connections_and_welcomes_new_ones(store, connect):
    with connect(store) as old:
        files = old.open_sftp()
        store.cut()
        with pytest.raises((EOFError, OSError, SSHException)):
            files.listdir(str(store.root))

    with connect(store) as new:
        assert new.open_sftp().listdir(str(store.root)) == []


def test_sshd_runs_commands_unless_told_otherwise(sshd, tmp_path, connect):
    """A shell account can hash on the far side; a file-only account cannot, and still transfers files."""
    with (
        SftpStore(tmp_path / "root", home=tmp_path / "home", server="sshd") as store,
        connect(store) as client,
    ):
        _, output, _ = client.exec_command(f"echo hello > '{store.root}/a' && md5sum '{store.root}/a'")
        assert output.read().startswith(b"b1946ac92492d2347c6235b4d2611184")

    with (
        SftpStore(tmp_path / "root", home=tmp_path / "home", server="sshd", shell=False) as store,
        connect(store) as client,
    ):
        _, output, _ = client.exec_command("md5sum /dev/null")
        assert b"d41d8cd9" not in output.channel.recv(64)
        assert client.open_sftp().listdir(str(store.root)) == ["a"]


def test_options_reach_sshd(sshd, tmp_path, connect):
    """`internal-sftp -R` as forced command makes a store that can be read and not written."""
    with (
        SftpStore(
            tmp_path / "root",
            home=tmp_path / "home",
            options=["ForceCommand internal-sftp -R", "Subsystem sftp internal-sftp -P fsetstat"],
        ) as store,
        connect(store) as client,
    ):
        assert store.kind == "sshd"
        with pytest.raises(PermissionError):
            client.open_sftp().open(f"{store.root}/a", "wb")


def test_a_nonsense_option_is_reported_with_sshds_own_words(sshd, tmp_path):
    with (
        pytest.raises(RuntimeError, match="Bad configuration option: Frobnicate"),
        SftpStore(tmp_path / "root", home=tmp_path / "home", options=["Frobnicate yes"]),
    ):
        pass


def test_an_option_replaces_our_line_of_the_same_keyword():
    text = configuration(Path("/h"), 2222, ["subsystem sftp internal-sftp -R", "Match all"], penalties=False)

    assert [line for line in text.splitlines() if "ubsystem" in line] == ["subsystem sftp internal-sftp -R"]
    assert text.endswith("Match all\n")


def test_options_that_no_server_can_honour_are_refused(tmp_path):
    for wrong in (
        {"server": "embedded", "options": ["MaxSessions 2"]},
        {"options": ["MaxSessions 2"], "before": print},
        {"server": "sshd", "before": print},
    ):
        with pytest.raises(ValueError):
            SftpStore(tmp_path, home=tmp_path, **wrong)


def test_auto_finds_a_server_that_lets_us_in(tmp_path, connect, monkeypatch):
    """With sshd or without: the same call gives a store that works."""
    with SftpStore(tmp_path / "root", home=tmp_path / "home") as store, connect(store) as client:
        assert client.open_sftp().listdir(str(store.root)) == []

    monkeypatch.setattr("sandbox.sshd.find_sshd", lambda: None)
    with SftpStore(tmp_path / "root", home=tmp_path / "home") as store, connect(store) as client:
        assert store.kind == "embedded"
        assert client.open_sftp().listdir(str(store.root)) == []


def test_auto_takes_the_embedded_server_where_sshd_refuses_the_login(sshd, tmp_path, connect, monkeypatch):
    """A locked account, or a policy of the machine: sshd listens and lets nobody in."""
    monkeypatch.setattr("sandbox.store._account", lambda: "no-such-account")
    with SftpStore(tmp_path / "root", home=tmp_path / "home") as store, connect(store) as client:
        assert store.kind == "embedded"
        assert client.open_sftp().listdir(str(store.root)) == []


def test_a_killed_parent_takes_its_sshd_along(sshd, tmp_path):
    """SIGKILL leaves no time to stop anything; the server ends all the same."""
    program = (
        "import sys, time; from pathlib import Path; from sandbox.store import SftpStore\n"
        "with SftpStore(Path(sys.argv[1], 'root'), home=Path(sys.argv[1], 'home'), server='sshd') as store:\n"
        "    print(store.port, flush=True); time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    with parent:
        port = int(parent.stdout.readline())
        assert answers(port)
        parent.send_signal(signal.SIGKILL)

    until = time.monotonic() + 30
    while answers(port) and time.monotonic() < until:
        time.sleep(0.02)
    assert not answers(port)
