"""The cost of releasing a minute of 1080p, its effect on the recorder, and the upload speed.

The process is the daemon's own (`python -m device.release`); seconds, seconds of processor and the largest
resident memory are the kernel's figures of it. The recorder is a complete doorbelld that records while a
release is encoded. The upload is the courier's, alternating with curl to the same tus server, in a network namespace.
"""

import hashlib
import itertools
import os
import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pyrage

from device.consent.documents import Offer
from device.release.job import PARCEL, Job
from tests.support.courier import CourierHarness
from tests.support.neighbourhood import NeighbourhoodDoorbell
from tests.support.network_namespace import STORE_ADDRESS, Island, NoIsland
from tests.support.stores import HOST, NoStore, Store

TRIES = 3
TITLE = "release: a minute of 1080p at 15 pictures a second"
SECONDS, FPS, WIDTH_PX, HEIGHT_PX, BITRATE = 60, 15, 1920, 1080, 4_000_000
US = 1_000_000
PARCEL_BYTES = 200_000_000
SCENE: dict[str, Any] = {
    "kind": "scene",
    "scene": {"width_px": 1280, "height_px": 720, "fps": 15, "visitor_presses": False, "visit_every_s": 3600},
}
MASK = [[100_000, 100_000], [400_000, 100_000], [400_000, 500_000], [100_000, 500_000]]
FILMED_S = 25.0


def a_minute(path: Path) -> str:
    """Film a minute of something that moves, with a camera's noise; return its SHA-256."""
    dice = np.random.default_rng(1)
    noise = [dice.integers(-6, 7, (HEIGHT_PX, WIDTH_PX), np.int16) for _ in range(8)]
    ground = np.add.outer(np.linspace(40, 160, HEIGHT_PX), np.linspace(0, 60, WIDTH_PX)).astype(np.int16)
    with av.open(str(path), "w", format="mp4") as file:
        stream: Any = file.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.bit_rate, stream.gop_size = BITRATE, 2 * FPS
        stream.options = {"preset": "veryfast", "bf": "0", "maxrate": str(BITRATE), "bufsize": str(BITRATE)}
        for number in range(SECONDS * FPS):
            picture = ground + noise[number % len(noise)]
            x = number * 9 % (WIDTH_PX - 300)
            picture[300:800, x : x + 200] += 70
            grey = np.clip(picture, 0, 255).astype(np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
        file.mux(stream.encode())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def measure(tries: int) -> dict[str, Any]:
    """Measure all of it."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        clip = folder / "minute.mp4"
        digest = a_minute(clip)
        rows: dict[str, list[tuple[float, float, float]]] = {"encoded": [], "blurred": []}
        for _ in range(tries):
            for kind, found in rows.items():
                found.append(released(folder, clip, digest, kind))
        return {
            "tries": tries,
            "clip_mb": clip.stat().st_size / 1e6,
            "rows": {
                kind: {
                    "seconds": statistics.median(run[0] for run in found),
                    "processor_s": statistics.median(run[1] for run in found),
                    "rss_mb": max(run[2] for run in found),
                }
                for kind, found in rows.items()
            },
            "recorder": recorder(folder),
            "carried": carried(folder, max(3, tries)),
        }


def released(folder: Path, clip: Path, digest: str, kind: str) -> tuple[float, float, float]:
    """Release the minute in a process of its own; return seconds, processor seconds and MB."""
    work = Path(tempfile.mkdtemp(dir=folder))
    (work / "one.mp4").hardlink_to(clip)
    whole = {
        "id": "one",
        "sha256": digest,
        "clock": "synchronised",
        "start": "2026-11-25T22:00:00.000000Z",
        "end": "2026-11-25T22:01:00.000000Z",
        "first_us": 0,
        "last_us": SECONDS * US,
        "frames": SECONDS * FPS,
        "blur": [MASK] if kind == "blurred" else [],
    }
    offer = {
        "request": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "request_sha256": "0" * 64,
        "window": {"start": "2026-11-25T21:00:00Z", "end": "2026-11-25T23:00:00Z"},
        "recipient": {"name": "evidence", "age": str(pyrage.x25519.Identity.generate().to_public())},
        "audio": False,
        "masks": [],
        "clips": [whole],
    }
    job = Job(
        folder=work,
        offer=cast("Offer", offer),
        offer_hash="0" * 64,
        seed=bytes(32),
        version="0",
        canaries=("Anna's door",),
        home=(48.8584, 2.2945),
    )
    began_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "device.release"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin  # noqa: S101
    assert process.stdout  # noqa: S101
    process.stdin.write(job.text())
    process.stdin.close()
    last_line, most_mb = "", 0.0
    for line in process.stdout:  # several a second
        last_line, most_mb = line, max(most_mb, _resident_mb(process.pid))
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    if status or not (work / PARCEL).exists():
        raise SystemExit(f"bench release: {last_line[-300:]}")
    return time.monotonic() - began_s, used.ru_utime + used.ru_stime, most_mb


def _resident_mb(pid: int) -> float:
    """Return the most that a process has had in memory; its own, not what it was started from."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return 0.0


def recorder(folder: Path) -> dict[str, Any]:
    """Film while a release encodes; return how many pictures the recorder lost of how many."""
    doorbell = NeighbourhoodDoorbell(
        folder / "bell", 18_830, camera=SCENE, mqtt={"enabled": False}, clips={"post_roll_s": FILMED_S}
    )
    doorbell.start()
    try:
        doorbell.run("record")
        time.sleep(4)
        with tempfile.TemporaryDirectory() as directory:
            clip = Path(directory) / "minute.mp4"
            digest = a_minute(clip)
            began_s = time.monotonic()
            encodes = 0
            while time.monotonic() - began_s < FILMED_S - 8:
                released(Path(directory), clip, digest, "blurred")
                encodes += 1
        clips = doorbell.clips(1)
        status = doorbell.status()
        with av.open(clips[0]["file"]) as file:
            timed = [packet for packet in file.demux(video=0) if packet.pts is not None]
            times = sorted(float((packet.pts or 0) * packet.time_base) for packet in timed)
        gaps = [round((after - before) * 15) - 1 for before, after in itertools.pairwise(times)]
        return {
            "encodes": encodes,
            "pictures": len(times),
            "lost_packets": clips[0]["lost_packets"],
            "missing": sum(gap for gap in gaps if gap > 0),
            "motion_drops": status.get("camera_drops", 0),
        }
    finally:
        doorbell.stop_both()


def carried(folder: Path, pairs: int) -> dict[str, Any]:
    """Carry a parcel with the courier and with curl, in turn; return MB a second and the ratio."""
    try:
        with (
            Island(folder / "island", {HOST: STORE_ADDRESS}) as island,
            Store(folder / "store", island) as store,
        ):
            box = CourierHarness(folder / "box", island, store.ca)
            box.limits()
            box.start()
            time.sleep(2)
            found = [(by_courier(box, store), by_curl(folder, island, store)) for _ in range(pairs)]
            box.close()
    except (NoIsland, NoStore) as error:
        return {"missing": str(error)}
    return {
        "pairs": pairs,
        "courier_mb_s": statistics.median(PARCEL_BYTES / 1e6 / pair[0] for pair in found),
        "curl_mb_s": statistics.median(PARCEL_BYTES / 1e6 / pair[1] for pair in found),
        "ratio": statistics.median(pair[1] / pair[0] for pair in found),
    }


def by_courier(box: CourierHarness, store: Store) -> float:
    """Return the seconds from the first byte in the store to the receipt."""
    digest = box.parcel(store.origin, PARCEL_BYTES)
    while not (report := box.report(digest)) or not report.place:
        time.sleep(0.002)
    began_s = time.monotonic()
    while True:
        report = box.report(digest)
        if report and report.state == "stored":
            break
        time.sleep(0.002)
    took_s = time.monotonic() - began_s
    box.withdraw(digest)
    (store.files / report.place.rsplit("/", 1)[1]).unlink()
    return took_s


def by_curl(folder: Path, island: Island, store: Store) -> float:
    """Return the seconds that curl takes for the same: one PATCH of all of it."""
    content = folder / "curl"
    content.write_bytes(secrets.token_bytes(PARCEL_BYTES))
    tus = ("-H", "Tus-Resumable: 1.0.0", "--cacert", store.ca)
    created = island.run(
        "curl",
        "-sS",
        "-i",
        "-X",
        "POST",
        *tus,
        "-H",
        f"Upload-Length: {PARCEL_BYTES}",
        f"{store.origin}/parcels",
    )
    location = re.search(r"(?im)^location: *(\S+)", created.stdout)
    if location is None:
        raise SystemExit(f"bench release: curl: {created.stdout}{created.stderr}")
    kind = ("-H", "Content-Type: application/offset+octet-stream", "-H", "Upload-Offset: 0")
    began_s = time.monotonic()
    done = island.run(
        "curl", "-sS", "-f", "-X", "PATCH", *tus, *kind, "-T", content, f"{store.origin}{location[1]}"
    )
    took_s = time.monotonic() - began_s
    if done.returncode:
        raise SystemExit(f"bench release: curl: {done.stderr}")
    (store.files / location[1].rsplit("/", 1)[1]).unlink()
    content.unlink()
    return took_s


def table(result: dict[str, Any]) -> list[str]:
    """Return the figures as lines."""
    lines = [f"a clip of {result['clip_mb']:.0f} MB", f"{'':<10}{'seconds':>9}{'processor':>11}{'memory':>9}"]
    for kind, row in result["rows"].items():
        lines.append(
            f"{kind:<10}{row['seconds']:>7.1f} s{row['processor_s']:>9.1f} s{row['rss_mb']:>6.0f} MB"
        )
    row = result["recorder"]
    lines.append(
        f"the recorder, beside {row['encodes']} encodings: {row['missing']} of {row['pictures']} pictures "
        f"missing, {row['lost_packets']} packets lost (aim 0)"
    )
    row = result["carried"]
    if "missing" in row:
        return [*lines, f"not carried: {row['missing']}"]
    lines.append(
        f"carried: courier {row['courier_mb_s']:.0f} MB/s, curl {row['curl_mb_s']:.0f} MB/s, "
        f"{row['ratio']:.2f} times curl in {row['pairs']} pairs (aim 0.8)"
    )
    return lines
