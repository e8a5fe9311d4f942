"""The entries of the ledger, before they are written. Pure: each function returns drafts, and writes nothing."""

from dataclasses import dataclass
from typing import Any

from device.consent.ledger_state import Case
from device.consent.states import State, Step, after


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntryDraft:
    """An entry that has not been written yet."""

    kind: str
    data: dict[str, Any]
    body: bytes | None = None


def step(request_id: str, state: State, taken: Step, **told: Any) -> LedgerEntryDraft:
    """Return the entry of one step of the table. Raises NoSuchStep."""
    return LedgerEntryDraft(
        kind="request", data={"id": request_id, "from": str(state), "to": str(after(state, taken)), **told}
    )


def left(case: Case, *, left_bytes: int, final: bool, why: str) -> LedgerEntryDraft:
    """Return how much of a parcel had left when its approval ended before delivery."""
    return LedgerEntryDraft(
        kind="left",
        data={
            "id": case.request.id,
            "sha256": case.parcel["sha256"],
            "left_bytes": left_bytes,
            "of_bytes": case.parcel["bytes"],
            "final": final,
            "why": why,
        },
    )


def end_case(case: Case | None, why: str) -> list[LedgerEntryDraft]:
    """Return the step that ends a case which its agency cancelled, or whose agency was unpinned."""
    if case is None:
        return []
    if case.state is State.OFFERED:
        return [step(case.request.id, case.state, Step.CANCEL, why=why)]
    if case.state in (State.APPROVED, State.SEALED, State.HANDED_OVER):
        return [step(case.request.id, case.state, Step.FAIL, why=why)]
    return []


def cancellation(sender: str, name: str, content: bytes) -> LedgerEntryDraft:
    """Return the cancellation of a request or notice, with the bytes that cancelled it."""
    return LedgerEntryDraft(kind="cancellation", data={"sender": sender, "id": name}, body=content)


def backup(destination: str, clip_id: str, sha256: str, size_bytes: int) -> LedgerEntryDraft:
    """Return the entry of a backup that is about to be sent."""
    data = {"destination": destination, "clip": clip_id, "sha256": sha256, "bytes": size_bytes}
    return LedgerEntryDraft(kind="backup", data=data)


def backed_up(destination: str, clip_id: str, sha256: str) -> LedgerEntryDraft:
    """Return the entry of a backup that has arrived."""
    return LedgerEntryDraft(
        kind="backed_up", data={"destination": destination, "clip": clip_id, "sha256": sha256}
    )
