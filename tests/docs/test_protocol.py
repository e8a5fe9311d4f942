"""The tables of docs/consent-protocol.md name exactly the members that the code writes."""

import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from device.consent import documents, rules

TEXT = (Path(__file__).parents[2] / "docs/consent-protocol.md").read_text()
ENTRIES: dict[str, Any] = {
    "sender_pinned": documents.PinnedRecord,
    "sender_rotated": documents.PinnedRecord,
    "sender_unpinned": documents.UnpinnedSender,
    "feed_added": documents.AddedFeed,
    "feed_removed": documents.RemovedName,
    "destination_removed": documents.RemovedName,
    "reader_removed": documents.RemovedName,
    "reader_added": documents.AddedReader,
    "request": documents.RequestStep,
    "left": documents.SentBytes,
    "notice": documents.NoticeReceived,
    "cancellation": documents.Cancellation,
    "destination_added": documents.AddedDestination,
    "backup": documents.StartedBackup,
    "backed_up": documents.StoredBackup,
    "backup_stopped": documents.StoppedBackup,
    "revocation": documents.RevokedWithoutLedger,
}
OFFER: dict[str, Any] = {
    "offer": documents.Offer,
    "window": documents.OfferWindow,
    "recipient": documents.OfferRecipient,
    "upload": documents.OfferUpload,
    "clip": documents.OfferedClip,
}


def table_after(head: str) -> dict[str, str]:
    """Return the rows of the table that begins with a head: each name of the first column, and the second."""
    rows: dict[str, str] = {}
    for line in TEXT[TEXT.index(head) :].splitlines()[2:]:
        if not line.startswith("|"):
            break
        first, second = line.strip("| ").split(" | ", 1)
        rows.update(dict.fromkeys(re.findall(r"[a-z_]+", first), second))
    return rows


def members(cell: str) -> set[str]:
    """Return the names in a cell, without what brackets explain."""
    return set(re.findall(r"`([a-z_0-9]+)`", re.sub(r"\([^)]*\)", "", cell)))


@pytest.mark.parametrize("kind", ENTRIES)
def test_the_ledger_s_table_has_the_members_of_each_kind(kind: str) -> None:
    rows = table_after("| kind | members of `data` |")
    assert members(rows[kind]) == set(get_type_hints(ENTRIES[kind]))
    assert set(rows) == {"opened", *ENTRIES}


@pytest.mark.parametrize("name", OFFER)
def test_the_offer_s_table_has_the_members_of_each_object(name: str) -> None:
    rows = table_after("| object | members |")
    assert members(rows[name]) == set(get_type_hints(OFFER[name]))
    assert set(rows) == set(OFFER)


def test_the_numbers_of_the_limits_are_those_of_the_code() -> None:
    assert f"at most {rules.MAX_EARLY_CANCELLATIONS_PER_DAY} such cancellations" in TEXT
    assert "opening of the area A by a disc of 50 m" in TEXT
