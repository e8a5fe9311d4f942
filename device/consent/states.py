"""The states of a footage request. The table is complete; a test checks every cell.

    received ──► rejected | unmatched | offered
    offered  ──► declined | expired | cancelled | approved
    approved ──► sealed ──► handed over ──► delivered
        └───────────┴────────────┴──► withdrawn | failed | expired

Only the rules end `received`; only the owner takes `offered` to `approved`. An offer that nobody answers expires.
 Each step is an entry of the ledger, which is durable before anything
follows from it.
"""

from enum import StrEnum

from device.errors import DoorbellError


class State(StrEnum):
    """The state of a request."""

    RECEIVED = "received"
    REJECTED = "rejected"
    UNMATCHED = "unmatched"
    OFFERED = "offered"
    DECLINED = "declined"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    APPROVED = "approved"
    SEALED = "sealed"
    HANDED_OVER = "handed over"
    DELIVERED = "delivered"
    WITHDRAWN = "withdrawn"
    FAILED = "failed"


class Step(StrEnum):
    """The step that a request takes."""

    REJECT = "reject"
    MATCH_NOT = "match not"
    OFFER = "offer"
    DECLINE = "decline"
    EXPIRE = "expire"
    CANCEL = "cancel"
    APPROVE = "approve"
    SEAL = "seal"
    HAND_OVER = "hand over"
    DELIVER = "deliver"
    WITHDRAW = "withdraw"
    FAIL = "fail"


_STOPS = {Step.WITHDRAW: State.WITHDRAWN, Step.FAIL: State.FAILED, Step.EXPIRE: State.EXPIRED}

TABLE: dict[State, dict[Step, State]] = {
    State.RECEIVED: {
        Step.REJECT: State.REJECTED,
        Step.MATCH_NOT: State.UNMATCHED,
        Step.OFFER: State.OFFERED,
    },
    State.OFFERED: {
        Step.DECLINE: State.DECLINED,
        Step.EXPIRE: State.EXPIRED,
        Step.CANCEL: State.CANCELLED,  # by the agency's signed word, or because it was unpinned
        Step.APPROVE: State.APPROVED,
    },
    State.APPROVED: {Step.SEAL: State.SEALED, **_STOPS},
    State.SEALED: {Step.HAND_OVER: State.HANDED_OVER, **_STOPS},
    State.HANDED_OVER: {Step.DELIVER: State.DELIVERED, **_STOPS},
    State.REJECTED: {},
    State.UNMATCHED: {},
    State.DECLINED: {},
    State.EXPIRED: {},
    State.CANCELLED: {},
    State.DELIVERED: {},
    State.WITHDRAWN: {},
    State.FAILED: {},
}

OPEN = frozenset(state for state, steps in TABLE.items() if steps)


class NoSuchStep(DoorbellError):
    """A request cannot take this step from its state."""


def after(state: State, step: Step) -> State:
    """Return the state that a step leads to. Raises NoSuchStep."""
    try:
        return TABLE[state][step]
    except KeyError:
        raise NoSuchStep(f"the request is {state}: it can be asked to {step} no longer") from None
