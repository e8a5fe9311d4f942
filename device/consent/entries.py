"""The entries of the ledger, before they are written. Pure: each function returns drafts, and writes nothing."""

from dataclasses import dataclass
from typing import Literal, Unpack

from device.consent.documents import (
    Cancellation,
    EntryData,
    RevokedWithoutLedger,
    SentBytes,
    StartedBackup,
    StepDetails,
    StoppedBackup,
    StoredBackup,
)
from device.consent.ledger_state import Backup, Case, RequestKey
from device.consent.states import State, Step, after


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntryDraft:
    """An entry that has not been written yet."""

    kind: str
    data: EntryData
    body: bytes | None = None


def step(key: RequestKey, state: State, taken: Step, **details: Unpack[StepDetails]) -> LedgerEntryDraft:
    """Return the entry of one step of the table. Raises NoSuchStep."""
    return LedgerEntryDraft(
        kind="request",
        data={
            "sender": key[0],
            "id": key[1],
            "from": str(state),
            "to": str(after(state, taken)),
            **details,
        },
    )


def left(case: Case, *, left_bytes: int, final: bool, why: str) -> LedgerEntryDraft:
    """Return how much of a parcel had been sent when its approval ended before delivery. Raises LookupError."""
    parcel = case.sealed_parcel()
    data: SentBytes = {
        "sender": case.request.agency,
        "id": case.request.id,
        "sha256": parcel["sha256"],
        "left_bytes": left_bytes,
        "of_bytes": parcel["bytes"],
        "final": final,
        "why": why,
    }
    return LedgerEntryDraft(kind="left", data=data)


def end_case(case: Case | None, why: str) -> list[LedgerEntryDraft]:
    """Return the step that ends a case which its agency cancelled, or whose agency was unpinned."""
    if case is None:
        return []
    if case.state is State.RECEIVED:  # not yet compared with home and clips
        return [step(case.key, case.state, Step.MATCH_NOT, why=why)]
    if case.state is State.OFFERED:
        return [step(case.key, case.state, Step.CANCEL, why=why)]
    if case.state in (State.APPROVED, State.SEALED, State.HANDED_OVER):
        return [step(case.key, case.state, Step.FAIL, why=why)]
    return []


def cancellation(
    of: Literal["request", "notice", "feed"], sender: str, name: str, content: bytes
) -> LedgerEntryDraft:
    """Return the cancellation of a request or notice, with the bytes that cancelled it."""
    data: Cancellation = {"of": of, "sender": sender, "id": name}
    return LedgerEntryDraft(kind="cancellation", data=data, body=content)


def backup(destination: str, clip_id: str, sha256: str, size_bytes: int) -> LedgerEntryDraft:
    """Return the entry of a backup that is about to be sent."""
    data: StartedBackup = {"destination": destination, "clip": clip_id, "sha256": sha256, "bytes": size_bytes}
    return LedgerEntryDraft(kind="backup", data=data)


def backed_up(destination: str, clip_id: str, sha256: str) -> LedgerEntryDraft:
    """Return the entry of a backup that has arrived."""
    data: StoredBackup = {"destination": destination, "clip": clip_id, "sha256": sha256}
    return LedgerEntryDraft(kind="backed_up", data=data)


def backup_stopped(destination: str, backup: Backup, *, left_bytes: int, why: str) -> LedgerEntryDraft:
    """Return how much of a copy had left when its target was removed."""
    data: StoppedBackup = {
        "destination": destination,
        "clip": backup.clip_id,
        "sha256": backup.sha256,
        "left_bytes": min(left_bytes, backup.size_bytes),
        "of_bytes": backup.size_bytes,
        "why": why,
    }
    return LedgerEntryDraft(kind="backup_stopped", data=data)


def revocation(data: RevokedWithoutLedger) -> LedgerEntryDraft:
    """Return what the owner stopped while there was no ledger."""
    return LedgerEntryDraft(kind="revocation", data=data)
