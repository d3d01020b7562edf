"""The ways to carry SFTP: a library in this process, or the system's own ssh.

`in_process`, `login` and `server_keys` are paramiko; `command_line` (what ssh is asked), `complaints` (what its words
mean), `process` (one ssh and its socket) and `openssh` are the other.  `sftp.carrier` chooses.
"""
