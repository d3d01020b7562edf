"""The one place that chooses implementations.

Everything else in the program is given what it needs.  Heavy packages are imported when they are wired, not
before: `alyx-transfer --help` must not wait for SQLAlchemy or paramiko.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from config.secrets import Credential, read_password, read_token
from config.sections import Alyx, Settings, Web

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from config.queues import Duty
    from transfer.catalog.alyx import AlyxCatalog
    from transfer.catalog.base import Catalog
    from transfer.guest import Guest
    from transfer.ledger import Ledger
    from transfer.model import Lab
    from transfer.notifying import Notifier
    from transfer.planning import Limits
    from transfer.rounds import Rounds
    from transfer.runner import Runner
    from transfer.transports.base import Readable, StreamingTransport
    from transfer.transports.delegated import DelegatedTransport
    from transfer.transports.http.line import Login
    from transfer.transports.http.transport import HttpTransport


def credential(alyx: Alyx) -> Credential:
    """Who we are for Alyx.  Raises `CatalogLoginRefused` when the file with the secret cannot be used."""
    if alyx.password_file is not None:
        return read_password(alyx.password_file, user=alyx.user)
    if alyx.token_file is not None:
        return read_token(alyx.token_file, user=alyx.user)
    return Credential(user=alyx.user, password=alyx.password)


def catalog(settings: Settings) -> "AlyxCatalog":
    """A client for Alyx; the caller closes it.  Nothing is asked yet."""
    from transfer.catalog.alyx import AlyxCatalog

    who = credential(settings.alyx)
    return AlyxCatalog(
        settings.alyx.url,
        user=who.user,
        password=who.password.get_secret_value() if who.password else None,
        token=who.token.get_secret_value() if who.token else None,
        requests_per_minute=settings.alyx.requests_per_minute,
    )


def transport(settings: Settings, store: str) -> "StreamingTransport | DelegatedTransport":
    """The way to a store of the config; where bytes flow through us it connects again by itself.

    It is a context manager: entering connects, leaving closes.
    """
    from transfer.transports.delegated import DelegatedTransport
    from transfer.transports.registry import open_transport
    from transfer.transports.wrappers import Reconnecting

    chosen = settings.stores[store]
    made = open_transport(chosen.transport, chosen.options)
    if isinstance(made, DelegatedTransport):
        return made

    def again() -> "StreamingTransport":
        opened = open_transport(chosen.transport, chosen.options)
        assert not isinstance(opened, DelegatedTransport)
        return opened

    return Reconnecting(again)


def limits(settings: Settings, store: str) -> "Limits":
    """How large a batch for this store may be: what its options say, else what the journey's do."""
    from transfer.transports.registry import limits_of

    chosen = settings.stores[store]
    return limits_of(chosen.transport, chosen.options) or settings.journey.limits


def can_read(settings: Settings, store: str) -> bool:
    """Whether the config's own way to a store can read it: there is one, and it is no mover that we only ask."""
    from transfer.transports.delegated import DelegatedTransport
    from transfer.transports.registry import open_transport

    chosen = settings.stores.get(store)
    if chosen is None:
        return False
    return not isinstance(open_transport(chosen.transport, chosen.options), DelegatedTransport)


def web(settings: Settings, catalog: "Catalog", store: str) -> "HttpTransport | None":
    """The way its readers have to a store, not yet entered; None where Alyx has no data_url for it.

    Raises `UnknownInCatalog`, `CatalogRefused` for a data_url that is no address, `LoginRefused`.
    """
    from transfer.transports.http.transport import HttpTransport

    data_url = catalog.repository(store).data_url
    if data_url is None:
        return None
    told = settings.web
    return HttpTransport(
        data_url,
        login=web_login(told),
        connections=told.connections,
        timeout=told.timeout_seconds,
        ca_file=told.ca_file,
    )


def web_login(told: Web) -> "Login | None":
    """Who we are for the data server.  Raises `LoginRefused` when the file with the secret cannot be used."""
    from transfer.errors import CatalogLoginRefused, LoginRefused
    from transfer.transports.http.transport import login

    if told.server is None or told.user is None:
        return None
    secret = told.password
    if told.password_file is not None:
        try:
            secret = read_password(told.password_file, user=told.user).password
        except CatalogLoginRefused as error:
            do = "Write the data server's password into it, or correct web.password_file."
            raise LoginRefused(error.what, to=told.password_file, do=do) from error
    assert secret is not None, "the section's check lets no user without password through"
    return login(told.server, told.user, secret.get_secret_value())


def reader(
    settings: Settings, catalog: "Catalog", store: str, *, via_web: bool
) -> "AbstractContextManager[Readable]":
    """A way to read a store: by its own transport, or as its readers do.

    Raises `CatalogRefused` when Alyx has no data_url for it, and what `web` raises.
    """
    if not via_web:
        return _own_reader(settings, store)
    found = web(settings, catalog, store)
    if found is None:
        from transfer.errors import CatalogRefused

        do = "Set data_url in Alyx's admin page, or read the store by its own transport."
        raise CatalogRefused("the repository has no data_url: it cannot be read over HTTP", to=store, do=do)
    return found


def _own_reader(settings: Settings, store: str) -> "AbstractContextManager[Readable]":
    from transfer.transports.delegated import DelegatedTransport

    own = transport(settings, store)
    assert not isinstance(own, DelegatedTransport), f"{store} can only be read over HTTP"
    return own


def ledger(settings: Settings) -> "Ledger":
    """The ledger, made or migrated if need be."""
    from transfer.ledger import open_ledger

    return open_ledger(settings.ledger.url, room=int(settings.ledger.min_free))


def lab(settings: Settings, name: str) -> "Lab":
    """A lab of the config as the library knows it."""
    from transfer.model import Lab

    told = settings.labs[name]
    return Lab(
        name=name,
        repository=told.repository,
        root=told.root,
        store=told.store,
        work=told.work,
        incumbent=told.incumbent,
        flag=told.flag if told.complete == "flag" else None,
        quiet=timedelta(minutes=told.quiet_minutes),
    )


def labs(settings: Settings, duty: "Duty | None" = None) -> "list[Lab]":
    """The labs of the config that a process with this duty must know: the central one knows all."""
    wanted = settings.labs if duty is None or duty.central else duty.labs
    return [lab(settings, name) for name in wanted]


def guest(settings: Settings, ledger: "Ledger", duty: "Duty | None" = None) -> "Guest":
    """The manners of this process on the machines of its labs.

    What keeps another machine's lab quiet, its own worker sees and tells the ledger, which every claim asks.
    """
    from transfer.bandwidth import Plan
    from transfer.guest import Guest, Manners
    from transfer.recording import Flag

    def manners(name: str) -> Manners:
        lab, told = settings.labs[name], settings.labs[name].guest
        stale = timedelta(hours=told.recording_stale_hours)
        return Manners(
            plan=Plan(timetable=told.timetable, while_recording=told.recording_rate),
            flag=Flag(root=lab.root, pattern=told.recording, stale_after=stale) if told.recording else None,
            processes=told.processes,
        )

    here = settings.labs if duty is None else duty.labs
    return Guest(ledger, {settings.labs[name].repository: manners(name) for name in here})


def niceness(settings: Settings) -> int:
    """How far this process steps back: a process has one niceness, so that the politest of its labs' holds."""
    return max((lab.guest.nice for lab in settings.labs.values()), default=0)


def runner(
    settings: Settings,
    *,
    ledger: "Ledger",
    catalog: "Catalog",
    duty: "Duty | None" = None,
    hands: int = 1,
    on_moved: Callable[[int], None] | None = None,
) -> "Runner":
    """The loop that advances sessions and batches.  `on_moved` sees the bytes as they move.

    `duty` is what this process takes, None is everything; `hands` do as many pieces of work at once.
    """
    from transfer.catalog.types import KnownTypes
    from transfer.keeping import Keeper
    from transfer.runner import Runner
    from transfer.transports.registry import is_delegated

    return Runner(
        keeper=Keeper(partial(transport, settings)),
        ledger=ledger,
        catalog=catalog,
        labs=labs(settings, duty),
        hands=hands,
        disks=None if duty is None else duty.labs,
        follows=duty is None or duty.central,
        movers=[name for name, store in settings.stores.items() if is_delegated(store.transport)],
        transports={name: store.transport for name, store in settings.stores.items()},
        open_transport=partial(transport, settings),
        open_reader=partial(web, settings, catalog),
        types=KnownTypes(catalog),
        limits=settings.journey.limits,
        limits_of={name: limits(settings, name) for name in settings.stores},
        patience=settings.journey.patience,
        lease_seconds=settings.journey.lease_seconds,
        on_moved=on_moved,
        guest=guest(settings, ledger, duty),
    )


def rounds(settings: Settings, runner: "Runner") -> "Rounds":
    """The regular rounds of this installation."""
    from transfer.rounds import Rounds, Sample

    return Rounds(
        runner=runner,
        version=version(),
        tidy_age=timedelta(hours=settings.schedule.tidy_age_hours),
        sample=Sample(
            files=settings.schedule.proof_files,
            web=partial(readers_way, settings, runner.catalog),
            own=partial(own_way, settings),
        ),
        notifier=notifier(settings),
    )


def notifier(settings: Settings) -> "Notifier | None":
    """Who is told what needs a person, and when; None where there is no file that says whom."""
    if settings.notices.targets_file is None:
        return None
    from config.messenger import messenger
    from config.notices import rules
    from transfer.notifying import Notifier

    return Notifier(
        messenger=partial(messenger, settings.notices.targets_file),
        rules=rules(settings.notices),
        old_after=timedelta(hours=settings.notices.old_hours),
    )


def readers_way(
    settings: Settings, catalog: "Catalog", store: str
) -> "Callable[[], AbstractContextManager[Readable]] | None":
    """How a store's readers read it; None where Alyx has no data_url for it.  Raises as `web`."""
    found = web(settings, catalog, store)
    return None if found is None else lambda: found


def own_way(settings: Settings, store: str) -> "Callable[[], AbstractContextManager[Readable]] | None":
    """How we read a store ourselves; None where our transport cannot."""
    return partial(_own_reader, settings, store) if can_read(settings, store) else None


def version() -> str:
    """The program's version, as the package says."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("alyx-transfer")
    except PackageNotFoundError:
        return "0+sources"
