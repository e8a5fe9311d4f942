"""Decides whether an envelope is published, in which cells, and which items it ends. No socket, no spool.

It uses the doorbell's own checks and rules (device/consent), with the enrolled senders in place of pinned ones: every
doorbell whose owner pinned the sender would accept a published item.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from device.consent.envelope import NOTICE, RECORD, REQUEST, header, read
from device.consent.ledger_state import LedgerState
from device.consent.models import MAX_AREA_CORNERS, FootageRequest, Notice, notice_of, request_of
from device.consent.reasons import Reason, Refused
from device.consent.sender_records import record_in
from device.consent.validation import HomePosition, heard
from server.cells import cells_of
from server.items import Accepted, Items

log = logging.getLogger(__name__)

NOWHERE = HomePosition(longitude=0.0, latitude=0.0)
KINDS = {REQUEST: "request", NOTICE: "notice"}


class Validator:
    """Checks envelopes, stores the accepted ones in `items`, and returns which to publish and which to remove."""

    def __init__(self, items: Items, senders: Path, now: int) -> None:
        """`senders` is the folder of the enrolled senders' records, `*.jws`."""
        self._items = items
        self._ledger_state = LedgerState()
        for path in sorted(senders.glob("*.jws")):
            self._enrol(path, now)
        for item in self._items.all():
            try:
                self._learn(item.kind, item.envelope, item.at)
            except Refused as error:
                log.info("ignored kind=%s id=%s reason=%s", item.kind, item.id, error.reason)

    def _enrol(self, path: Path, now: int) -> None:
        try:
            content = path.read_bytes().strip()
            _, record = record_in(content)
            self._ledger_state.take("sender_pinned", {}, content, now)
        except (OSError, Refused) as error:
            log.error("not_enrolled file=%s %s", path.name, error)
            return
        log.info("enrolled sender=%s kind=%s record=%d", record.sender, record.kind, record.serial)

    def take(self, content: bytes, now: int) -> tuple[list[Accepted], list[Accepted]]:
        """Return the items to publish and to remove. Raises Refused; then nothing was changed."""
        content = content.strip()
        typ, _, _ = header(content, (REQUEST, NOTICE, RECORD))
        if typ == RECORD:
            raise Refused(Reason.WRONG_TYPE, "records are enrolled by hand")
        kind = KINDS[typ]
        parse = request_of if typ == REQUEST else notice_of
        envelope = read(content, types=(typ,), kids=self._ledger_state.keys)
        message = parse(envelope.payload)
        sender = str(envelope.payload["agency" if typ == REQUEST else "source"])
        cells: Sequence[str]
        if isinstance(message, FootageRequest | Notice):
            cells, expires = cells_of(message.area.corners(MAX_AREA_CORNERS)), message.exp
        else:
            before = self._items.find(kind, sender, message.id)
            if before is None:
                raise Refused(Reason.UNKNOWN_ID, message.id)
            cells, expires = before.cells, before.expires
        if not self._learn(kind, content, now):
            return [], []  # a second copy
        item = Accepted(
            kind=kind,
            sender=sender,
            id=message.id,
            op="issue" if isinstance(message, FootageRequest | Notice) else "cancel",
            at=now,
            expires=expires,
            cells=tuple(cells),
            envelope=content,
        )
        self._items.add(item)
        gone = []
        for name in message.supersedes if isinstance(message, Notice) else ():
            old = self._items.find(kind, sender, name)
            if old:
                self._items.end(kind, sender, name)
                gone.append(old)
        return [item], gone

    def _learn(self, kind: str, content: bytes, now: int) -> bool:
        """Apply an envelope to the state; return whether it was new. Raises Refused."""
        drafts = heard(kind, content, ledger_state=self._ledger_state, home=NOWHERE, now=now)
        rejected = [draft for draft in drafts if draft.data.get("to") == "rejected"]
        if rejected:
            word, _, detail = rejected[0].data["why"].partition(": ")
            raise Refused(Reason(word), detail)
        for draft in drafts:
            self._ledger_state.take(draft.kind, draft.data, draft.body, now)
        return bool(drafts)
