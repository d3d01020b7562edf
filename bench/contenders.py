"""Who takes part, and with which command lines.

Each gets the options its own documentation recommends for a first push of files that the far side does not have:
rclone's larger chunks and eight transfers, lftp's parallel mirror with more packets in flight, rsync without its
delta algorithm.  `verifies` says in a few words what a contender compares before it calls a file sent; empty means
that it compares nothing (the report then says "not verified").
"""

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.lines import ALIAS, Line
from bench.processes import Step
from bench.workloads import Workload

OURS = "alyx-transfer"
RCLONE, RSYNC, SFTP, LFTP, PARAMIKO = "rclone", "rsync + check", "OpenSSH sftp", "lftp", "paramiko put"
PARALLEL = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One push: everything below `source` to below `target`, which the server's clients call `remote`.

    `scratch` is for orders and lists.
    """

    workload: Workload
    md5s: dict[PurePosixPath, str]
    source: Path
    target: Path
    remote: str
    scratch: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    name: str
    verifies: str
    steps: Callable[[Task], Sequence[Step]]
    program: str
    """What must be installed."""
    only: frozenset[str] = frozenset()
    """The workloads it is measured with; empty: all."""

    def takes(self, workload: str) -> bool:
        return not self.only or workload in self.only


def over_sftp(line: Line) -> list[Contender]:
    return [
        ours("sftp", _sftp_options(line), verifies="md5 by one hash command per batch"),
        Contender(
            name=RCLONE,
            verifies="md5, one hash command a file",
            program="rclone",
            steps=lambda task: [rclone("copy", task.source, f":sftp:{task.remote}", _rclone_sftp(line))],
        ),
        Contender(
            name=RSYNC,
            verifies="second pass with checksums",
            program="rsync",
            steps=lambda task: _rsync(task.source, f"{ALIAS}:{task.remote}/", "-e", line.ssh),
        ),
        Contender(name=SFTP, verifies="", program="sftp", steps=lambda task: [_sftp(line, task)]),
        Contender(name=LFTP, verifies="", program="lftp", steps=lambda task: [_lftp_sftp(line, task)]),
        Contender(
            name=PARAMIKO,
            verifies="",
            program="python3",
            only=frozenset({"small-files"}),
            steps=lambda task: [_paramiko(line, task)],
        ),
    ]


def on_disk() -> list[Contender]:
    return [
        ours("local", {}, verifies="md5, read back"),
        Contender(
            name="cp + md5sum both",
            verifies="md5 of both sides",
            program="cp",
            steps=lambda task: [_cp(task), _sums(task), _compare(task, _made(task))],
        ),
        Contender(
            name="cp + md5sum -c",
            verifies="md5, the list was there before",
            program="cp",
            steps=lambda task: [_cp(task), _compare(task, md5_list(task))],
        ),
        Contender(
            name=RCLONE,
            verifies="md5 of both sides",
            program="rclone",
            steps=lambda task: [rclone("copy", task.source, str(task.target), [])],
        ),
        Contender(
            name=RSYNC,
            verifies="second pass with checksums",
            program="rsync",
            steps=lambda task: _rsync(task.source, f"{task.target}/"),
        ),
    ]


def ours(kind: str, options: dict[str, object], *, verifies: str) -> Contender:
    def steps(task: Task) -> Sequence[Step]:
        order = task.scratch / "order.json"
        files = [
            (str(file.path), file.size, task.md5s[file.path], (task.source / file.path).stat().st_mtime_ns)
            for file in task.workload.files
        ]
        told = {"kind": kind, "options": {**options, "root": task.remote}}
        order.write_text(json.dumps({**told, "source": str(task.source), "files": files}))
        return [Step(argv=[sys.executable, "-m", "bench.ours", str(order)])]

    return Contender(name=OURS, verifies=verifies, program="python3", steps=steps)


def md5_list(task: Task) -> Path:
    """What `md5sum -c` reads, with names below the target."""
    place = task.scratch / "known.md5"
    place.write_text("".join(f"{md5}  {path}\n" for path, md5 in sorted(task.md5s.items())))
    return place


def _sftp_options(line: Line) -> dict[str, object]:
    return {
        "host": line.host,
        "port": line.port,
        "user": line.user,
        "key": str(line.key),
        "known_hosts": str(line.known_hosts),
        "carrier": "auto",
    }


def rclone(verb: str, source: Path | str, target: str, options: Sequence[str]) -> Step:
    return Step(
        argv=[
            "rclone",
            verb,
            str(source),
            target,
            "--config=",
            "--quiet",
            f"--transfers={PARALLEL}",
            f"--checkers={PARALLEL}",
            f"--multi-thread-streams={PARALLEL}",
            *options,
        ]
    )


def _rclone_sftp(line: Line) -> list[str]:
    return [
        f"--sftp-host={line.host}",
        f"--sftp-port={line.port}",
        f"--sftp-user={line.user}",
        f"--sftp-key-file={line.key}",
        f"--sftp-known-hosts-file={line.known_hosts}",
        "--sftp-shell-type=unix",
        "--sftp-md5sum-command=md5sum",
        "--sftp-sha1sum-command=none",
        "--sftp-chunk-size=255k",
        "--sftp-concurrency=64",
    ]


def _rsync(source: Path, target: str, *options: str) -> list[Step]:
    return [
        Step(argv=["rsync", "-a", "-W", *options, f"{source}/", target]),
        Step(argv=["rsync", "-anci", *options, f"{source}/", target], says_nothing=True),
    ]


def _sftp(line: Line, task: Task) -> Step:
    batch = task.scratch / "sftp.batch"
    batch.write_text(f"lcd {task.source}\ncd {task.remote}\nput -r -p *\n")
    return Step(
        argv=["sftp", "-q", "-F", str(line.ssh_config), "-B", "261120", "-R", "128", "-b", str(batch), ALIAS]
    )


def _lftp_sftp(line: Line, task: Task) -> Step:
    commands = [
        f'set sftp:connect-program "ssh -a -x -F {line.ssh_config}"',
        "set sftp:max-packets-in-flight 64",
        "set cmd:fail-exit true",
        # lftp demands a password, the key is what lets it in; the alias leads to our ssh configuration.
        f"open -u {line.user},none -p {line.port} sftp://{ALIAS}",
        f"mirror -R --parallel={PARALLEL} {task.source} {task.remote}",
    ]
    return Step(argv=["lftp", "--norc", "-c", "; ".join(commands)])


def _paramiko(line: Line, task: Task) -> Step:
    where = [line.host, str(line.port), line.user, str(line.key), str(line.known_hosts)]
    return Step(argv=[sys.executable, "-m", "bench.plain_paramiko", *where, str(task.source), task.remote])


def _cp(task: Task) -> Step:
    return Step(argv=["cp", "-a", f"{task.source}/.", str(task.target)])


def _made(task: Task) -> Path:
    return task.scratch / "made.md5"


def _sums(task: Task) -> Step:
    source, made = shlex.quote(str(task.source)), shlex.quote(str(_made(task)))
    return _shell(f"cd {source} && find . -type f -print0 | xargs -0 md5sum > {made}")


def _compare(task: Task, sums: Path) -> Step:
    target = shlex.quote(str(task.target))
    return _shell(f"cd {target} && md5sum -c --quiet --strict {shlex.quote(str(sums))}")


def _shell(command: str) -> Step:
    return Step(argv=["/bin/sh", "-c", command])
