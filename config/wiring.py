"""The one place that chooses implementations.

Everything else in the program is given what it needs.  Heavy packages are imported when they are wired, not
before: `alyx-transfer --help` must not wait for SQLAlchemy or paramiko.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from config.secrets import Credential, read_password, read_token
from config.sections import Alyx, Settings

if TYPE_CHECKING:
    from transfer.catalog.base import Catalog
    from transfer.ledger import Ledger
    from transfer.model import Lab
    from transfer.rounds import Rounds
    from transfer.runner import Runner
    from transfer.transports.base import StreamingTransport


def credential(alyx: Alyx) -> Credential:
    """Who we are for Alyx.  Raises `CatalogLoginRefused` when the file with the secret cannot be used."""
    if alyx.password_file is not None:
        return read_password(alyx.password_file, user=alyx.user)
    if alyx.token_file is not None:
        return read_token(alyx.token_file, user=alyx.user)
    return Credential(user=alyx.user, password=alyx.password)


def catalog(settings: Settings) -> "Catalog":
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


def transport(settings: Settings, store: str) -> "StreamingTransport":
    """The way to a store of the config, which connects again by itself.

    It is a context manager: entering connects, leaving closes.
    """
    from transfer.transports.registry import open_transport
    from transfer.transports.wrappers import Reconnecting

    chosen = settings.stores[store]
    return Reconnecting(partial(open_transport, chosen.transport, chosen.options))


def ledger(settings: Settings) -> "Ledger":
    """The ledger, made or migrated if need be."""
    from transfer.ledger import open_ledger

    return open_ledger(settings.ledger.url)


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


def labs(settings: Settings) -> "list[Lab]":
    """Every lab of the config."""
    return [lab(settings, name) for name in settings.labs]


def runner(
    settings: Settings,
    *,
    ledger: "Ledger",
    catalog: "Catalog",
    on_moved: Callable[[int], None] | None = None,
) -> "Runner":
    """The loop that advances sessions and batches.  `on_moved` sees the bytes as they move."""
    from transfer.catalog.types import KnownTypes
    from transfer.runner import Runner

    return Runner(
        ledger=ledger,
        catalog=catalog,
        labs=labs(settings),
        transports={name: store.transport for name, store in settings.stores.items()},
        open_transport=partial(transport, settings),
        types=KnownTypes(catalog),
        limits=settings.journey.limits,
        patience=settings.journey.patience,
        lease_seconds=settings.journey.lease_seconds,
        on_moved=on_moved,
    )


def rounds(settings: Settings, runner: "Runner") -> "Rounds":
    """The regular rounds of this installation."""
    from transfer.rounds import Rounds

    return Rounds(
        runner=runner, version=version(), tidy_age=timedelta(hours=settings.schedule.tidy_age_hours)
    )


def version() -> str:
    """The program's version, as the package says."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("alyx-transfer")
    except PackageNotFoundError:
        return "0+sources"
