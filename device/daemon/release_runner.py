"""Starts the release process (device/release/) and gives it what it needs.

That is: links to the clips, the key seed of this device, and the texts that must not leave.
"""

import json
import os
import secrets
import socket  # egress: local
import subprocess  # egress: local
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from device import __version__
from device.consent.documents import Offer
from device.consent_service.release_protocol import Failed, Made, Previewed, Progress
from device.daemon.clip_access import ClipAccess
from device.daemon.wiring import Daemon
from device.errors import CommandError
from device.store.index import Index
from device.system.durable_files import write_durably

SECRET_BYTES = 32
SPARE_BYTES = 64_000_000
LAST_WORDS_S = 2.0
_SERIALS = (
    "/proc/device-tree/serial-number",
    "/sys/firmware/devicetree/base/serial-number",
    "/etc/machine-id",
    "/sys/class/dmi/id/product_uuid",
)


class ReleaseRunner:
    """Makes parcels in a child process."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def begin(
        self, folder: Path, offer: Offer, offer_hash: str, *, files: Sequence[str] = (), seal: bool = True
    ) -> "RunningRelease":
        """Link the clips and start the process. Raises CommandError, OSError."""
        from device.release.job import PARCEL, Job
        from device.release.manifest import release_seed  # loads cryptography

        clips = self._link(folder, offer)
        needed = 4 * sum(clips) + SPARE_BYTES
        disk = os.statvfs(folder)
        if disk.f_bavail * disk.f_frsize < needed:
            text = f"the card has no room: {needed // 1_000_000} MB are needed for a while"
            raise CommandError(text, code="no_room", needed_bytes=needed)
        home = self._daemon.config.neighbourhood
        job = Job(
            folder=folder,
            offer=offer,
            offer_hash=offer_hash,
            seed=release_seed(device_secret(self._daemon.layout.release_secret), offer["request"]),
            version=__version__,
            canaries=list(dict.fromkeys(self._canaries())),
            home=(home.latitude, home.longitude) if home.enabled else None,
            later_masks=ClipAccess(self._daemon).masks(clip["id"] for clip in offer["clips"]),
            seal=seal,
            files=files,
        )
        return RunningRelease(job.text(), folder / PARCEL)

    def sealed(self, folder: Path) -> Path:
        """Return the path of the parcel that was made in a folder."""
        from device.release.job import PARCEL

        return folder / PARCEL

    def _link(self, folder: Path, offer: Offer) -> list[int]:
        """Link the clips, so that none is lost or deleted meanwhile; return their sizes in bytes."""
        layout = self._daemon.layout
        index = Index(layout.index, read_only=True)
        try:
            sizes = []
            for clip in offer["clips"]:
                row = index.find(clip["id"])
                if row is None:
                    raise CommandError(
                        f"clip {clip['id']} was deleted before it could be sealed",
                        code="clip_gone",
                        id=clip["id"],
                    )
                link = folder / f"{clip['id']}.mp4"
                link.hardlink_to(layout.clips / row.file_name)
                sizes.append(link.stat().st_size)
            return sizes
        finally:
            index.close()

    def _canaries(self) -> Iterator[str]:
        """Yield the texts that identify this doorbell."""
        config = self._daemon.config
        yield from (config.device.id, config.device.name, socket.gethostname())
        yield from (config.mqtt.host, config.mqtt.username or "")
        for path in map(Path, _SERIALS):
            with suppress(OSError):
                yield path.read_text().strip("\0\n ")
        for address in Path("/sys/class/net").glob("*/address"):
            with suppress(OSError):
                mac = address.read_text().strip()
                if mac.strip("0:"):
                    yield mac
                    yield mac.replace(":", "")


class RunningRelease:
    """The child process of one release."""

    def __init__(self, job: str, parcel: Path) -> None:
        """Start it. Raises OSError."""
        self._parcel = parcel
        self._lines: deque[dict[str, Any]] = deque(maxlen=2)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "device.release"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(job,), name="release", daemon=True)
        self._reader.start()

    def _read(self, job: str) -> None:
        process = self._process
        assert process.stdin  # noqa: S101  (a pipe)
        assert process.stdout  # noqa: S101  (a pipe)
        with suppress(BrokenPipeError):
            process.stdin.write(job)
            process.stdin.close()
        for line in process.stdout:
            with suppress(ValueError):
                self._lines.append(json.loads(line))

    def poll(self) -> Progress | Made | Previewed | Failed:
        """Return its progress."""
        if self._process.poll() is None or self._reader.is_alive():
            line = self._lines[-1] if self._lines else {}
            return Progress(
                stage=str(line.get("stage", "beginning")),
                part=float(line.get("part", 0.0)),
                hot=bool(line.get("hot", False)),
            )
        line = self._lines[-1] if self._lines else {}
        if "parcel" in line and not self._process.returncode:
            return Made(parcel=line["parcel"], path=self._parcel)
        if "files" in line and not self._process.returncode:
            return Previewed(files=line["files"])
        status = self._process.returncode
        return Failed(why=str(line.get("failed", f"the process that seals ended with status {status}")))

    def stop(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait(LAST_WORDS_S)
        self._reader.join(LAST_WORDS_S)


def device_secret(path: Path) -> bytes:
    """Return the secret that release keys are derived from; it is made once. Raises OSError."""
    with suppress(OSError):
        kept = path.read_bytes()
        if len(kept) == SECRET_BYTES:
            return kept
    made = secrets.token_bytes(SECRET_BYTES)
    write_durably(path, made, mode=0o600)
    return made
