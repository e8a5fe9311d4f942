"""Upload a parcel to its store: real courier, real tus server, dishonest stores, in a network namespace.

Nothing here switches the courier's address check off: the namespace makes the addresses real.
"""

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from device.spool.leases import SEND_BYTES, LeaseReader, boottime_s, write_leases
from device.spool.parcels import UploadReport
from device.system.clock import boot_id
from server.dev_processes import Process, wait_for
from server.dev_server import make_certificates
from tests.courier import hostile_store
from tests.support import needs
from tests.support.courier import CourierHarness
from tests.support.network_namespace import STORE_ADDRESS, Island
from tests.support.stores import HOST, S3Store, Store
from tests.support.tampering import changed

pytestmark = [pytest.mark.namespace, pytest.mark.node]

OTHER_ADDRESS, V6_ADDRESS = "5.46.46.46", "2a0c:5a00::45"
PRIVATE = ("127.0.0.1", "10.1.2.3", "192.168.7.7", "169.254.1.1", "100.64.0.9", "fd00::5", "::1")
LYING = "lying.example"
ROOT = Path(__file__).parents[2]
NAMES = {
    HOST: STORE_ADDRESS,
    "bucket.example": STORE_ADDRESS,
    LYING: STORE_ADDRESS,
    "elsewhere.example": OTHER_ADDRESS,
    "six.example": V6_ADDRESS,
    **{f"private{number}.example": address for number, address in enumerate(PRIVATE)},
}


@pytest.fixture(scope="module")
def island(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Island]:
    with Island(tmp_path_factory.mktemp("island"), NAMES) as made:
        yield made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, island: Island) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("store"), island) as made:
        yield made


@pytest.fixture
def box(tmp_path: Path, island: Island, store: Store) -> Iterator[CourierHarness]:
    made = CourierHarness(tmp_path / "box", island, store.ca)
    yield made
    made.close()


def arrived(store: Store, report: UploadReport) -> str:
    return hashlib.sha256(store.parcels()[report.place.rsplit("/", 1)[1]].read_bytes()).hexdigest()


def in_store(store: Store, report: UploadReport) -> int | None:
    path = store.files / report.place.rsplit("/", 1)[1]
    return path.stat().st_size if path.exists() else None


def test_a_parcel_arrives_whole_and_the_receipt_is_bound_to_it(box: CourierHarness, store: Store) -> None:
    box.start()
    digest = box.parcel(store.origin, 20_000_001)
    report = box.ends(digest, "stored")
    assert arrived(store, report) == digest
    assert report.receipt is not None
    assert {name: report.receipt[name] for name in ("sha256", "size_bytes", "kind", "origin")} == {
        "sha256": digest,
        "size_bytes": 20_000_001,
        "kind": "tus",
        "origin": store.origin,
    }
    answer = report.receipt["said"]
    assert answer["upload-offset"] == "20000001"


def test_a_withdrawal_takes_effect_within_a_chunk_and_the_upload_is_deleted(
    box: CourierHarness, store: Store
) -> None:
    box.limits(kbps=16_000)
    box.start()
    digest = box.parcel(store.origin, 30_000_000)
    before = wait_for("some of it", lambda: sent(box, store, digest))
    box.withdraw(digest)
    report = box.ends(digest, "ended")
    assert "deleted" in report.why
    assert in_store(store, report) is None
    # Known exactly: what was handed to the network, not the segment that might have been.
    assert before <= report.left_bytes < 30_000_000
    assert report.left_bytes % SEND_BYTES == 0
    assert report.receipt is None


def sent(box: CourierHarness, store: Store, digest: str) -> int:
    report = box.report(digest)
    return (in_store(store, report) or 0) if report and report.place else 0


def test_a_killed_courier_resumes_at_the_store_s_offset(box: CourierHarness, store: Store) -> None:
    box.limits(kbps=40_000)
    box.start()
    digest = box.parcel(store.origin, 20_000_000)
    for _ in range(3):
        before = sent(box, store, digest)
        wait_for("more of it", lambda before=before: sent(box, store, digest) > before)  # type: ignore[misc]
        box.stop(signal.SIGKILL)
        box.start()
    report = box.ends(digest, "stored")
    assert arrived(store, report) == digest
    assert len([parcel for parcel in store.parcels() if parcel == report.place.rsplit("/", 1)[1]]) == 1


def test_a_courier_killed_at_a_withdrawal_has_the_store_forget_when_it_is_back(
    box: CourierHarness, store: Store
) -> None:
    box.limits(kbps=16_000)
    box.start()
    digest = box.parcel(store.origin, 30_000_000)
    before = wait_for("some of it", lambda: sent(box, store, digest))
    box.stop(signal.SIGKILL)
    box.withdraw(digest)
    box.start()
    report = box.ends(digest, "ended")
    assert in_store(store, report) is None
    # Not known exactly: what may have left was written down before it did.
    assert before <= report.left_bytes < 30_000_000


def test_an_outage_is_waited_out(box: CourierHarness, store: Store) -> None:
    box.limits(kbps=40_000)
    box.start()
    digest = box.parcel(store.origin, 20_000_000)
    wait_for("some of it", lambda: sent(box, store, digest))
    store.stop()
    wait_for("the courier's word", lambda: "evidence.example" in box.status())
    store.start()
    assert arrived(store, box.ends(digest, "stored")) == digest


def test_an_upload_pauses_without_a_lease_and_goes_on_at_its_offset(
    box: CourierHarness, store: Store
) -> None:
    box.limits(kbps=16_000)
    box.start()
    digest = box.parcel(store.origin, 12_000_000)
    wait_for("some of it", lambda: sent(box, store, digest))
    box.end_lease(digest)
    wait_for("the courier's word", lambda: box.status() == "waiting for doorbelld")
    paused = box.report(digest)
    assert paused is not None
    assert paused.state == "sending"
    assert 0 < (in_store(store, paused) or 0) <= paused.left_bytes < 12_000_000
    box.lease(digest)
    report = box.ends(digest, "stored")
    assert arrived(store, report) == digest


def test_without_a_lease_a_parcel_never_starts(box: CourierHarness, store: Store) -> None:
    box.start()
    waiting = box.parcel(store.origin, leased=False)
    box.ends(box.parcel(store.origin), "stored")
    box.ends(box.parcel(store.origin), "stored")
    assert box.report(waiting) is None


def test_a_lease_that_nobody_renews_ends_by_itself(box: CourierHarness, store: Store) -> None:
    box.limits(kbps=16_000)
    box.start()
    digest = box.parcel(store.origin, 60_000_000, leased=False)
    write_leases(box.folder / "leases", {digest: boottime_s() + 3})
    wait_for("some of it", lambda: sent(box, store, digest))
    wait_for("the courier's word", lambda: box.status() == "waiting for doorbelld")
    report = box.report(digest)
    assert report is not None
    assert 0 < report.left_bytes < 60_000_000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'{"boot": 1}',
        b'{"boot": "another", "ends_s": {"%s": 9e9}}',
        b'{"boot": "%b", "ends_s": {"%s": 9e9}}',  # a lease is short
        b'{"boot": "%b", "ends_s": {"%s": 1e999}}',
        b'{"boot": "%b", "ends_s": {"%s": "x"}}',
        b'{"boot": "%b", "ends_s": {"%s": 0}}',
        b"[" * 60_000,
    ],
)
def test_a_file_that_is_no_lease_covers_nothing(tmp_path: Path, content: bytes) -> None:
    digest = "a" * 64
    content = content.replace(b"%b", boot_id().encode()).replace(b"%s", digest.encode())
    (tmp_path / "leases.json").write_bytes(content)
    assert not LeaseReader(tmp_path).covers(digest)
    write_leases(tmp_path, {digest: boottime_s() + 5})
    assert LeaseReader(tmp_path).covers(digest)
    assert not LeaseReader(tmp_path).covers("b" * 64)


def test_outside_the_hours_that_were_set_nothing_is_sent(box: CourierHarness, store: Store) -> None:
    hour = (time.localtime().tm_hour + 12) % 24
    box.limits(hours=f"{hour:02d}:00-{(hour + 1) % 24:02d}:00")
    box.start()
    digest = box.parcel(store.origin)
    wait_for("the courier's word", lambda: "waiting for the upload hours" in box.status())
    assert box.report(digest) is None
    box.limits()
    box.ends(digest, "stored")


def test_a_parcel_that_does_not_match_its_grant_is_not_sent(box: CourierHarness, store: Store) -> None:
    digest = box.parcel(store.origin)
    path = box.folder / f"out/{digest}.parcel"
    path.write_bytes(changed(path.read_bytes()))
    box.start()
    report = box.ends(digest, "refused")
    assert "not what its grant says" in report.why
    assert report.left_bytes == 0


@pytest.mark.long
def test_a_store_that_moved_is_found_at_its_new_address(
    box: CourierHarness, store: Store, island: Island
) -> None:
    box.limits(kbps=40_000)
    box.start()
    digest = box.parcel(store.origin, 20_000_000)
    wait_for("some of it", lambda: sent(box, store, digest))
    try:
        island.names({HOST: OTHER_ADDRESS})
        store.stop()
        store.start()
        assert arrived(store, box.ends(digest, "stored")) == digest
    finally:
        island.names(NAMES)


# --- the second kind of store -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, island: Island) -> Iterator[S3Store]:
    needs.require("server")
    island.names(NAMES)
    with S3Store(tmp_path_factory.mktemp("bucket"), island) as made:
        yield made


@pytest.fixture
def s3_box(tmp_path: Path, island: Island, bucket: S3Store) -> Iterator[CourierHarness]:
    island.names(NAMES)
    made = CourierHarness(tmp_path / "box", island, bucket.ca)
    yield made
    made.close()


def test_a_parcel_arrives_in_an_s3_store_by_signed_addresses(s3_box: CourierHarness, bucket: S3Store) -> None:
    s3_box.start()
    digest = s3_box.parcel(bucket.origin, 20_000_001, kind="s3")
    report = s3_box.ends(digest, "stored")
    (stored,) = [path for path in bucket.objects() if digest in path.name]
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == digest
    assert report.receipt is not None
    assert report.receipt["kind"] == "s3"
    assert report.receipt["said"]["parts"] == "3"
    assert report.receipt["said"]["etag"]


def test_a_killed_courier_goes_on_with_the_next_part(s3_box: CourierHarness, bucket: S3Store) -> None:
    s3_box.limits(kbps=60_000)
    s3_box.start()
    digest = s3_box.parcel(bucket.origin, 30_000_000, kind="s3")

    def parts() -> int:
        report = s3_box.report(digest)
        return len(report.parts) if report else 0

    wait_for("a part", lambda: parts() >= 1)
    s3_box.stop(signal.SIGKILL)
    before = s3_box.report(digest)
    assert before
    s3_box.start()
    report = s3_box.ends(digest, "stored")
    assert report.place == before.place
    assert report.parts[: len(before.parts)] == before.parts
    (stored,) = [path for path in bucket.objects() if digest in path.name]
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == digest


def test_a_withdrawn_part_of_a_parcel_is_aborted(lie: "StartLiar") -> None:
    liar, box = lie("s3-honest", kbps=MIDWAY_KBPS)
    report = withdrawn_midway(box, liar.origin)
    assert "deleted" in report.why
    assert liar.requests()[-1]["method"] == "DELETE"


def test_a_store_that_cannot_abort_is_quoted(s3_box: CourierHarness, bucket: S3Store) -> None:
    s3_box.limits(kbps=MIDWAY_KBPS)
    s3_box.start()
    report = withdrawn_midway(s3_box, bucket.origin)
    assert "did not delete what it had: it answered 405" in report.why  # s3rver knows no abort
    assert [path for path in bucket.objects() if report.sha256 in path.name] == []


MIDWAY_KBPS = 24_000
"""30 MB take ten seconds."""


def withdrawn_midway(box: CourierHarness, origin: str) -> UploadReport:
    digest = box.parcel(origin, 30_000_000, kind="s3")

    def begun() -> bool:
        report = box.report(digest)
        return report is not None and report.sent_bytes > 0  # left_bytes may still be taken back

    wait_for("a part to be there", begun)
    box.withdraw(digest)
    report = box.ends(digest, "ended")
    assert 0 < report.left_bytes < 30_000_000
    assert report.receipt is None
    return report


@pytest.mark.parametrize(
    ("what", "why"),
    [("s3-elsewhere", "another place"), ("s3-prefix", "another place"), ("s3-tiny", "do not fit")],
)
def test_signed_addresses_of_another_origin_are_not_followed(what: str, why: str, lie: "StartLiar") -> None:
    liar, box = lie(what)
    digest = box.parcel(liar.origin, kind="s3")
    report = box.ends(digest, "refused")
    assert why in report.why
    assert (report.left_bytes, report.receipt) == (0, None)
    assert {request["method"] for request in liar.requests()} == {"POST"}


def test_an_s3_store_that_fails_after_status_200_is_retried(
    lie: "StartLiar",
) -> None:
    liar, box = lie("s3-late-error")
    digest = box.parcel(liar.origin, kind="s3")
    wait_for("a second try", lambda: len([r for r in liar.requests() if r["path"] == "/complete"]) >= 2)
    report = box.report(digest)
    assert report
    assert (report.state, report.receipt) == ("sending", None)


# --- stores that lie (specs: F18) -----------------------------------------------------------------

PORT = 8443
REFUSED = {
    "redirects-create": "elsewhere",
    "redirects-patch": "elsewhere",
    "elsewhere": "another place",
    "elsewhere-path": "another place",
    "traversal": "another place",
    "ahead": "was sent",
    "behind": "another size",
    "forgets": "keeps losing",
    "other-length": "another size",
    "last-lies": "another size",
}
WAITS = ("500", "huge-answer", "garbage")
MENDS = ("honest", "no-offset", "half-answer", "conflict")


class StartLiar(Protocol):
    """Start a store that is dishonest in one way, and a courier to upload to it."""

    def __call__(self, what: str, *, kbps: int = 0) -> tuple["Liar", CourierHarness]: ...


class Liar:
    """A lying store, started with one lie."""

    def __init__(self, folder: Path, island: Island, what: str, cert: Path, port: int) -> None:
        self.log = folder / "requests"
        self.log.touch()
        self.origin = f"https://{LYING}:{port}"
        words = [what, port, cert / "server.pem", cert / "server-key.pem", self.log]
        self.process = Process(
            island.command(sys.executable, "-m", "tests.courier.hostile_store", *map(str, words)),
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == b"ready\n"

    def requests(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def close(self) -> None:
        self.process.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lying")
    make_certificates(folder, LYING)
    return folder


@pytest.fixture
def lie(
    tmp_path: Path, island: Island, certificates: Path
) -> Iterator[Callable[[str], tuple[Liar, CourierHarness]]]:
    island.names(NAMES)
    made: list[Liar | CourierHarness] = []

    def start(what: str, *, kbps: int = 0) -> tuple[Liar, CourierHarness]:
        assert what in hostile_store.LIES
        liar = Liar(tmp_path, island, what, certificates, 8400 + hostile_store.LIES.index(what))
        box = CourierHarness(tmp_path / "box", island, certificates / "ca.pem")
        made.extend((liar, box))
        if kbps:
            box.limits(kbps=kbps)
        box.start()
        return liar, box

    yield start
    for process in made:
        process.close()


@pytest.mark.parametrize("what", list(REFUSED))
def test_a_dishonest_store_ends_the_upload(
    what: str, lie: Callable[[str], tuple[Liar, CourierHarness]]
) -> None:
    liar, box = lie(what)
    digest = box.parcel(liar.origin)
    report = box.ends(digest, "refused")
    assert REFUSED[what] in report.why
    assert report.receipt is None
    # Not a byte elsewhere, and none that was not written down before.
    assert {request["host"] for request in liar.requests()} == {liar.origin.removeprefix("https://")}
    seen = sum(int(str(request["bytes"])) for request in liar.requests())
    assert seen <= 3 * 300_000
    if what in ("redirects-create", "elsewhere", "elsewhere-path", "traversal"):
        assert (seen, report.left_bytes) == (0, 0)


@pytest.mark.parametrize("what", WAITS)
def test_a_temporary_error_of_the_store_is_retried(
    what: str, lie: Callable[[str], tuple[Liar, CourierHarness]]
) -> None:
    liar, box = lie(what)
    digest = box.parcel(liar.origin)
    wait_for("a second try", lambda: len(liar.requests()) >= 2)
    report = box.report(digest)
    assert report is None or (report.state == "sending" and report.left_bytes == 0)
    assert LYING in box.status()


@pytest.mark.parametrize("what", MENDS)
def test_a_store_that_has_the_parcel_after_all_completes_the_upload(
    what: str, lie: Callable[[str], tuple[Liar, CourierHarness]]
) -> None:
    liar, box = lie(what)
    digest = box.parcel(liar.origin)
    assert box.ends(digest, "stored").left_bytes == 300_000
    assert sum(int(str(request["bytes"])) for request in liar.requests()) == 300_000


@pytest.mark.long
def test_a_store_that_stalls_is_left_after_a_while(lie: Callable[[str], tuple[Liar, CourierHarness]]) -> None:
    liar, box = lie("stalls")
    box.parcel(liar.origin, 20_000_000)
    wait_for("the courier's word", lambda: LYING in box.status())


@pytest.mark.parametrize("number", range(len(PRIVATE)))
def test_a_store_at_an_address_of_the_home_is_never_connected_to(
    number: int, tmp_path: Path, island: Island, box: CourierHarness
) -> None:
    island.names(NAMES)
    folder = tmp_path / "private"
    make_certificates(folder_made(folder), f"private{number}.example")
    log = folder / "requests"
    log.touch()
    words = ["honest", 8500 + number, folder / "server.pem", folder / "server-key.pem", log]
    process = Process(
        island.command(sys.executable, "-m", "tests.courier.hostile_store", *map(str, words)),
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert process.stdout
        process.stdout.readline()
        box.ca = folder / "ca.pem"
        box.start()
        digest = box.parcel(f"https://private{number}.example:{8500 + number}")
        wait_for("the courier's word", lambda: "not on the internet" in box.status())
        assert box.report(digest) is None
        assert log.read_text() == ""
    finally:
        process.end(signal.SIGKILL)


def folder_made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_store_with_another_certificate_gets_nothing(
    lie: Callable[[str], tuple[Liar, CourierHarness]], tmp_path: Path
) -> None:
    liar, box = lie("honest")
    box.stop()
    make_certificates(folder_made(tmp_path / "other"), LYING)
    box.ca = tmp_path / "other/ca.pem"
    box.start()
    digest = box.parcel(liar.origin)
    wait_for("the courier's word", lambda: "certificate" in box.status().lower())
    assert box.report(digest) is None
    assert liar.requests() == []


def test_a_store_under_another_name_gets_nothing(
    lie: Callable[[str], tuple[Liar, CourierHarness]], island: Island
) -> None:
    liar, box = lie("honest")
    digest = box.parcel(liar.origin.replace(LYING, HOST))
    wait_for("the courier's word", lambda: "certificate" in box.status().lower())
    assert box.report(digest) is None
    assert liar.requests() == []


def test_the_progress_of_a_small_parcel_is_told_while_it_is_sent(box: CourierHarness, store: Store) -> None:
    box.limits(kbps=4_000)
    box.start()
    digest = box.parcel(store.origin, 3_000_000)
    told: dict[int, int] = {}

    def is_stored() -> bool:
        report = box.report(digest)
        if report and report.state == "sending" and report.left_bytes:
            told[report.sent_bytes] = report.left_bytes
        return bool(report and report.state == "stored")

    wait_for("the receipt", is_stored)
    assert len(told) >= 2
    assert all(sent_bytes < left_bytes for sent_bytes, left_bytes in told.items())
    assert min(told.values()) < 3_000_000  # not "all of it may have left" from the first byte on
