"""Two DataJoint tables: the sessions that are complete at the central store, and their files.

    CentralSession   one row for each version of a session in which every file has arrived
    CentralDataset   its files: where each stands, size in bytes, md5, when it was recorded (UTC), how it was proved

A row of `CentralSession` is never changed: a session to which files came, or of which a file was patched, gets a row
with the next `version`.  So a pipeline's `populate` runs once for each complete version, and what was computed of an
older one stays beside the data it was computed of.
"""

from typing import Any

# Uuids are kept as text: DataJoint 2.3 restricts by a uuid in a way that PostgreSQL does not take.
CENTRAL_SESSION = """
# A version of a session of which every file stands at the central store, proved
eid     : char(36)    # uuid of the session in Alyx
version : int16       # 1, then one more whenever a file came or changed
---
lab            : varchar(200)
subject        : varchar(200)
session_date   : date
session_number : int32
files          : int32
bytes          : int64
completed_at   : datetime(6)  # UTC, when the last of its files was recorded
"""

CENTRAL_DATASET = """
# One file of a complete session
-> CentralSession
dataset_uuid : char(36)  # of the dataset in Alyx
---
path         : varchar(1000)  # relative to the session, with its revision
store        : varchar(200)   # the repository's name in Alyx
store_path   : varchar(1100)  # below the store's root
size         : int64          # bytes
md5          : char(32)
arrived_at   : datetime(6)    # UTC
proof        : varchar(16)    # how the stored bytes were compared with the registered hash
"""


class Tables:
    """The two tables in one schema of a DataJoint connection, made where they are missing."""

    def __init__(self, schema: Any) -> None:
        import datajoint as dj

        class CentralSession(dj.Manual):  # type: ignore[misc]
            definition = CENTRAL_SESSION

        class CentralDataset(dj.Manual):  # type: ignore[misc]
            definition = CENTRAL_DATASET

        self.schema = schema
        self.session: Any = schema(CentralSession)
        self.dataset: Any = schema(CentralDataset, context={"CentralSession": self.session})
