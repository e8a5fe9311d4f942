"""The owner's readers: clients of the home network that may read pictures, each with a token of its own.

A reader gets in only while the ledger has its grant, the owner has not revoked it, and the file of tokens has the
token's hash. So without a valid ledger nobody reads. The token itself is shown once and stored nowhere.
"""

import hmac
import json
import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from device.consent import owner_actions
from device.consent.reader_tokens import rtsp_ha1, sha256_of
from device.consent.reasons import Refused
from device.consent.views import AddedReaderView, ReaderScope, ReaderView
from device.consent_service.ledger_store import LedgerStore, as_command_error
from device.consent_service.revocations import Revocation, Revocations
from device.errors import CommandError
from device.spool.folders import write_small
from device.system.clock import rfc3339

log = logging.getLogger(__name__)

TOKENS_FILE = "readers.json"
MAX_PEERS_OF_READER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A client that may read now; `token_sha256` differs for each grant, also of the same name."""

    name: str
    scopes: frozenset[str]
    token_sha256: str
    rtsp_ha1: str


class Readers:
    """Its methods may be called from any thread. `find`, `may_read` and `peers` wait for nothing."""

    def __init__(self, ledger_store: LedgerStore, revocations: Revocations, state_dir: Path) -> None:
        self._ledger_store = ledger_store
        self._revocations = revocations
        self._state_dir = state_dir
        self._changing = threading.Lock()
        self._current: tuple[Reader, ...] = ()
        self._uses: dict[str, tuple[int, list[str]]] = {}
        """Last use (Unix microseconds) and addresses, newest last, of each reader; since the start."""
        self.on_change: list[Callable[[], None]] = []
        """Called after a reader was added or revoked, on any thread; must not wait."""
        ledger_store.on_open_or_close.append(self.refresh)

    @property
    def current(self) -> tuple[Reader, ...]:
        """The readers that may read now."""
        return self._current

    # --- who may read -------------------------------------------------------------------------------------

    def find(self, token: str, peer: str) -> Reader | None:
        """Return the reader that a token belongs to, and note that it was used from an address."""
        digest = sha256_of(token)
        for reader in self._current:
            if hmac.compare_digest(reader.token_sha256, digest):
                self.note_use(reader.name, peer)
                return reader
        return None

    def may_read(self, reader: Reader) -> bool:
        """Return whether a grant still stands; a stream asks before each picture."""
        return reader in self._current

    @property
    def broker_gets_press_pictures(self) -> bool:
        """Whether the owner lets the MQTT broker have the picture of each press."""
        return any("press_picture" in reader.scopes for reader in self._current)

    def note_use(self, name: str, peer: str) -> None:
        """Note that a reader was used from an address."""
        _, peers = self._uses.get(name, (0, []))
        if peer and peer not in peers:
            peers = [*peers, peer][-MAX_PEERS_OF_READER:]
        self._uses[name] = self._ledger_store.clock.wall_us(), peers

    def peers(self) -> set[str]:
        """Return the addresses that readers were last used from."""
        names = {reader.name for reader in self._current}
        return {peer for name, (_, peers) in tuple(self._uses.items()) if name in names for peer in peers}

    # --- the owner ----------------------------------------------------------------------------------------

    def views(self) -> list[ReaderView]:
        """Return every reader, without its token. Raises CommandError."""
        with self._ledger_store.locked_for_owner() as ledger:
            grants = list(ledger.state.readers.values())
        views: list[ReaderView] = []
        for grant in grants:
            used_us, peers = self._uses.get(grant.name, (0, []))
            views.append(
                {
                    "name": grant.name,
                    "scopes": list(grant.scopes),
                    "added_at": grant.added_at,
                    "used_at": used_us // 1_000_000 or None,
                    "peers": peers,
                }
            )
        return views

    def add(self, name: str, scopes: Sequence[ReaderScope]) -> AddedReaderView:
        """Let a client read; return its token, which nothing stores (None for the broker). Raises CommandError."""
        token = None if name == owner_actions.BROKER else secrets.token_urlsafe(32)
        hashes = {"sha256": "", "rtsp_ha1": ""}
        if token:
            hashes = {"sha256": sha256_of(token), "rtsp_ha1": rtsp_ha1(name, token)}
        with self._changing:
            with self._ledger_store.locked_for_owner() as ledger:
                draft = owner_actions.reader_added(name, scopes, ledger.state)
                try:
                    self._revocations.forget("reader", name)
                    self._keep(name, hashes)
                except OSError as error:
                    raise CommandError(
                        f"{error.filename}: {error.strerror}", code="not_saved", detail=str(error.strerror)
                    ) from error
                self._uses.pop(name, None)
                ledger.write([draft])
            self.refresh()
        log.info("reader_added name=%s scopes=%s", name, ",".join(sorted(scopes)))
        return {"name": name, "token": token}

    def remove(self, name: str) -> None:
        """Revoke a reader's access and end its streams, at once, whether or not there is a ledger.

        Raises CommandError if there is none, or if it could not be written down.
        """
        known = name in self._digests()
        self._revocations.hold("reader", name)
        self._current = tuple(reader for reader in self._current if reader.name != name)
        self._tell()
        with self._changing, self._ledger_store.locked() as ledger:
            state = ledger.state if ledger else self._ledger_store.last_state
            try:
                draft = owner_actions.reader_removed(name, state) if state else None
            except Refused as error:
                self._revocations.release("reader", name)
                raise as_command_error(error) from error
            if draft is None and not known:
                self._revocations.release("reader", name)
                raise CommandError(
                    f"the ledger cannot be read (yet): nobody reads, and {name} is not known",
                    code="no_such_name",
                    name=name,
                )
            with suppress(OSError):  # the ledger's entry, or the revocation, keeps it out as well
                self._keep(name, None)
            if not self._ledger_store.write_or_report(ledger, draft):
                self._note(name)
        log.info("reader_removed name=%s", name)

    def _note(self, name: str) -> None:
        at = rfc3339(self._ledger_store.clock.wall_us())
        try:
            self._revocations.add(Revocation(kind="reader", name=name, at=at))
        except OSError as error:
            raise CommandError(
                f"it is revoked while doorbelld runs, but that could not be written down ({error.filename}: "
                f"{error.strerror}): make room on the disk or repair it, and revoke it again",
                code="stop_not_written",
                detail=str(error.strerror),
            ) from error

    def refresh(self) -> None:
        """Read again from ledger, revocations and file who may read."""
        digests = self._digests()
        with self._ledger_store.locked() as ledger:
            grants = tuple(ledger.state.readers.values()) if ledger else ()
        self._current = tuple(
            Reader(
                name=grant.name,
                scopes=frozenset(grant.scopes),
                token_sha256=digests[grant.name]["sha256"],
                rtsp_ha1=digests[grant.name]["rtsp_ha1"],
            )
            for grant in grants
            if grant.name in digests and not self._revocations.is_revoked("reader", grant.name)
        )
        self._tell()

    def _tell(self) -> None:
        for changed in self.on_change:
            changed()

    def _digests(self) -> dict[str, dict[str, str]]:
        with suppress(OSError, ValueError, AttributeError, TypeError):
            found = json.loads((self._state_dir / TOKENS_FILE).read_bytes())
            return {
                name: dict(hashes) for name, hashes in found.items() if {"sha256", "rtsp_ha1"} <= set(hashes)
            }
        return {}

    def _keep(self, name: str, hashes: dict[str, str] | None) -> None:
        """Store a token's hashes in a file that only the daemon can read; None deletes it. Raises OSError."""
        kept = self._digests()
        if kept.pop(name, None) is None and hashes is None:
            return
        if hashes is not None:
            kept[name] = hashes
        write_small(self._state_dir, TOKENS_FILE, json.dumps(kept).encode(), mode=0o600)
