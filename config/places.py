"""Where an installation keeps its things on this machine, unless told otherwise.

Under the user's own folders as the operating system names them: the config, the ledger, and the state
(tracebacks of defects).  Nothing here creates a folder.
"""

from pathlib import Path

from platformdirs import PlatformDirs

_DIRS = PlatformDirs("alyx-transfer", appauthor=False)


def config_file() -> Path:
    """The config that is read when neither `--config` nor ALYX_TRANSFER_CONFIG names one."""
    return Path(_DIRS.user_config_dir) / "config.toml"


def ledger_file() -> Path:
    """The SQLite ledger of a config without `ledger.url`."""
    return Path(_DIRS.user_data_dir) / "ledger.sqlite"


def state_folder() -> Path:
    """Where the traceback of a defect is written."""
    return Path(_DIRS.user_state_dir)
