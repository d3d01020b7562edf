"""How fast ours moves files, beside the programs a user would otherwise pick.

    python -m bench transports [--json] [--quick] [--only PATTERN ...] [--peers NAME ...] [--runs N]
                               [--disk FOLDER] [--patience SECONDS]

Everybody pushes the same files to the same server in turns, each run from an empty destination.  After each run
the destination is read and compared with what was made, outside the clock; who fails or leaves a difference is
out of that case, and the report says so.  A case is `way.workload`: ways are sftp, sftp-50ms, ftps and local,
workloads one-file, small-files and session; --only takes shell patterns of cases ("sftp.*").

Progress goes to standard error, the report to standard output.  See docs/benchmarks.md.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import contenders, ftp_contenders, lines, machine, report, self_check
from bench.contest import DELAYED_RUNS, RUNS, Bench, Made, Way, Wishes, say
from bench.report import Account
from bench.workloads import workloads, write
from sandbox.ftp_servers import FtpStore
from sandbox.ftp_servers_vsftpd import find_vsftpd
from sandbox.store import SftpStore

QUICK = 20  # sizes and counts are divided by this
DIRECT, DELAYED, FTPS, LOCAL = "sftp", "sftp-50ms", "ftps", "local"


def measure(bench: Bench) -> None:
    made = list(_made(bench))
    wanted = {way for way in (DIRECT, DELAYED, FTPS, LOCAL) if _wants(bench, way, made)}
    if wanted & {DIRECT, DELAYED}:
        with lines.server(bench.folder / "sftp-store", bench.folder / "sshd") as store:
            _over_sftp(bench, store, made)
            if DELAYED in wanted:
                _over_delay(bench, store, made)
    if FTPS in wanted:
        _over_ftps(bench, made)
    if LOCAL in wanted:
        root = bench.folder / "local-store"
        root.mkdir()
        who = contenders.on_disk()
        bench.measure(Way(name=LOCAL, who=who, root=root, remote_root=str(root)), made)


def _wants(bench: Bench, way: str, made: Sequence[Made]) -> bool:
    return any(bench.wishes.wants(f"{way}.{work.workload.name}") for work in made)


def _over_sftp(bench: Bench, store: SftpStore, made: Sequence[Made]) -> None:
    line = lines.line_to(store, store.port, bench.folder / "direct")
    bench.checks["login and nothing run (ssh), s"] = round(lines.remote_command_seconds(line), 3)
    who = contenders.over_sftp(line)
    bench.measure(Way(name=DIRECT, who=who, root=store.root, remote_root=str(store.root)), made)


def _over_delay(bench: Bench, store: SftpStore, made: Sequence[Made]) -> None:
    bench.checks["delay line"] = self_check.delay_line(mebibytes=64 if bench.wishes.quick else 1024)
    say(f"delay line: {bench.checks['delay line']}")
    with lines.delayed(store.host, store.port) as port:
        line = lines.line_to(store, port, bench.folder / "delayed")
        seconds = round(lines.remote_command_seconds(line), 3)
        bench.checks["login and nothing run (ssh) over the delay line, s"] = seconds
        who = [one for one in contenders.over_sftp(line) if one.name != contenders.PARAMIKO]
        bench.measure(Way(name=DELAYED, who=who, root=store.root, remote_root=str(store.root)), made)


def _over_ftps(bench: Bench, made: Sequence[Made]) -> None:
    if find_vsftpd() is None:
        say('ftps: no vsftpd here, not measured. Install it ("apt-get install vsftpd").')
        return
    with FtpStore(bench.folder / "ftp", server="vsftpd", tls="explicit") as store:
        who, secret = ftp_contenders.over_ftps(store)
        way = Way(name=FTPS, who=who, root=store.root, remote_root=store.remote_root, hidden=secret)
        bench.measure(way, made)


def _made(bench: Bench) -> Iterator[Made]:
    for workload in workloads(scale=QUICK if bench.wishes.quick else 1):
        if any(bench.wishes.wants(f"{way}.{workload.name}") for way in (DIRECT, DELAYED, FTPS, LOCAL)):
            folder = bench.folder / "source" / workload.name
            say(f"making {workload.name}: {len(workload.files)} files, {workload.bytes / 1e6:.0f} MB")
            yield Made(workload, folder, write(workload, folder))


def main() -> None:
    told = _arguments()
    # Gigabytes in memory and two servers must not be left behind by a scheduler that ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside: nothing is reported."))
    wishes = Wishes(
        only=told.only, peers=told.peers, runs=told.runs, quick=told.quick, patience=told.patience
    )
    with tempfile.TemporaryDirectory(dir=told.disk, prefix="alyx-transfer-bench-") as folder:
        bench = Bench(wishes, Path(folder))
        described = machine.described(Path(folder))
        measure(bench)
    if not bench.runs and not bench.failures:
        raise SystemExit("no case fits --only: nothing was measured.")
    settings = {
        "sizes": f"divided by {QUICK} (--quick): no figure for a comparison" if wishes.quick else "full",
        "patience": f"{wishes.seconds:.0f} s a run",
    }
    account = Account(
        failures=bench.failures,
        runs=bench.runs,
        commands=bench.commands,
        machine=described,
        checks=bench.checks,
        settings=settings,
    )
    print(json.dumps(report.as_json(account), indent=1) if told.json else report.as_text(account))


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--only", nargs="+", default=(), metavar="PATTERN", help="cases to measure")
    arguments.add_argument("--peers", nargs="+", default=(), metavar="NAME", help="beside ours; default: all")
    arguments.add_argument("--runs", type=int, help=f"default {RUNS}, {DELAYED_RUNS} over the delay line")
    arguments.add_argument("--quick", action="store_true", help=f"sizes divided by {QUICK}, one run")
    arguments.add_argument("--disk", type=Path, default=Path("/dev/shm"), metavar="FOLDER")
    arguments.add_argument("--patience", type=float, metavar="SECONDS", help="for one run")
    arguments.add_argument("--json", action="store_true")
    return arguments.parse_args()


if __name__ == "__main__":
    main()
