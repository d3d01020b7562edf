"""What a script of ten lines does: paramiko's own SFTP client, one file after the other, nothing compared but size."""

import posixpath
import sys
from pathlib import Path

from paramiko import RejectPolicy, SFTPClient, SSHClient


def main() -> None:
    host, port, user, key, known_hosts, source, target = sys.argv[1:]
    with SSHClient() as client:
        client.load_host_keys(known_hosts)
        client.set_missing_host_key_policy(RejectPolicy())
        client.connect(
            host, int(port), user, key_filename=key, look_for_keys=False, allow_agent=False, timeout=15
        )
        with client.open_sftp() as sftp:
            put_all(sftp, Path(source), target)


def put_all(sftp: SFTPClient, source: Path, target: str) -> None:
    for folder in sorted(path for path in source.rglob("*") if path.is_dir()):
        sftp.mkdir(posixpath.join(target, folder.relative_to(source).as_posix()))
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        sftp.put(str(path), posixpath.join(target, path.relative_to(source).as_posix()))


if __name__ == "__main__":
    main()
