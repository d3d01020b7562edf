"""What `alyx-transfer doctor` looks at, one small function each, in a table.

A check returns a sentence when all is well, raises `TransferError` for a problem (its message says what to
do), and may raise `Note` for something worth knowing that is no problem.  Checks write nothing but the
probe files at a store, which they remove again, and the ledger, which is made if there is none.
"""

import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from cli.bench import Bench, Check, Note
from cli.store_checks import STORE_CHECKS, compared
from cli.worker_checks import WORKER_CHECKS
from config import doorbell, wiring
from config.certificates import unusable
from transfer.errors import (
    CatalogRefused,
    RigRecording,
    SourceRootMissing,
    SourceUnreadable,
    Unexpected,
    UnknownInCatalog,
)

# ---- this installation ----------------------------------------------------------------------------


def packages(_bench: Bench | None = None, _subject: str = "") -> str:
    """Our top-level names are plain: another package of the same name may stand before ours."""
    import config
    import transfer

    ours = Path(__file__).resolve().parent.parent
    strangers = [
        f"{package.__name__} ({package.__file__})"
        for package in (config, transfer)
        if Path(package.__file__ or "").resolve().parent.parent != ours
    ]
    if strangers:
        raise Unexpected(
            "another package has our name",
            to=", ".join(strangers),
            do="Install alyx-transfer into an environment of its own (uv tool, pipx or a venv).",
        )
    return f"the program in {ours} is the one that runs"


def ledger(bench: Bench, _subject: str) -> str:
    opened = wiring.ledger(bench.settings)
    try:
        uuid, epoch = opened.identity()
    finally:
        opened.engine.dispose()
    return f"{bench.settings.ledger.shown} is ledger {uuid}, epoch {epoch}, its schema is current"


def ledger_room(bench: Bench, _subject: str) -> str:
    from cli.output import size
    from transfer.ledger.engine import free_bytes

    opened = wiring.ledger(bench.settings)
    try:
        opened.ensure_room()
        free = free_bytes(opened.engine)
    finally:
        opened.engine.dispose()
    return "a database server's affair" if free is None else f"{size(free)} are free where the ledger is"


def ledger_rows(bench: Bench, _subject: str) -> str:
    from transfer.ledger import sanity

    opened = wiring.ledger(bench.settings)
    try:
        odd = sanity.find(opened)
    finally:
        opened.engine.dispose()
    if odd:
        some = "; ".join(one.sentence for one in odd[:3])
        raise Note(f"{len(odd)} rows have no owner ({some}): a worker mends them within the hour")
    return "every row that is not finished has a next step and a time, or a person's name on it"


def broker(bench: Bench, _subject: str) -> str:
    doorbell.reach(bench.settings.broker.url)
    return f"{bench.settings.broker.shown} answers"


def work(bench: Bench, _subject: str) -> str:
    if not bench.settings.labs or not bench.settings.stores:
        raise Note("the config names no lab or no store: there is nothing to move")
    return f"from {', '.join(bench.settings.labs)} to {', '.join(bench.settings.stores)}"


# ---- Alyx -----------------------------------------------------------------------------------------


def login(bench: Bench, _subject: str) -> str:
    return f"{bench.settings.alyx.url} knows us as {bench.catalog.check_login()}"


def clock(bench: Bench, _subject: str) -> str:
    return compared("Alyx", timedelta(seconds=bench.catalog.server_time_skew()))


def ledger_clock(bench: Bench, _subject: str) -> str:
    opened = wiring.ledger(bench.settings)
    try:
        return compared("the ledger's database", opened.moment() - datetime.now(UTC))
    finally:
        opened.engine.dispose()


def encrypted(bench: Bench, _subject: str) -> str:
    told = bench.settings
    urls = [told.alyx.url, *([told.web.server] if told.web.server and told.web.user else [])]
    clear = [url for url in urls if urlsplit(url).scheme == "http" and not _is_here(urlsplit(url).hostname)]
    if clear:
        raise Note(f"{' and '.join(clear)} not encrypted: the password can be read on the way; use https")
    return "the password does not leave this machine in clear"


def _is_here(host: str | None) -> bool:
    """Whether an address never leaves this machine; a name that only begins like one does."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def lab_repositories(bench: Bench, subject: str) -> str:
    lab = bench.lab(subject)
    known = bench.catalog.lab_repositories(subject)
    strangers = [name for name in (lab.repository, lab.store) if name not in known]
    if strangers:
        raise UnknownInCatalog(
            f"{' and '.join(strangers)} not among the lab's repositories ({', '.join(known) or 'none'})",
            to=f"lab {subject}",
            do="Add the repository to the lab in Alyx's admin page, or correct the config.",
        )
    return f"{lab.repository} and {lab.store} belong to the lab"


def lab_repository(bench: Bench, subject: str) -> str:
    lab = bench.lab(subject)
    found = bench.catalog.repository(lab.repository)
    if found.personal is not True:
        raise CatalogRefused(
            "the lab's own repository is not marked as personal",
            to=lab.repository,
            do="Set globus_is_personal in Alyx's admin page: else readers look for the lab's files there.",
        )
    if found.globus_path and PurePosixPath(found.globus_path) != PurePosixPath(lab.root.as_posix()):
        raise Note(
            f"Alyx says {found.globus_path}, the config says {lab.root}: both must mean the same folder"
        )
    return f"{lab.repository} is personal and its folder agrees"


def central_repository(bench: Bench, subject: str) -> str:
    found = bench.catalog.repository(subject)
    if found.personal is not False:
        raise CatalogRefused(
            "a central store must not be a personal repository",
            to=subject,
            do="Clear globus_is_personal in Alyx's admin page, or name the right repository.",
        )
    if not found.globus_path.endswith("/") or (found.data_url and not found.data_url.endswith("/")):
        raise CatalogRefused(
            "globus_path and data_url must end with a slash: Alyx only appends the file's path",
            to=subject,
            do="Correct the repository in Alyx's admin page.",
        )
    if not found.data_url:
        raise CatalogRefused(
            "the repository has no data_url: no reader can find what we put there",
            to=subject,
            do="Set data_url in Alyx's admin page.",
        )
    root = PurePosixPath(str(getattr(bench.store(subject).options, "root", "/")))
    tail = PurePosixPath(found.globus_path.strip("/")).parts
    if root.parts[len(root.parts) - len(tail) :] != tail:
        raise Note(f"Alyx says {found.globus_path}, the config says {root}: both must mean the same folder")
    return f"{found.globus_path} and {found.data_url} look right"


def ledger_owner(bench: Bench, subject: str) -> str:
    from transfer.agent import check_owner

    opened = wiring.ledger(bench.settings)
    try:
        check_owner(opened, bench.catalog, wiring.lab(bench.settings, subject))
    finally:
        opened.engine.dispose()
    return "no other ledger speaks for the lab's repository"


def work_source(bench: Bench, subject: str) -> str:
    lab = bench.lab(subject)
    tasks = bench.catalog.incumbent_tasks(subject)
    if lab.work == "disk" and tasks:
        raise CatalogRefused(
            f"Alyx has {tasks} ibllib tasks of this lab, whose pipeline registers the files itself",
            to=f"lab {subject}",
            do=f'Set work = "alyx" in [labs.{subject}]: files on disk are still renamed and compressed.',
        )
    return f'work = "{lab.work}" fits ({tasks} ibllib tasks)'


# ---- the lab's disk -------------------------------------------------------------------------------


def lab_root(bench: Bench, subject: str) -> str:
    root = bench.lab(subject).root
    if not root.is_dir():
        raise SourceRootMissing("the lab's folder is not there", to=root)
    try:
        subjects = sum(1 for entry in os.scandir(root) if entry.is_dir())
    except OSError as error:
        raise SourceUnreadable(
            "the lab's folder cannot be listed", to=root, do="Give this account the right to read it."
        ) from error
    if not subjects:
        raise Note(f"{root} holds no folder: is this the folder with the subjects?")
    return f"{root} holds folders of subjects: {subjects}"


def lab_guest(bench: Bench, subject: str) -> str:
    """What holds at the lab machine; a flag that stands for too long keeps everything back."""
    from cli.output import text
    from transfer.bandwidth import sentence

    opened = wiring.ledger(bench.settings)
    try:
        found = wiring.guest(bench.settings, opened).standing(bench.lab(subject).repository)
    finally:
        opened.engine.dispose()
    seen = found.recording
    if seen is not None and (seen.stale or seen.trouble):
        what = seen.trouble or f"the recording flag stands since {text(seen.since)}"
        raise RigRecording(what, to=seen.flag, do="If nothing records, remove it; nothing moves meanwhile.")
    if seen is not None:
        raise Note(sentence(found))
    return sentence(found)


def notified(bench: Bench, _subject: str) -> str:
    """Whom the notices reach; a target that failed last is a problem.  Nothing is sent."""
    from transfer.errors import NoticeNotSent
    from transfer.ledger import notices

    notifier = wiring.notifier(bench.settings)
    if notifier is None:
        raise Note("nobody is told what needs a person: [notices] names no targets_file")
    targets = {one.id: one for one in notifier.messenger().targets}
    unknown = sorted({lab for one in targets.values() for lab in one.labs} - set(bench.settings.labs))
    opened = wiring.ledger(bench.settings)
    try:
        failing = [one for one in notices.failing(opened) if one.target in targets]
    finally:
        opened.engine.dispose()
    if failing:
        one = failing[0]
        raise NoticeNotSent(f"{one.failures} messages in a row were not sent ({one.why})", to=one.name)
    if unknown:
        raise Note(f"the file of targets names labs that the config does not: {', '.join(unknown)}")
    return f"told what needs a person: {len(targets)} (alyx-transfer notify test tries them)"


def dashboard(bench: Bench, _subject: str) -> str:
    """What only its start would show otherwise."""
    told = bench.settings.dashboard
    if told.certificate_file is None or told.key_file is None:
        return "has no certificate of its own"
    found = unusable(told.certificate_file, told.key_file)
    if found is not None:
        raise Note(f"it would not start on this machine: {found}")
    return f"speaks TLS with {told.certificate_file}"


CHECKS = (
    Check("packages", "installation", packages),
    Check("work", "installation", work),
    Check("ledger", "installation", ledger),
    Check("ledger room", "installation", ledger_room),
    Check("ledger rows", "installation", ledger_rows, needs=("ledger",)),
    Check("ledger clock", "installation", ledger_clock, needs=("ledger",)),
    Check("broker", "installation", broker),
    Check("dashboard", "installation", dashboard),
    *WORKER_CHECKS,
    Check("notices", "installation", notified, needs=("ledger",)),
    Check("alyx login", "installation", login),
    Check("alyx clock", "installation", clock, needs=("alyx login",)),
    Check("alyx encrypted", "installation", encrypted),
    Check("lab folder", "lab", lab_root, at_the_disk=True),
    Check("lab in alyx", "lab", lab_repositories, needs=("alyx login",)),
    Check("lab repository", "lab", lab_repository, needs=("alyx login",)),
    Check("work source", "lab", work_source, needs=("alyx login", "lab in alyx")),
    Check("lab bandwidth", "lab", lab_guest, needs=("ledger",), at_the_disk=True),
    Check("ledger owner", "lab", ledger_owner, needs=("ledger", "alyx login", "lab repository")),
    Check("store in alyx", "store", central_repository, needs=("alyx login",)),
    *STORE_CHECKS,
)
