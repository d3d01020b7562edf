"""A small lab on a sandbox Alyx: one lab of two repositories, one subject, one session."""

from dataclasses import dataclass

import httpx2

from sandbox.alyx import SandboxAlyx

SESSION = "KS/2020-01-01/001"


@dataclass
class Lab:
    """A server with one lab of two repositories, one subject and one session."""

    alyx: SandboxAlyx
    http: httpx2.Client
    eid: str

    def register(self, *names: str, http: httpx2.Client | None = None, **more: object) -> httpx2.Response:
        """Register files of the session from the lab's own repository."""
        body = {"path": SESSION, "name": "lab_SR", "filenames": list(names), **more}
        return (http or self.http).post("/register-file", json=body)

    def central(self, name: str = "alf/spikes.times.npy", **more: object) -> str:
        """Register one file; the id of its central file record."""
        answer = self.register(name, **more)
        assert answer.status_code == 201, answer.text
        records = answer.json()[0]["file_records"]
        return next(record["id"] for record in records if record["data_repository"] == "flatiron_lab")

    def client(self, user: str = "rig") -> httpx2.Client:
        """Another connection; close it."""
        headers = {"Authorization": f"Token {self.alyx.token_for(user)}"}
        return httpx2.Client(base_url=self.alyx.url, headers=headers, timeout=20)


def furnish(alyx: SandboxAlyx) -> str:
    """Make the lab; returns the session's id."""
    alyx.add_user("rig", password="secret")
    alyx.add_repository("lab_SR", globus_path="/mnt/s0/", personal=True, hostname="lab-sr")
    alyx.add_repository(
        "flatiron_lab", globus_path="/lab/Subjects/", data_url="http://127.0.0.1:9/lab/Subjects/"
    )
    alyx.add_lab("lab", ["lab_SR", "flatiron_lab"])
    alyx.add_subject("KS", "lab")
    return alyx.add_session("KS", "2020-01-01", 1, users=["rig"])
