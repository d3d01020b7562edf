"""A name that no file can have: nothing stands there, and the files beside it are looked at all the same."""

from pathlib import PurePosixPath

from transfer.transports.base import StreamingTransport


def test_a_name_too_long_for_the_store_is_simply_not_there(
    transport: StreamingTransport, scratch: PurePosixPath
) -> None:
    """One such file must not keep its whole batch from being looked at."""
    names = [scratch / "a.npy", scratch / ("x" * 300), scratch / "b.npy"]
    assert list(transport.stat(names)) == [None, None, None]
