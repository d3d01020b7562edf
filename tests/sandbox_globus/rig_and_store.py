"""A lab's folder and a store's folder, a sandbox Globus that offers both, and the real SDK's client for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import globus_sdk
from globus_sdk.transport import RetryConfig

from sandbox.globus import SandboxGlobus


@dataclass
class Lab:
    globus: SandboxGlobus
    app: globus_sdk.ClientApp
    client: globus_sdk.TransferClient
    here: Path
    there: Path
    source: str
    store: str

    def write(self, path: str, content: bytes = b"spikes") -> Path:
        """A file in the lab."""
        file = self.here / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def transfer(self, *items: tuple[str, str], **options: Any) -> dict[str, Any]:
        """A document with a submission id, as a careful client makes it."""
        wanted = {"verify_checksum": True, "notify_on_succeeded": False, **options}
        document = globus_sdk.TransferData(self.source, self.store, **wanted)
        for source, destination in items:
            document.add_item(source, destination)
        document["submission_id"] = self.client.get_submission_id()["value"]
        return document

    def submit(self, *items: tuple[str, str], **options: Any) -> str:
        """The id of a new task."""
        return str(self.client.submit_transfer(self.transfer(*items, **options))["task_id"])

    def events(self, task: str) -> list[str]:
        """The codes of a task's events, oldest first."""
        events = self.client.paginated.task_event_list(task).items()
        return [event["code"] for event in events][::-1]

    def arrived(self, task: str) -> list[str]:
        """The destinations of what was carried."""
        pages = self.client.paginated.task_successful_transfers(task).items()
        return sorted(row["destination_path"] for row in pages)


def client_of(
    globus: SandboxGlobus, *collections: str, retries: int = 0
) -> tuple[globus_sdk.ClientApp, globus_sdk.TransferClient]:
    """An application that acts by itself and its client, which asks for these collections' data."""
    app = globus_sdk.ClientApp(
        "test",
        client_id=globus.client_id,
        client_secret=globus.client_secret,
        config=globus_sdk.GlobusAppConfig(token_storage="memory"),
    )
    retry = RetryConfig(max_retries=retries, max_sleep=5, backoff=lambda context: context.backoff or 0)
    client = globus_sdk.TransferClient(app=app, retry_config=retry)
    if collections:
        client.add_app_data_access_scope(collections)
    return app, client
