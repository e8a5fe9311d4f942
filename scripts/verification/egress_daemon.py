"""The half of doorbelld that decides what may leave, as a process that `scripts/prove egress` kills and asks.

The consent service, its ledger, leases and workers are the product's; only the parcel's content is random bytes, and
the wall clock is one that moves when it is told to. It takes orders on its standard input, one a line.
"""

import hashlib
import json
import secrets
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from device.consent.documents import Parcel
from device.consent_service.release_protocol import Failed, Made, Progress
from tests.support import envelopes
from tests.support.consent import ID, ConsentHarness

BACKUP = "own"


class RandomParcel:
    """A parcel of random bytes, made at once."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes

    def poll(self) -> Progress | Made | Failed:
        """Return the parcel."""
        content = secrets.token_bytes(self._size_bytes)
        self._path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        parcel: Parcel = {"sha256": digest, "bytes": len(content), "key": "k", "clips": []}
        return Made(parcel=parcel, path=self._path)

    def stop(self) -> None:
        """There is nothing to stop."""


class RandomBackend:
    """Makes such parcels."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes

    def begin(
        self, folder: Path, _offer: Mapping[str, Any], _offer_hash: str, **_how: object
    ) -> RandomParcel:
        """Begin."""
        return RandomParcel(self.sealed(folder), self._size_bytes)

    def sealed(self, folder: Path) -> Path:
        """Return a parcel's path."""
        return folder / "parcel.age"


def main() -> None:
    """Send what the order of `FOLDER/order.json` says, until standard input ends."""
    folder = Path(sys.argv[1])
    order = json.loads((folder / "order.json").read_text())
    bell = ConsentHarness(
        folder, RandomBackend(order["size_bytes"]), lease_s=order["lease_s"], upload_kbps=order["kbps"]
    )
    service = bell.consent_service
    never = threading.Event()

    class Forever:
        stopping = never

        def beat(self) -> None: ...

    worker: Any = Forever()
    for work in (service.lease_keeper.run, service.release_worker.run, service.backup_worker.run):
        threading.Thread(target=work, args=(worker,), daemon=True).start()
    if not service.senders():
        if order["target"]:
            clip = folder / "clip.mp4"
            clip.write_bytes(secrets.token_bytes(order["size_bytes"]))
            bell.backups.files["one"] = clip
            service.add_destination({"name": BACKUP, **order["target"]}, order["secret"])
        else:
            envelopes.RECORD_PAYLOAD["uploads"] = [order["upload"]]
            bell.pin()
            bell.hear(("request", envelopes.request()))
            service.approve(ID, service.request(ID)["offer_hash"])
    bell.step()  # writes the courier's settings
    print("ready", flush=True)
    for line in sys.stdin:
        match line.strip():
            case "withdraw":
                service.withdraw(ID)
            case "remove":
                service.remove_destination(BACKUP)
            case "clock back":
                bell.clock.wall_s -= 3_600
        print("done", flush=True)


if __name__ == "__main__":
    main()
