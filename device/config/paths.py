"""A configuration whose folders are all below one folder: for a doorbell that is not this machine's own.

One that leaves a folder out gets the system's, and with it the settings of the doorbell that is installed
there. A test holds the folders against the model.
"""

from pathlib import Path
from typing import Any


def config_below(state: Path, tables: dict[str, Any]) -> dict[str, Any]:
    """Return `tables` with every folder that they leave out below `state`, where `doorbell --state` looks."""
    folders: dict[str, dict[str, Any]] = {
        "device": {"state_dir": str(state / "state"), "runtime_dir": str(state / "run")},
        "neighbourhood": {"spool_dir": str(state / "spool"), "lease_dir": str(state / "leases")},
    }
    return {**tables, **{name: {**table, **tables.get(name, {})} for name, table in folders.items()}}
