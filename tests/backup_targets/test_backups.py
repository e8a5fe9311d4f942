"""Sealed backups to the owner's own S3, WebDAV and SFTP: at home from the daemon, outside by the courier."""

import functools
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pyrage
import pytest

from device.consent_service.backup_worker import SECRETS_FILE
from device.errors import CommandError
from device.events import Fault
from device.spool.parcels import Account, RateLimiter, UploadReport, names_in, write_report
from server.dev_processes import wait_for
from server.dev_server import make_certificates
from tests.support.backup_servers import PASSWORD, Bucket, Sftp, WebDav, opened
from tests.support.consent import ConsentHarness
from tests.support.courier import CourierHarness
from tests.support.network_namespace import STORE_ADDRESS, Here, Island
from tests.support.stores import S3Store

pytestmark = pytest.mark.namespace
OURS = pyrage.x25519.Identity.generate()
AGE = str(OURS.to_public())


@pytest.fixture
def doorbell(tmp_path: Path) -> ConsentHarness:
    made = ConsentHarness(tmp_path / "bell")
    for name in ("one", "two"):
        made.backups.files[name] = tmp_path / f"{name}.mp4"
        made.backups.files[name].write_bytes(name.encode() * 1000)
    return made


def webdav(folder: Path) -> tuple[WebDav, dict[str, Any], str]:
    server = WebDav(folder / "dav", Here()).start()
    target = {"kind": "webdav", "url": f"http://127.0.0.1:{server.port}/door/bell", "user": "anna"}
    return server, target, PASSWORD


def sftp(folder: Path) -> tuple[Sftp, dict[str, Any], str]:
    server = Sftp(folder / "ssh", Here()).start()
    target = {
        "kind": "sftp",
        "url": f"sftp://127.0.0.1:{server.port}{server.files}/bell",
        "user": server.user,
    }
    return server, target, server.key


def bucket(folder: Path) -> tuple[Bucket, dict[str, Any], str]:
    server = Bucket(folder / "s3", Here()).start()
    target = {"kind": "s3", "url": f"http://127.0.0.1:{server.port}/clips/bell", "user": "S3RVER"}
    return server, target, "S3RVER"


def added(doorbell: ConsentHarness, target: dict[str, Any], secret: str, **more: Any) -> Any:
    return doorbell.consent_service.add_destination({"name": "own", "age": AGE, **target, **more}, secret)


def turn(doorbell: ConsentHarness, times: int = 1) -> None:
    for _ in range(times):
        doorbell.consent_service.backup_worker.step()


def kinds(doorbell: ConsentHarness) -> list[str]:
    return [entry["kind"] for entry in doorbell.ledger()]


def fault(doorbell: ConsentHarness) -> str:
    found = [fact for fact in doorbell.facts if isinstance(fact, Fault) and fact.code == "backup"]
    return found[-1].text if found and found[-1].active else ""


@pytest.mark.parametrize("make_server", [webdav, sftp, bucket])
def test_clips_are_backed_up_sealed_each_after_its_entry(
    doorbell: ConsentHarness, tmp_path: Path, make_server: Callable[[Path], tuple[Any, dict[str, Any], str]]
) -> None:
    server, target, secret = make_server(tmp_path)
    try:
        turn(doorbell)
        assert server.stored() == []  # off until it is consented to
        row = added(doorbell, target, secret)
        assert row["outside"] is False
        turn(doorbell, 3)
        assert fault(doorbell) == ""
        assert kinds(doorbell)[-5:] == ["destination_added", "backup", "backed_up", "backup", "backed_up"]
        objects = [path for path in server.stored() if "metadata" not in path.name and "md5" not in path.name]
        assert len(objects) == 2
        contents = {opened(path, tmp_path, OURS) for path in objects}
        assert contents == {b"one" * 1000, b"two" * 1000}
        assert all(b"oneone" not in path.read_bytes() for path in objects)
        row = doorbell.consent_service.destinations()[0]
        assert (row["stored"], row["waiting"]) == (2, 0)
        assert list((doorbell.folder / "backups").iterdir()) == []
        # No secret is shown or recorded (s3rver has one account, whose user and password are the same).
        shown = json.dumps(doorbell.consent_service.destinations()) + json.dumps(doorbell.ledger())
        assert secret == target["user"] or secret not in shown
        assert (doorbell.folder / SECRETS_FILE).stat().st_mode & 0o77 == 0
        # And no more once it is revoked.
        doorbell.consent_service.remove_destination("own")
        doorbell.backups.files["three"] = doorbell.backups.files["one"]
        turn(doorbell, 2)
        assert len([p for p in server.stored() if "metadata" not in p.name and "md5" not in p.name]) == 2
        assert secret not in (doorbell.folder / SECRETS_FILE).read_text()
    finally:
        server.stop()


def test_a_wrong_password_is_a_fault_and_asked_again_more_seldom(
    doorbell: ConsentHarness, tmp_path: Path
) -> None:
    for make_server in (webdav, sftp, bucket):
        server, target, _ = make_server(tmp_path)
        try:
            if target["kind"] == "s3":
                target["user"] = "somebody"  # s3rver looks at the name alone
            doorbell.consent_service.add_destination({"name": target["kind"], "age": AGE, **target}, "wrong")
            turn(doorbell)
            assert "refuses" in fault(doorbell) or "InvalidAccessKeyId" in fault(doorbell)
            entries = len(doorbell.ledger())
            turn(doorbell, 3)
            assert len(doorbell.ledger()) == entries
            doorbell.consent_service.remove_destination(target["kind"])
        finally:
            server.stop()


def test_a_server_whose_key_changed_gets_nothing(doorbell: ConsentHarness, tmp_path: Path) -> None:
    server, target, secret = sftp(tmp_path)
    try:
        added(doorbell, target, secret, host_key="SHA256:" + "A" * 43)
        turn(doorbell)
        assert "another host key" in fault(doorbell)
        assert server.stored() == []
    finally:
        server.stop()


def test_no_more_is_stored_than_was_given(doorbell: ConsentHarness, tmp_path: Path) -> None:
    server, target, secret = webdav(tmp_path)
    try:
        added(doorbell, target, secret, limit_bytes=1_500_000)  # one of a MiB fits
        turn(doorbell, 3)
        assert len(server.stored()) == 1
        assert "is full" in fault(doorbell)
    finally:
        server.stop()


def test_the_limit_of_the_line_holds_for_backups_at_home(
    doorbell: ConsentHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, target, secret = webdav(tmp_path)
    waited: list[float] = []
    try:
        doorbell.consent_service.backup_worker.configure(
            doorbell.config.model_copy(update={"upload_kbps": 4000})
        )
        monkeypatch.setattr(doorbell.consent_service.backup_worker, "_rest", waited.append)
        without_time = functools.partial(RateLimiter, now_s=lambda: 0.0)
        monkeypatch.setattr("device.consent_service.backup_worker.RateLimiter", without_time)
        added(doorbell, target, secret)
        turn(doorbell)
        assert len(server.stored()) == 1
        # A little more than a MiB at half a MB a second, the last wait said from the beginning on.
        assert 1.5 < max(waited) < 2.2
    finally:
        server.stop()


def test_an_unreachable_target_is_retried_with_the_sealed_file(
    doorbell: ConsentHarness, tmp_path: Path
) -> None:
    server, target, secret = webdav(tmp_path)
    server.stop()
    added(doorbell, target, secret)
    turn(doorbell)
    assert "cannot be used" in fault(doorbell)
    assert kinds(doorbell)[-1] == "backup"
    (sealed,) = (doorbell.folder / "backups").iterdir()
    server.start()
    try:
        doorbell.consent_service.backup_worker._due_s.clear()  # noqa: SLF001  (time passes)
        turn(doorbell)
        assert [path.name for path in server.stored()] == [sealed.name]
        assert fault(doorbell) == ""
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"kind": "webdav", "url": "ftp://192.168.1.2/x"}, "is not a URL of this kind"),
        ({"kind": "webdav", "url": "http://anna:pw@192.168.1.2/x"}, "may hold no user and no password"),
        ({"kind": "s3", "url": "https://192.168.1.2"}, "is not a URL of this kind"),
        ({"kind": "webdav", "url": "http://5.45.45.45/x"}, "only https:// and sftp://"),
        ({"kind": "sftp", "url": "sftp://5.45.45.45/x"}, "name the server's key"),
        ({"kind": "webdav", "url": "http://192.168.1.2/x", "name": "NAS"}, "a-z"),
        (
            {"kind": "webdav", "url": "http://192.168.1.2/x", "age": "age1" + "q" * 58},
            "not a usable age recipient",
        ),
    ],
    ids=str,
)
def test_an_invalid_target_is_refused_with_a_clear_message(
    doorbell: ConsentHarness, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(CommandError, match=text):
        doorbell.consent_service.add_destination({"name": "own", "age": AGE, **changes}, "x")
    assert doorbell.consent_service.destinations() == []


def test_outside_the_home_the_courier_carries_it_under_a_grant(doorbell: ConsentHarness) -> None:
    added(doorbell, {"kind": "webdav", "url": "https://5.45.45.45/bell", "user": "anna"}, PASSWORD)
    assert doorbell.consent_service.destinations()[0]["outside"] is True
    turn(doorbell, 2)
    out = doorbell.folder / "spool/out"
    (digest,) = names_in(out, "grant")
    grant = json.loads((out / f"{digest}.grant").read_text())
    assert grant["account"]["secret"] == PASSWORD
    doorbell.consent_service.release_worker.step()  # which erases what no approval needs
    assert list(names_in(out, "grant")) == [digest]
    report = UploadReport(
        sha256=digest,
        kind="webdav",
        origin=grant["origin"],
        size_bytes=grant["size_bytes"],
        state="stored",
        receipt=cast("Any", {}),
    )
    write_report(doorbell.folder / "spool/in", report)
    turn(doorbell)
    assert kinds(doorbell)[-1] in ("backed_up", "backup")
    assert doorbell.consent_service.destinations()[0]["stored"] == 1
    turn(doorbell)
    doorbell.consent_service.remove_destination("own")
    assert list(names_in(out, "grant")) == []
    assert list(names_in(out, "parcel")) == []


@pytest.fixture(scope="module")
def island(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Island]:
    names = {"bucket.example": STORE_ADDRESS, "dav.example": STORE_ADDRESS, "home.example": "192.168.7.7"}
    with Island(tmp_path_factory.mktemp("island"), names) as made:
        yield made


def carried(
    box: CourierHarness, kind: Any, url: str, origin: str, user: str, secret: str, host_key: str = ""
) -> str:
    account = Account(url=url, user=user, secret=secret, host_key=host_key)
    return box.parcel(origin, 12_000_000, kind=kind, account=account)


@pytest.mark.server
@pytest.mark.sftp
@pytest.mark.node
def test_the_courier_carries_backups_to_all_three_outside(tmp_path: Path, island: Island) -> None:
    certificates = tmp_path / "dav-tls"
    certificates.mkdir()
    make_certificates(certificates, "dav.example")
    dav = WebDav(tmp_path / "dav", island, STORE_ADDRESS).start(certificates)
    ssh = Sftp(tmp_path / "ssh", island, STORE_ADDRESS).start()
    try:
        with S3Store(tmp_path / "s3", island) as s3:
            both = tmp_path / "both.pem"
            both.write_text((certificates / "ca.pem").read_text() + s3.ca.read_text())
            box = CourierHarness(tmp_path / "box", island, both)
            box.start()
            origin = f"https://dav.example:{dav.port}"
            first = carried(box, "webdav", f"{origin}/bell", origin, "anna", PASSWORD)
            box.ends(first, "stored")
            origin = f"sftp://{STORE_ADDRESS}:{ssh.port}"
            second = carried(
                box, "sftp", f"{origin}{ssh.files}/bell", origin, ssh.user, ssh.key, ssh.host_key
            )
            box.ends(second, "stored")
            third = carried(box, "bucket", f"{s3.origin}/parcels/bell", s3.origin, "S3RVER", "S3RVER")
            box.ends(third, "stored")
            assert [path.name for path in dav.stored()] == [f"{first}.age"]
            assert [path.name for path in ssh.stored()] == [f"{second}.age"]
            assert any(third in str(path) for path in s3.files.rglob("*"))
            box.close()
    finally:
        dav.stop()
        ssh.stop()


def test_the_courier_refuses_a_target_on_a_home_network(tmp_path: Path, island: Island) -> None:
    box = CourierHarness(tmp_path / "box", island, Path("/etc/ssl/certs/ca-certificates.crt"))
    box.start()
    origin = "https://home.example"
    digest = carried(box, "webdav", f"{origin}/bell", origin, "anna", PASSWORD)
    wait_for("the courier's word", lambda: "not on the internet" in box.status())
    report = box.report(digest)
    assert report is None or report.left_bytes == 0
    box.close()


# --- what stops a copy on its way -------------------------------------------------------------------


@contextmanager
def under_way(doorbell: ConsentHarness, size: int = 4_000_000) -> Iterator[tuple[str, threading.Thread]]:
    """Yield the SHA-256 of a copy of which a part has left, with a limit of 500 kB a second, and who sends it."""
    doorbell.backups.files = {"one": doorbell.folder / "large.mp4"}
    doorbell.backups.files["one"].write_bytes(secrets.token_bytes(size))
    worker = doorbell.consent_service.backup_worker
    worker.configure(doorbell.config.model_copy(update={"upload_kbps": 4_000}))
    sending = threading.Thread(target=worker.step)
    sending.start()
    try:
        yield wait_for("the first bytes", lambda: next(iter(worker.sent_bytes), None)), sending
    finally:
        doorbell.consent_service.lease_keeper.stop("destination", "own")
        sending.join()


def received_bytes(server: Any) -> int:
    """Return what lies at a server; s3rver keeps a part in a file without a name of ours."""
    return sum(path.stat().st_size for path in server.files.rglob("*") if path.is_file())


@pytest.mark.parametrize("make_server", [webdav, sftp, bucket])
def test_a_removed_target_gets_no_more_of_a_copy_on_its_way_and_the_ledger_tells_how_much_had_left(
    doorbell: ConsentHarness, tmp_path: Path, make_server: Callable[[Path], tuple[Any, dict[str, Any], str]]
) -> None:
    server, target, secret = make_server(tmp_path)
    try:
        added(doorbell, target, secret)
        with under_way(doorbell) as (digest, _):
            doorbell.consent_service.remove_destination("own")
        turn(doorbell)
        (stopped,) = [entry["data"] for entry in doorbell.ledger() if entry["kind"] == "backup_stopped"]
        assert (stopped["sha256"], stopped["destination"], stopped["clip"]) == (digest, "own", "one")
        assert 0 < stopped["left_bytes"] < stopped["of_bytes"]
        assert received_bytes(server) <= stopped["left_bytes"]
        assert fault(doorbell) == ""
        turn(doorbell, 3)
        assert kinds(doorbell).count("backup_stopped") == 1
    finally:
        server.stop()


@pytest.mark.parametrize("make_server", [webdav, sftp, bucket])
def test_a_copy_without_a_lease_waits_and_arrives_once_there_is_one_again(
    doorbell: ConsentHarness, tmp_path: Path, make_server: Callable[[Path], tuple[Any, dict[str, Any], str]]
) -> None:
    server, target, secret = make_server(tmp_path)
    try:
        added(doorbell, target, secret)
        with under_way(doorbell) as (_, sending):
            doorbell.clock.wall_s -= 3600  # behind the ledger: nobody knows when this is
            doorbell.consent_service.lease_keeper.renew()
            wait_for("the pause", lambda: not sending.is_alive())
            assert fault(doorbell) == ""  # a pause is no fault of the target's
        doorbell.clock.wall_s += 3600
        doorbell.consent_service.revocations.release("destination", "own")  # `under_way` ends with a stop
        doorbell.consent_service.backup_worker.configure(doorbell.config)
        turn(doorbell, 2)
        assert doorbell.consent_service.destinations()[0]["stored"] == 1
        (stored,) = [p for p in server.stored() if "metadata" not in p.name and "md5" not in p.name]
        assert opened(stored, tmp_path, OURS) == doorbell.backups.files["one"].read_bytes()
    finally:
        server.stop()


def test_a_backup_ends_without_a_ledger_and_no_repair_brings_it_back(
    doorbell: ConsentHarness, tmp_path: Path
) -> None:
    server, target, secret = webdav(tmp_path)
    try:
        added(doorbell, target, secret)
        doorbell.consent_service.ledger_store.close()
        good = (doorbell.folder / "ledger.db").read_bytes()
        (doorbell.folder / "ledger.db").write_bytes(b"broken")
        doorbell.open()
        doorbell.consent_service.remove_destination("own")
        (doorbell.folder / "ledger.db").write_bytes(good)
        doorbell.open()
        doorbell.consent_service.release_worker.step()
        turn(doorbell, 2)
        assert doorbell.consent_service.destinations() == []
        assert server.stored() == []
        assert "own" not in json.loads((doorbell.folder / SECRETS_FILE).read_bytes())
        # The name is free for another target.
        added(doorbell, target, secret)
        turn(doorbell)
        assert len(server.stored()) == 1
    finally:
        server.stop()
