"""A stand-in for an Alyx server (as 3.6.1 behaves), on loopback, in a thread.

    with SandboxAlyx() as alyx:
        alyx.add_user("rig_user", password="secret")
        ...requests to alyx.url...

It promises the real server's answers for everything this program asks, the bad ones included: 500 for wrong
input, lists without order, whole rows written over each other, datasets doubled by two registrations at once.
With `state` every row outlives the process. It does not serve files, and knows nothing of Globus.

`requests` counts what was asked, `faults` scripts failures, `hazards` widens the gap between read and write.
"""

from sandbox.alyx.labs import SandboxAlyx
from sandbox.alyx.seeding import Seed
from sandbox.alyx.tables import Tables

__all__ = ["SandboxAlyx", "Seed", "Tables"]
