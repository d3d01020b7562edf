"""What can go wrong, and for each kind what would help and what else will fail.

Every error answers two questions, so that exactly one layer retries it:

    cure   TIME              the ledger tries again later (`not_before`)
           FRESH_CONNECTION  at once, on a new connection, at most three times
           PERSON            nobody: the item is held until somebody acts
           NOTHING           nobody: held as well; only a change of the file or its name can help
    reach  FILE, BATCH or ENDPOINT: what else would fail for the same reason now

A message has three parts in this order: what happened, to which thing, what to do.  Secrets never enter it:
endpoints print as `sftp://host`.  `CATALOGUE` lists every kind with its cause (why it usually happens); a kind's
`page` is its paragraph in `docs/errors.md`.
"""

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar

from transfer.secrecy import masked


class Cure(StrEnum):
    """What would help."""

    TIME = "time"
    FRESH_CONNECTION = "fresh connection"
    PERSON = "person"
    NOTHING = "nothing"


class Reach(StrEnum):
    """What else will fail for the same reason."""

    FILE = "file"
    BATCH = "batch"
    ENDPOINT = "endpoint"


class TransferError(Exception):
    """A failure with a code, a cure, why it happens, and a remedy.  Foreign exceptions are its `__cause__`.

    `after` is how long the other side asked us to wait, if it did.
    """

    code: ClassVar[str] = "E-0000"
    name: ClassVar[str] = "transfer-error"
    cure: ClassVar[Cure] = Cure.PERSON
    reach: ClassVar[Reach] = Reach.FILE
    cause: ClassVar[str] = "An error of no kind that the catalogue has."
    remedy: ClassVar[str] = "Read the message and the log of the worker that printed it."

    def __init__(
        self, what: str, *, to: object = "", do: str | None = None, after: timedelta | None = None
    ) -> None:
        self.what = masked(what)
        self.to = masked(str(to))
        self.do = masked(do or self.remedy)
        self.after = after
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """What happened: to which thing.  What to do."""
        subject = f": {self.to}" if self.to else ""
        return f"{self.what}{subject}. {self.do}"

    @classmethod
    def page(cls) -> str:
        """Where the documents say more."""
        return f"docs/errors.md#{cls.code.lower()}-{cls.name}"


# ---- the lab's side -------------------------------------------------------------------------------------


class SourceUnreadable(TransferError):
    code, name, cure, reach = "E-1001", "source-unreadable", Cure.PERSON, Reach.FILE
    remedy = "Give the worker's account permission to read the file, then release it."
    cause = "The file's owner or mode keeps the worker's account out, or the share it lies on fails."


class SourceVanished(TransferError):
    code, name, cure, reach = "E-1002", "source-vanished", Cure.PERSON, Reach.FILE
    remedy = "Find out who moved or deleted the file; put it back and release it, or abandon it."
    cause = "Somebody deleted, renamed or moved the file after it was found."


class SourceChanged(TransferError):
    code, name, cure, reach = "E-1003", "source-changed", Cure.TIME, Reach.FILE
    remedy = "Nothing: it is hashed and registered again once it is quiet."
    cause = "A program still wrote to the file, or another version was put in its place."


class SourceStillChanging(TransferError):
    code, name, cure, reach = "E-1004", "source-still-changing", Cure.PERSON, Reach.FILE
    remedy = "Stop the program that still writes to it, then release it."
    cause = "A program was left running, a clock runs backwards, or a tool touches the file again and again."


class SourceRootMissing(TransferError):
    code, name, cure, reach = "E-1005", "source-root-missing", Cure.TIME, Reach.ENDPOINT
    remedy = "Mount the lab's data folder or correct its root in the config; work goes on by itself."
    cause = "The lab's disk or share is not mounted, or its root in the config is wrong."


class NotASession(TransferError):
    code, name, cure, reach = "E-1006", "not-a-session", Cure.PERSON, Reach.BATCH
    remedy = "Name a folder of the form <root>/<subject>/<YYYY-MM-DD>/<NNN>."
    cause = "The folder that was named is no session folder, is gone, or is a link."


class UnsafeSource(TransferError):
    code, name, cure, reach = "E-1007", "unsafe-source", Cure.NOTHING, Reach.FILE
    remedy = "Replace the link or device by a regular file inside the session."
    cause = "A link, pipe, socket or device stands where a data file should be."


class LocalDiskFull(TransferError):
    code, name, cure, reach = "E-1008", "local-disk-full", Cure.TIME, Reach.ENDPOINT
    remedy = "Free space on this machine; work goes on by itself."
    cause = "The disk of this machine is full."


class NameRefused(TransferError):
    code, name, cure, reach = "E-1009", "name-refused", Cure.NOTHING, Reach.FILE
    remedy = "Rename the file so that Alyx and the store can hold its name."
    cause = "Alyx or the store would change a character of the name, or the path is too long for them."


class RegisteredHashDiffers(TransferError):
    code, name, cure, reach = "E-1010", "registered-hash-differs", Cure.PERSON, Reach.FILE
    remedy = "Compare the lab's file with Alyx: register the lab's version or restore the registered one."
    cause = "The lab's file and Alyx's hash of it are of different versions."


class LocalFileDiffers(TransferError):
    code, name, cure, reach = "E-1011", "local-file-differs", Cure.PERSON, Reach.FILE
    remedy = "Move your file away or choose another folder: nothing of yours is overwritten."
    cause = "A file of yours with other bytes stands where the store's copy was to be written."


class RigRecording(TransferError):
    code, name, cure, reach = "E-1012", "rig-recording", Cure.TIME, Reach.ENDPOINT
    remedy = "Nothing: work goes on when the flag is gone; if nothing records any more, remove it."
    cause = "The flag file that says that the rig records is there."


class QuietHours(TransferError):
    code, name, cure, reach = "E-1013", "quiet-hours", Cure.TIME, Reach.ENDPOINT
    remedy = "Nothing: work goes on when the limit allows it; alyx-transfer bandwidth shows when."
    cause = "The bandwidth timetable allows nothing at this hour."


class NamesCollide(TransferError):
    code, name, cure, reach = "E-1016", "names-collide", Cure.PERSON, Reach.FILE
    remedy = "Rename one of them: on Windows and macOS one takes the other's place when they are read back."
    cause = "Some disks take names that differ in case or Unicode form only for one and the same."


# ---- the store and the line -----------------------------------------------------------------------------


class ConnectionLost(TransferError):
    code, name, cure, reach = "E-2001", "connection-lost", Cure.FRESH_CONNECTION, Reach.BATCH
    remedy = "Nothing: we connect again."
    cause = "The network or the server broke the line in the middle of the work."


class EndpointUnreachable(TransferError):
    code, name, cure, reach = "E-2002", "endpoint-unreachable", Cure.TIME, Reach.ENDPOINT
    remedy = "Check the network, the address and that the server runs; work goes on by itself."
    cause = "The address is wrong, a port is closed, the network is down, or the server is."


class LoginRefused(TransferError):
    code, name, cure, reach = "E-2003", "login-refused", Cure.PERSON, Reach.ENDPOINT
    remedy = "Install the public key on the server or correct user and key in the config, then release."
    cause = "The public key is not installed, the user is another, or a password is wrong or has run out."


class HostKeyUnknown(TransferError):
    code, name, cure, reach = "E-2004", "host-key-unknown", Cure.PERSON, Reach.ENDPOINT
    remedy = (
        "Ask the server's administrator for its key and add it to known_hosts or to host_key in the config."
    )
    cause = "The server is new to us, and nobody has compared its key yet."


class HostKeyChanged(TransferError):
    code, name, cure, reach = "E-2005", "host-key-changed", Cure.PERSON, Reach.ENDPOINT
    remedy = "Ask the server's administrator whether the key was changed; only then replace the known one."
    cause = "The server was set up anew, or somebody stands between us and it."


class StoreFull(TransferError):
    code, name, cure, reach = "E-2006", "store-full", Cure.TIME, Reach.ENDPOINT
    remedy = "Free space at the store; work goes on by itself."
    cause = "The store's disk has no room for the bytes."


class StoreDenied(TransferError):
    code, name, cure, reach = "E-2007", "store-denied", Cure.PERSON, Reach.FILE
    remedy = "Give the store's account the right to write, rename and delete there, then release."
    cause = "An owner or mode at the store forbids it, often in one subject's folder only."


class StoreRefused(TransferError):
    code, name, cure, reach = "E-2008", "store-refused", Cure.TIME, Reach.FILE
    remedy = "Nothing yet: it is tried again; look at the store's log if it stays."
    cause = "The server answered with an error that it did not explain any better."


class PathTooLong(TransferError):
    code, name, cure, reach = "E-2009", "path-too-long", Cure.NOTHING, Reach.FILE
    remedy = "Shorten the name: the store does not take a path of this length."
    cause = "The store's file system limits the length of a name or a path."


class StoredFileMissing(TransferError):
    code, name, cure, reach = "E-2010", "stored-file-missing", Cure.TIME, Reach.FILE
    remedy = "Nothing: it is sent again."
    cause = "Somebody removed what we had put there, or the store lost it."


class ArrivedDamaged(TransferError):
    code, name, cure, reach = "E-2011", "arrived-damaged", Cure.TIME, Reach.FILE
    remedy = "Nothing yet: it is sent again; if it stays, test the store's disks and memory."
    cause = "Bytes were changed on the line or on the store's disk."


class PartialExists(TransferError):
    code, name, cure, reach = "E-2012", "partial-exists", Cure.TIME, Reach.FILE
    remedy = "Nothing: the next attempt uses a name of its own."
    cause = "Somebody else made a file of that name first."


class RenameDoesNotReplace(TransferError):
    code, name, cure, reach = "E-2013", "rename-does-not-replace", Cure.PERSON, Reach.ENDPOINT
    remedy = "Use a store whose SFTP server offers posix-rename, or a mounted disk."
    cause = "The server's rename refuses a name that stands there already."


class CertificateRefused(TransferError):
    code, name, cure, reach = "E-2014", "certificate-refused", Cure.PERSON, Reach.ENDPOINT
    remedy = "Renew the server's certificate, correct the host's name, or name the authority in ca_file."
    cause = "The certificate has run out, is for another name, or its authority is not known here."


class EncryptionRefused(TransferError):
    code, name, cure, reach = "E-2015", "encryption-refused", Cure.PERSON, Reach.ENDPOINT
    remedy = "Enable TLS at the server; plain FTP is used only when the config says so in words."
    cause = "The server offers no TLS, or none that is strong enough."


class QuotaExceeded(TransferError):
    code, name, cure, reach = "E-2016", "quota-exceeded", Cure.TIME, Reach.ENDPOINT
    remedy = "Free space in the account's quota at the store or have it raised; work goes on by itself."
    cause = "The account's share of the store is used up."


class CredentialEnds(TransferError):
    code, name, cure, reach = "E-2017", "credential-ends", Cure.PERSON, Reach.ENDPOINT
    remedy = "Renew it first: what is on its way when it ends is broken off, and is continued afterwards."
    cause = "A certificate or a login holds for a limited time."


class StoreRightsMissing(TransferError):
    code, name, cure, reach = "E-2018", "store-rights-missing", Cure.PERSON, Reach.ENDPOINT
    remedy = "Give the store's account the right to rename, replace and delete its files, then resume."
    cause = "The store's rules let the account write new files and not rename, replace or delete them."


class MoverTaskGone(TransferError):
    code, name, cure, reach = "E-2020", "mover-task-gone", Cure.TIME, Reach.BATCH
    remedy = "Nothing: what has not arrived is submitted again once the old task can no longer write."
    cause = "Globus forgets tasks after a time, or somebody deleted this one."


class MoverLoginExpired(TransferError):
    code, name, cure, reach = "E-2021", "mover-login-expired", Cure.PERSON, Reach.ENDPOINT
    remedy = "Log in to Globus again with alyx-transfer globus login, or correct the client in the config."
    cause = "The login of the Globus identity has run out, or its client was revoked."


class MoverConsentRequired(TransferError):
    code, name, cure, reach = "E-2022", "mover-consent-required", Cure.PERSON, Reach.ENDPOINT
    remedy = "Give the consent that the collection asks for with alyx-transfer globus login, then resume."
    cause = "The collection asks for a consent or an identity that this login does not have."


class MoverPaused(TransferError):
    code, name, cure, reach = "E-2023", "mover-endpoint-paused", Cure.TIME, Reach.ENDPOINT
    remedy = "Nothing yet: the collection's administrator paused it; ask them if it stays."
    cause = "The collection's administrator paused it."


class MoverOffline(TransferError):
    code, name, cure, reach = "E-2024", "mover-endpoint-offline", Cure.TIME, Reach.ENDPOINT
    remedy = "Start Globus Connect Personal on the lab's machine and connect it; work goes on by itself."
    cause = "Globus Connect Personal does not run on the lab's machine, or its network is down."


class MoverThrottled(TransferError):
    code, name, cure, reach = "E-2025", "mover-throttled", Cure.TIME, Reach.ENDPOINT
    remedy = "Nothing: we wait as long as Globus asked."
    cause = "More was asked of Globus than it allows in that time."


class MoverRefused(TransferError):
    code, name, cure, reach = "E-2026", "mover-refused", Cure.TIME, Reach.FILE
    remedy = "Nothing yet: it is tried again; read the task's events at Globus if it stays."
    cause = "One end of the transfer answered Globus with an error of its own."


class MoverUnavailable(TransferError):
    code, name, cure, reach = "E-2027", "mover-unavailable", Cure.TIME, Reach.ENDPOINT
    remedy = "Check the network and Globus' status page; work goes on by itself."
    cause = "Globus does not answer, or answers with a fault of its own."


class MoverOutOfTime(TransferError):
    code, name, cure, reach = "E-2028", "mover-out-of-time", Cure.TIME, Reach.FILE
    remedy = "Nothing yet: it is submitted again; look at the task's faults at Globus if it stays."
    cause = "The task was not done before its deadline."


class MoverDenied(TransferError):
    code, name, cure, reach = "E-2029", "mover-denied", Cure.PERSON, Reach.ENDPOINT
    remedy = "Give the Globus identity read access at the lab and write access at the store, then resume."
    cause = "The Globus identity may not read at the lab or not write at the store."


# ---- Alyx -----------------------------------------------------------------------------------------------


class CatalogUnreachable(TransferError):
    code, name, cure, reach = "E-3001", "alyx-unreachable", Cure.TIME, Reach.ENDPOINT
    remedy = "Check the address and that Alyx runs; work goes on by itself."
    cause = "The address is wrong, the network is down, or Alyx is."


class CatalogThrottled(TransferError):
    code, name, cure, reach = "E-3002", "alyx-throttled", Cure.TIME, Reach.ENDPOINT
    remedy = "Nothing: we wait as long as Alyx asked; lower requests_per_minute if it happens often."
    cause = "More requests were made than Alyx allows this user in a minute."


class CatalogLoginRefused(TransferError):
    code, name, cure, reach = "E-3003", "alyx-login-refused", Cure.PERSON, Reach.ENDPOINT
    remedy = "Correct the Alyx user and password or token, then release."
    cause = "The user, the password or the token is wrong, or was disabled."


class CatalogRefused(TransferError):
    code, name, cure, reach = "E-3004", "alyx-refused", Cure.PERSON, Reach.FILE
    remedy = "Correct what Alyx's message names, then release."
    cause = "What was asked does not fit what Alyx has or allows."


class CatalogBroken(TransferError):
    code, name, cure, reach = "E-3005", "alyx-broken", Cure.TIME, Reach.BATCH
    remedy = "Nothing yet: it is tried again; tell Alyx's administrator if it stays."
    cause = "Alyx failed inside, or its answer makes no sense."


class UnknownOutcome(TransferError):
    code, name, cure, reach = "E-3006", "alyx-unknown-outcome", Cure.TIME, Reach.BATCH
    remedy = "Nothing: we look twice what Alyx has before anything is repeated."
    cause = "The answer was lost, so that nobody knows whether Alyx did it."


class UnknownSession(TransferError):
    code, name, cure, reach = "E-3007", "session-unknown-to-alyx", Cure.PERSON, Reach.BATCH
    remedy = "Create the session in Alyx (subject, date and number must agree), then release."
    cause = "Nobody has created the session in Alyx, or under another subject, date or number."


class AmbiguousSession(TransferError):
    code, name, cure, reach = "E-3008", "session-ambiguous-in-alyx", Cure.PERSON, Reach.BATCH
    remedy = "Remove the doubled session in Alyx, then release."
    cause = "Alyx has several sessions of that subject, date and number."


class ProtectedDataset(TransferError):
    code, name, cure, reach = "E-3009", "dataset-protected", Cure.PERSON, Reach.FILE
    remedy = "Put the new version into a #revision# folder of its own, then release."
    cause = "A tag in Alyx protects the dataset from being replaced."


class ChangedElsewhere(TransferError):
    code, name, cure, reach = "E-3010", "changed-elsewhere", Cure.PERSON, Reach.FILE
    remedy = "Decide which version is right: bring the lab's file up to date or register it, then release."
    cause = "Somebody else registered another version after we did."


class DoubledDataset(TransferError):
    code, name, cure, reach = "E-3011", "dataset-doubled", Cure.PERSON, Reach.FILE
    remedy = "Delete the surplus dataset row in Alyx, then release."
    cause = "Two registrations at once left two rows for one file, and something hangs on both."


class DoubledLately(TransferError):
    code, name, cure, reach = "E-3016", "dataset-doubled-lately", Cure.TIME, Reach.FILE
    remedy = "Nothing: the surplus row is deleted once it is certain that nothing hangs on it."
    cause = "Two registrations at once left two rows for one file a short while ago."


class AnswerDiffers(TransferError):
    code, name, cure, reach = "E-3012", "alyx-answer-differs", Cure.PERSON, Reach.FILE
    remedy = "Rename the file or folder to letters, digits, '_', '.', '-' and release."
    cause = "Alyx changed or shortened what it was sent, usually because of a character in the name."


class NumberNotPadded(TransferError):
    code, name, cure, reach = "E-3013", "session-number-not-padded", Cure.PERSON, Reach.BATCH
    remedy = "Rename the session folder to three digits, for example 001, then release."
    cause = "The session folder's number has no leading zeros, and Alyx writes it with them."


class UnknownInCatalog(TransferError):
    code, name, cure, reach = "E-3014", "unknown-to-alyx", Cure.PERSON, Reach.ENDPOINT
    remedy = "Correct the name in the config or create it in Alyx."
    cause = "The name in the config is misspelt, or Alyx has no such row."


class UntrustedPath(TransferError):
    code, name, cure, reach = "E-3015", "path-untrusted", Cure.PERSON, Reach.FILE
    remedy = "Correct the path in Alyx: it leaves the session or repeats another dataset's."
    cause = "A path in Alyx leaves its session or is that of another dataset."


class MovedByOthers(TransferError):
    code, name, cure, reach = "E-3017", "moved-by-others", Cure.TIME, Reach.FILE
    remedy = "Nothing: we look again every hour; a flag that is 7 days old counts as forgotten."
    cause = "Another tool has marked the file as being moved by itself."


# ---- our own ledger, config and command line --------------------------------------------------------------


class LostRace(TransferError):
    code, name, cure, reach = "E-4001", "lost-race", Cure.TIME, Reach.BATCH
    remedy = "Nothing: another worker has taken over."
    cause = "This worker was paused or cut off for longer than its lease."


class LedgerUnavailable(TransferError):
    code, name, cure, reach = "E-4002", "ledger-unavailable", Cure.TIME, Reach.ENDPOINT
    remedy = "Check the ledger's database; work goes on by itself."
    cause = "The database is down, unreachable or locked, or its address is wrong."


class LedgerRefused(LedgerUnavailable):
    code, name, cure, reach = "E-4012", "ledger-refused", Cure.PERSON, Reach.ENDPOINT
    remedy = "Correct ledger.password_file or ledger.url, or the role and the database at the server."
    cause = "The password is wrong, or the role or the database does not exist."


class LedgerSchema(TransferError):
    code, name, cure, reach = "E-4003", "ledger-schema", Cure.PERSON, Reach.ENDPOINT
    remedy = (
        "Use the version of alyx-transfer that wrote this ledger, or a newer one, "
        "or name another database in ledger.url."
    )
    cause = "Another version of alyx-transfer made the ledger, or its URL names a foreign database."


class ForeignLedger(TransferError):
    code, name, cure, reach = "E-4004", "foreign-ledger", Cure.PERSON, Reach.ENDPOINT
    remedy = (
        "Stop the other one, or run alyx-transfer recover --why TEXT; "
        "if the other ledger is lost, alyx-transfer rebuild."
    )
    cause = "Another installation moves the files of the same repository, or did until its ledger was lost."


class RestoredLedger(TransferError):
    code, name, cure, reach = "E-4005", "restored-ledger", Cure.PERSON, Reach.ENDPOINT
    remedy = "This ledger is older than what Alyx has seen of it: run alyx-transfer recover --why TEXT."
    cause = "The ledger's database was restored from a backup."


class ConfigProblems(TransferError):
    """Every problem of a config at once, one line each."""

    code, name, cure, reach = "E-4006", "config-problems", Cure.PERSON, Reach.ENDPOINT
    remedy = "Correct the config; docs/configuration.md has a complete example."
    cause = "Keys are missing, misspelt or have values that cannot be."

    def __init__(self, problems: list[str], *, to: object = "") -> None:
        self.problems = problems
        super().__init__("the config cannot be used: " + "; ".join(problems), to=to)


class BrokerUnreachable(TransferError):
    code, name, cure, reach = "E-4007", "broker-unreachable", Cure.TIME, Reach.ENDPOINT
    remedy = "Start the broker or correct broker.url; nothing is lost meanwhile."
    cause = "The broker is down, or its address is wrong."


class BrokerRefused(BrokerUnreachable):
    code, name, cure, reach = "E-4013", "broker-refused", Cure.PERSON, Reach.ENDPOINT
    remedy = "Correct broker.password_file or the password in broker.url; nothing is lost meanwhile."
    cause = "The broker answers and does not take our password."


class NothingFound(TransferError):
    code, name, cure, reach = "E-4008", "nothing-found", Cure.PERSON, Reach.FILE
    remedy = "Check the name; `alyx-transfer status` lists what the ledger knows."
    cause = "The name is misspelt, or the ledger has not seen it yet."


class Unexpected(TransferError):
    """A failure of ours: the traceback is in the log."""

    code, name, cure, reach = "E-4009", "unexpected", Cure.PERSON, Reach.BATCH
    remedy = "This is a defect of alyx-transfer: report it with the worker's log, then release."
    cause = "The program met a case that its authors did not think of."


class LedgerDiskFull(TransferError):
    code, name, cure, reach = "E-4010", "ledger-disk-full", Cure.TIME, Reach.ENDPOINT
    remedy = "Free space where the ledger is; work goes on by itself."
    cause = "The disk that holds the ledger is nearly full."


class HashCommandLies(TransferError):
    """No failure of a transfer: the incident of a store whose own hashes are no longer believed."""

    code, name, cure, reach = "E-4011", "hash-command-lies", Cure.PERSON, Reach.ENDPOINT
    remedy = "Repair the hash command on the server, then resume the store; until then files are read back."
    cause = "The server's hash command answered for other bytes than those it gives when they are read."


# ---- who may use the dashboard -----------------------------------------------------------------------------


class NotLoggedIn(TransferError):
    code, name, cure, reach = "E-5001", "not-logged-in", Cure.PERSON, Reach.FILE
    remedy = "Log in, or send a token that was made with alyx-transfer token."
    cause = "Nobody has logged in, the login has expired or was ended, or the token is not known any more."


class NotAllowed(TransferError):
    code, name, cure, reach = "E-5002", "not-allowed", Cure.PERSON, Reach.FILE
    remedy = "Ask an administrator of the dashboard for the role that this needs."
    cause = "The lists of roles in the dashboard's config do not name this account for it."


class RequestForged(TransferError):
    code, name, cure, reach = "E-5003", "request-forged", Cure.PERSON, Reach.FILE
    remedy = "Reload the page and try again; programs send JSON, or a token."
    cause = "The page was open since before the last login, or another web page sent it."


class PersonRefused(TransferError):
    code, name, cure, reach = "E-5004", "login-not-accepted", Cure.PERSON, Reach.FILE
    remedy = "Try again with the name and password that you use in Alyx."
    cause = "A typing error, or the account was disabled in Alyx."


class LoginThrottled(TransferError):
    code, name, cure, reach = "E-5005", "login-throttled", Cure.TIME, Reach.FILE
    remedy = "Wait as long as the answer says, then try again."
    cause = "Several logins failed, from this address or with this name."


class HostUnknown(TransferError):
    code, name, cure, reach = "E-5006", "host-unknown", Cure.PERSON, Reach.FILE
    remedy = "Use the dashboard's own address, or add the name to names in [dashboard]."
    cause = "The dashboard was asked by a name that its config does not know."


class CannotListen(TransferError):
    code, name, cure, reach = "E-5007", "cannot-listen", Cure.PERSON, Reach.ENDPOINT
    remedy = "Choose another --port or --host, or stop the program that has it."
    cause = "Another program, or another dashboard, has the port, or the address is not this machine's."


# ---- the dashboard's API, and who asks it from elsewhere ---------------------------------------------------


class RequestMalformed(TransferError):
    """`problems` has a line for each thing that is wrong with the request."""

    code, name, cure, reach = "E-5010", "request-malformed", Cure.PERSON, Reach.FILE
    remedy = "Correct the request; docs/api.md says what each operation takes."
    cause = "A parameter or the body is missing, misspelt or has a value that cannot be."

    def __init__(self, problems: list[str], *, to: object = "") -> None:
        self.problems = [masked(one) for one in problems]
        super().__init__("the request cannot be understood: " + "; ".join(problems), to=to)


class AddressUnknown(TransferError):
    code, name, cure, reach = "E-5011", "address-unknown", Cure.PERSON, Reach.FILE
    remedy = "Correct the address or the method; docs/api.md lists every operation."
    cause = "The address is misspelt, or takes another method."


class ActionUnfitting(TransferError):
    code, name, cure, reach = "E-5012", "action-unfitting", Cure.PERSON, Reach.FILE
    remedy = "Name a thing that the action is for; docs/commands.md says which."
    cause = "Not every action is for every kind of thing: an endpoint is paused, not cancelled."


class ServerUnsafe(TransferError):
    code, name, cure, reach = "E-5013", "server-unsafe", Cure.PERSON, Reach.ENDPOINT
    remedy = "Begin the dashboard's address with https; plain http is for this machine itself."
    cause = "A token would go over the network in clear, or the address is none."


class ServerUnreachable(TransferError):
    code, name, cure, reach = "E-5014", "server-unreachable", Cure.TIME, Reach.ENDPOINT
    remedy = "Check the address and that the dashboard runs there."
    cause = "The dashboard does not run, its host is down, or the network is."


class ServerStrange(TransferError):
    code, name, cure, reach = "E-5015", "server-strange", Cure.PERSON, Reach.ENDPOINT
    remedy = "Correct the address, or use the version of alyx-transfer that runs there."
    cause = "Something else answers at that address, a proxy stands in between, or the versions differ."


# ---- notices -----------------------------------------------------------------------------------------------


class NoticeTargetsWrong(TransferError):
    code, name, cure, reach = "E-5020", "notice-targets-wrong", Cure.PERSON, Reach.ENDPOINT
    remedy = "Correct that line of the file; docs/notices.md shows how it is written."
    cause = "The file that says whom to tell cannot be read, or a line of it is no address."


class NoticeNotSent(TransferError):
    code, name, cure, reach = "E-5021", "notice-not-sent", Cure.TIME, Reach.ENDPOINT
    remedy = "Try it: alyx-transfer notify test. What was to be told is told when it works again."
    cause = "The mail server or messenger is away, or refuses what the address says."


class PipelineUnreachable(TransferError):
    code, name, cure, reach = "E-5030", "pipeline-unreachable", Cure.PERSON, Reach.ENDPOINT
    remedy = (
        "Check DataJoint's own settings (DJ_HOST, DJ_USER, DJ_PASS, DJ_BACKEND) and the rights of its user."
    )
    cause = "DataJoint is not installed, its database does not answer, or its user may not make the schema."


def _kinds(root: type[TransferError]) -> Iterator[type[TransferError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _kinds(kind)


CATALOGUE: dict[str, type[TransferError]] = {kind.code: kind for kind in _kinds(TransferError)}


BY_NAME: dict[str, type[TransferError]] = {kind.name: kind for kind in CATALOGUE.values()}
"""The catalogue by name: a hold is written down as the name of its error."""
