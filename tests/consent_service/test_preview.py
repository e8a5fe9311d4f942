"""The preview: what the owner plays is what is sealed, and it is deleted as soon as it is not what would be sent."""

from pathlib import Path
from typing import Any

import pytest

from device.consent.documents import clip_file
from device.consent.models import time_text
from device.consent.offer import Choice
from device.consent_service.preview import IDLE_US
from device.errors import CommandError
from tests.consent_service.conftest import turn
from tests.support import envelopes
from tests.support.consent import ID, US, ConsentHarness
from tests.support.release_backend import CANARY, FakeReleaseBackend


def shown(doorbell: ConsentHarness) -> str:
    return doorbell.consent_service.request(ID)["offer_hash"]


def previewed(doorbell: ConsentHarness) -> list[str]:
    """Have a preview made; return the hashes of its files."""
    doorbell.consent_service.preview(ID, shown(doorbell))
    turn(doorbell, 2)
    view = doorbell.consent_service.preview_state(ID)
    assert view["state"] == "ready"
    return [file["sha256"] for file in view["files"]]


def kept(doorbell: ConsentHarness) -> list[Path]:
    """Return every file of the doorbell that holds a picture."""
    return [path for path in doorbell.folder.rglob("*") if path.is_file() and CANARY in path.read_bytes()]


def is_gone(doorbell: ConsentHarness) -> bool:
    return doorbell.consent_service.preview_state(ID)["state"] == "none" and not kept(doorbell)


def test_what_was_played_is_what_is_sealed(
    doorbell: ConsentHarness, release_backend: FakeReleaseBackend
) -> None:
    files = previewed(doorbell)
    first = doorbell.consent_service.preview_file(ID, 1, files[0])
    assert first.read_bytes() == CANARY + b"clip-1.mp4"
    assert doorbell.states() == ["offered"], "a preview decides nothing"
    doorbell.consent_service.approve(ID, shown(doorbell), files=files)
    turn(doorbell, 3)
    assert doorbell.states() == ["handed over"]
    sealing = release_backend.begun[-1]
    assert (list(sealing.files), sealing.seal) == (files, True)
    assert sealing.was_there == [True, True], "the played files are sealed, not others like them"
    entry = next(row["data"] for row in doorbell.ledger() if row["data"].get("to") == "approved")
    assert entry["files"] == files
    assert not kept(doorbell)


def test_a_preview_is_in_no_log_on_no_topic_and_in_no_ledger(doorbell: ConsentHarness) -> None:
    doorbell.facts.clear()
    length = len(doorbell.ledger())
    previewed(doorbell)
    assert doorbell.facts == []
    assert len(doorbell.ledger()) == length
    assert not list((doorbell.folder / "spool/out").glob("*.parcel"))


@pytest.mark.parametrize(
    "why", ["declined", "closed", "expired", "cancelled", "unpinned", "idle", "restarted"]
)
def test_a_preview_is_deleted_when_nobody_needs_it_any_more(doorbell: ConsentHarness, why: str) -> None:
    previewed(doorbell)
    assert kept(doorbell)
    match why:
        case "declined":
            doorbell.consent_service.decline(ID)
        case "closed":
            doorbell.consent_service.close_preview(ID)
        case "expired":
            doorbell.clock.wall_s += 30 * 86_400
            doorbell.step()
        case "cancelled":
            cancelled: dict[str, Any] = {"v": 1, "op": "cancel", "id": ID, "agency": "paris-example"}
            cancelled["iat"] = time_text(envelopes.NOW)
            doorbell.hear(("request", envelopes.raw(envelopes.text(cancelled))))
        case "unpinned":
            doorbell.consent_service.unpin("paris-example")
        case "idle":
            doorbell.clock.wall_s += IDLE_US // US + 1
        case "restarted":
            doorbell.open()
    turn(doorbell)
    assert is_gone(doorbell)


@pytest.mark.parametrize("what", ["mask", "clip"])
def test_a_preview_that_is_not_true_any_more_is_neither_played_nor_sealed(
    doorbell: ConsentHarness, what: str
) -> None:
    files, yes = previewed(doorbell), shown(doorbell)
    if what == "mask":
        doorbell.clips.covered = [[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]]
    else:
        del doorbell.clips.stored[0]
    with pytest.raises(CommandError, match="not there any more"):
        doorbell.consent_service.preview_file(ID, 1, files[0])  # at once, not at the next turn
    assert is_gone(doorbell)
    with pytest.raises(CommandError):
        doorbell.consent_service.approve(ID, yes, files=files)
    assert doorbell.states() == ["offered"]


def test_another_choice_deletes_the_preview_and_its_files_approve_nothing(doorbell: ConsentHarness) -> None:
    files = previewed(doorbell)
    choice = Choice(spans={"one": None})
    fewer = doorbell.consent_service.request(ID, choice)["offer_hash"]
    with pytest.raises(CommandError) as refused:
        doorbell.consent_service.approve(ID, fewer, choice, files)
    assert refused.value.code == "preview_gone"
    doorbell.consent_service.preview(ID, fewer, choice)
    assert not kept(doorbell)
    with pytest.raises(CommandError):
        doorbell.consent_service.preview_file(ID, 1, files[0])
    turn(doorbell, 2)
    assert len(doorbell.consent_service.preview_state(ID)["files"]) == 1


def test_a_file_that_was_changed_on_the_disk_approves_nothing(doorbell: ConsentHarness) -> None:
    files, yes = previewed(doorbell), shown(doorbell)
    (path,) = [path for path in kept(doorbell) if path.name == clip_file(1)]
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(CommandError, match="have changed"):
        doorbell.consent_service.approve(ID, yes, files=files)
    assert doorbell.states() == ["offered"]


def test_a_file_that_changes_after_the_approval_is_not_sealed(
    doorbell: ConsentHarness, release_backend: FakeReleaseBackend
) -> None:
    files = previewed(doorbell)
    doorbell.consent_service.approve(ID, shown(doorbell), files=files)
    (path,) = [path for path in kept(doorbell) if path.name == clip_file(1)]
    path.write_bytes(path.read_bytes() + b"more")
    turn(doorbell, 3)
    assert doorbell.states() == ["failed"]
    assert release_backend.made == 0
    assert not kept(doorbell)


def test_a_crash_after_the_approval_loses_neither_the_files_nor_the_promise(
    doorbell: ConsentHarness, release_backend: FakeReleaseBackend
) -> None:
    files = previewed(doorbell)
    doorbell.consent_service.approve(ID, shown(doorbell), files=files)
    folder = kept(doorbell)[0].parent
    (folder / "parcel.tar").write_bytes(b"half of it")
    doorbell.open()
    turn(doorbell, 3)
    assert doorbell.states() == ["handed over"]
    assert list(release_backend.begun[-1].files) == files


def test_an_approval_without_the_preview_makes_the_files_anew(
    doorbell: ConsentHarness, release_backend: FakeReleaseBackend
) -> None:
    previewed(doorbell)
    doorbell.consent_service.approve(ID, shown(doorbell))
    turn(doorbell, 3)
    assert doorbell.states() == ["handed over"]
    assert (list(release_backend.begun[-1].files), release_backend.begun[-1].was_there) == (
        [],
        [False, False],
    )


def test_nothing_but_a_file_of_the_preview_can_be_asked_for(
    doorbell: ConsentHarness, release_backend: FakeReleaseBackend
) -> None:
    release_backend.waits = True
    doorbell.consent_service.preview(ID, shown(doorbell))
    turn(doorbell)
    assert kept(doorbell), "half a file is there"
    asked: list[tuple[int, str]] = [(1, ""), (1, "0" * 64)]
    for number, sha256 in asked:
        with pytest.raises(CommandError):
            doorbell.consent_service.preview_file(ID, number, sha256)
    release_backend.waits = False
    turn(doorbell)
    files = [file["sha256"] for file in doorbell.consent_service.preview_state(ID)["files"]]
    for number, sha256 in [(0, files[0]), (1, files[1]), (3, files[0]), (-1, files[1])]:
        with pytest.raises(CommandError):
            doorbell.consent_service.preview_file(ID, number, sha256)


def test_what_may_not_leave_fails_before_the_approval(
    doorbell: ConsentHarness, release_backend: FakeReleaseBackend
) -> None:
    release_backend.fails = "the audit of clip one failed"
    doorbell.consent_service.preview(ID, shown(doorbell))
    turn(doorbell, 2)
    view: Any = doorbell.consent_service.preview_state(ID)
    assert (view["state"], view["error"]["code"]) == ("failed", "preview_failed")
    assert "audit" in view["error"]["error"]
    assert doorbell.states() == ["offered"]
    assert not kept(doorbell)


def test_a_release_goes_first(doorbell: ConsentHarness, release_backend: FakeReleaseBackend) -> None:
    """One process at a time: a small board has memory for one."""
    other = "01KA0000000000000000000088"
    doorbell.hear(("request", envelopes.request(id=other, case="another")))
    doorbell.consent_service.preview(ID, shown(doorbell))
    release_backend.waits = True
    turn(doorbell)
    making = release_backend.begun[-1]
    offer_hash = doorbell.consent_service.request(other)["offer_hash"]
    doorbell.consent_service.approve(other, offer_hash)
    turn(doorbell)
    assert making.stopped
    assert release_backend.begun[-1].seal
    assert doorbell.consent_service.preview_state(ID)["state"] == "waiting"
    release_backend.waits = False
    turn(doorbell, 4)
    assert doorbell.consent_service.preview_state(ID)["state"] == "ready"


def test_only_what_can_be_approved_can_be_previewed(doorbell: ConsentHarness) -> None:
    yes = shown(doorbell)
    with pytest.raises(CommandError) as refused:
        doorbell.consent_service.preview(ID, "0" * 64)
    assert refused.value.code == "offer_changed"
    doorbell.consent_service.decline(ID)
    with pytest.raises(CommandError) as refused:
        doorbell.consent_service.preview(ID, yes)
    assert refused.value.code == "request_over"
