"""A stand-in for Globus Transfer and Globus Auth, on loopback, in a thread.

    with SandboxGlobus() as globus:
        lab = globus.add_collection("lab", folder, "personal")
        ...the real SDK or command line, with the variables of globus.environment...

It moves files between folders of this machine, as tasks, with checksums, faults, deadlines and limits.  It
promises the real service's shapes (every key of the SDK's recorded answers), and its behaviour as far as that is
documented or was recorded; what is guessed says so where it stands.  It does not outlive its process, knows no
roles or sharing rules, and moves nothing between machines.
"""

from sandbox.globus.collection import Collection
from sandbox.globus.server import SandboxGlobus
from sandbox.globus.state import Limits

__all__ = ["Collection", "Limits", "SandboxGlobus"]
