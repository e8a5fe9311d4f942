"""The consent service's thread: it reads the spool, matches and expires requests, and writes the courier's settings.

Each message is validated (`consent/validation.py`) and becomes an entry before anybody learns of it. The thread
cannot approve. Nothing that it does is visible outside the home: it writes the courier's settings when the owner
changes them, and the numbers of the bundles that it has read, which do not depend on the contents.
"""

import errno
import hashlib
import json
import logging
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from device.config import NeighbourhoodConfig
from device.consent import entries, validation
from device.consent.entries import LedgerEntryDraft
from device.consent.geohash import region_cells
from device.consent.reasons import Reason, Refused
from device.consent.states import State, Step
from device.consent.validation import HomePosition
from device.consent_service.clip_source import ClipSource
from device.consent_service.ledger import LedgerBroken
from device.consent_service.ledger_store import LedgerStore, LockedLedger
from device.consent_service.serializers import notice_view
from device.errors import CommandError
from device.events import Fault, NoticeHeard
from device.spool.courier_settings import CourierSettingsFile, UploadLimits
from device.spool.folders import SETTINGS, Item, SpoolReader, Unreadable, items_of, write_small
from device.system.worker import Worker

log = logging.getLogger(__name__)

STEP_S = 0.25
SLICE_ITEMS = 20
BREATH_S = 0.002
"""Pause between slices of a bundle, so that a flood leaves processor time for a press."""
MAX_REFUSED_BODIES = 100
MAX_UNKNOWN_BYTES = 2_000_000
US = 1_000_000
LOOK_S, PATIENCE_S = 10.0, 900.0
MAX_CA_BYTES = 49_152
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


class InboxWorker:
    """`run` is the consent service's thread. `configure` may be called from any other; a method that takes a
    `LockedLedger` by whoever holds it.
    """

    def __init__(self, ledger_store: LedgerStore, config: NeighbourhoodConfig, footage: ClipSource) -> None:
        self._ledger_store = ledger_store
        self._config = config
        self._footage = footage
        self._clock_was_good = True
        self._configured = threading.Event()
        self._settings_due = True
        self._spool: SpoolReader | None = None
        self._strangers: set[str] = set()
        self._unknown: OrderedDict[bytes, Item] = OrderedDict()
        self._unknown_bytes = 0
        self._bodies_kept = 0
        self._mark: int | None = None
        """Of the courier's last report: any other one is a newer report, whatever time its file names."""
        self._since_s = self._look_s = self._server_down_s = 0.0
        self._obstacle, self._obstacle_s = "", 0.0

    def run(self, worker: Worker) -> None:
        """Work until `worker.stopping` is set."""
        self._ledger_store.open()
        with self._ledger_store.locked() as ledger:
            if ledger:
                self._bodies_kept = ledger.number_of_refused_bodies()
        while not worker.stopping.is_set():
            worker.beat()
            if not self.step(worker):
                worker.stopping.wait(STEP_S)
        self._ledger_store.close()

    def configure(self, config: NeighbourhoodConfig) -> None:
        """Take other settings."""
        self._config = config
        self._configured.set()

    def step(self, worker: Worker) -> bool:
        """Do what is due; return whether there may be more to do at once."""
        if self._configured.is_set():
            self._configured.clear()
            self._begin_again()
        with self._ledger_store.locked() as ledger:
            if ledger is None or not self._clock_is_good():
                return False
            try:
                if self._settings_due:
                    self._write_settings(ledger)
                self._expire(ledger)
                self._match(ledger)
                if not self._config.enabled:
                    return False
            except LedgerBroken as error:
                self._ledger_store.report_broken(error)
                return False
        return self._read_spool(worker)

    def _begin_again(self) -> None:
        """Reset the state that belongs to a courier with other settings."""
        self._settings_due = True
        self._spool = None
        self._mark = None
        self._since_s = self._look_s = self._server_down_s = 0.0
        self._obstacle, self._obstacle_s = "", 0.0
        for code in ("courier_silent", "server_down", "spool_blocked"):
            self._ledger_store.faults.end(code)

    def _clock_is_good(self) -> bool:
        good = self._ledger_store.clock_is_good()
        if good is self._clock_was_good:
            return good
        self._clock_was_good = good
        text = "the clock is behind the ledger's newest entry: requests and notices wait until it is set"
        remedy = "check that the doorbell reaches a time server"
        self._ledger_store.faults.report(
            Fault(code="clock_behind", active=not good, text=text, remedy=remedy)
        )
        return good

    def _look_at_courier(self, spool: SpoolReader) -> None:
        """Raise a fault if the courier is silent or has no connection; nothing else would show it."""
        now_s = self._ledger_store.clock.mono_us() / US
        self._since_s = self._since_s or now_s
        if now_s < self._look_s:
            return
        self._look_s = now_s + LOOK_S
        try:
            status = spool.status()
            how = json.loads(status[1])["how"] if status else {}
            server = str(how.get("server", ""))[:300]
        except (OSError, Unreadable, ValueError, KeyError, TypeError, AttributeError):
            status, server = None, ""
        if status and status[0] != self._mark:
            self._mark, self._since_s = status[0], now_s
        silent = now_s - self._since_s > PATIENCE_S
        text = "the courier has not reported for 15 minutes: no request and no notice is received"
        remedy = "check that it runs: systemctl status doorbelld-courier"
        self._ledger_store.faults.report(
            Fault(code="courier_silent", active=silent, text=text, remedy=remedy)
        )
        if server in ("up", ""):
            self._server_down_s = 0.0
        else:
            self._server_down_s = self._server_down_s or now_s
        down = not silent and bool(self._server_down_s) and now_s - self._server_down_s > PATIENCE_S
        why = server if server.isprintable() else "?"
        text = f"the courier cannot reach the community server's broker ({why})"
        remedy = "check neighbourhood.broker_host and broker_port, and that the courier reaches the internet"
        self._ledger_store.faults.report(
            Fault(code="server_down", active=down, params={"why": why}, text=text, remedy=remedy)
        )
        self._look_at_obstacles(spool, now_s)

    def _look_at_obstacles(self, spool: SpoolReader, now_s: float) -> None:
        """Raise a fault for what no courier writes, and for what it does not remove: messages could be missing."""
        folder = self._config.spool_dir / "in"
        try:
            strange = list(islice(spool.strangers(), MAX_REFUSED_BODIES))
            unread = len(spool.waiting())
        except OSError:
            return  # there is no spool; reported when the settings were written
        obstacle, params = "", {"folder": str(folder)}
        if strange:
            obstacle = f"{folder}: {ascii(strange[0])[:80]} is there, which no courier writes"
            params["file"] = ascii(strange[0])[:80]
        elif spool.unpruned() or unread:
            obstacle = f"{folder}: the courier does not remove what was read, or files there cannot be read"
        if not obstacle:
            self._obstacle_s = 0.0
        elif not self._obstacle_s:
            self._obstacle_s = now_s
        # What an honest courier leaves for a moment is no obstacle.
        blocked = bool(strange) or (bool(self._obstacle_s) and now_s - self._obstacle_s > PATIENCE_S)
        remedy = "restart doorbelld-courier; if it stays, look at that folder and remove the file"
        self._ledger_store.faults.report(
            Fault(
                code="spool_blocked",
                active=blocked,
                reason="stranger" if strange else "unread",
                params=params,
                text=obstacle,
                remedy=remedy,
            )
        )

    def _write_settings(self, ledger: LockedLedger) -> None:
        config = self._config
        try:
            content = courier_settings(config, ledger.state.feeds)
            if config.spool_dir.is_dir():
                write_small(config.spool_dir / "out", SETTINGS, content)
            elif config.enabled:
                raise FileNotFoundError(2, "no such folder", str(config.spool_dir))
        except OSError as error:
            path, why = str(error.filename or config.spool_dir), error.strerror or ""
            is_certificate = path == config.broker_ca_file
            remedy = "see systemd/README.md, 'The spool'"
            if is_certificate:
                remedy = "set neighbourhood.broker_ca_file to the certificate (PEM) of the server's authority"
            fault = Fault(
                code="spool_settings",
                active=True,
                reason="certificate" if is_certificate else "",
                params={"path": path, "why": why},
                text=f"{path}: {why}; the courier gets no settings",
                remedy=remedy,
            )
            self._ledger_store.faults.report(fault)
            return
        self._settings_due = False
        self._ledger_store.faults.end("spool_settings")

    def _read_spool(self, worker: Worker) -> bool:
        if self._spool is None:
            folder = self._config.spool_dir
            self._spool = SpoolReader(folder / "in", folder / "out")
        spool = self._spool
        self._look_at_courier(spool)
        try:
            waiting = spool.waiting()
            there = set(islice(spool.strangers(), MAX_REFUSED_BODIES))
            known, strange = there & self._strangers, there - self._strangers
        except OSError:
            return False  # there is no spool (yet); reported when the settings were written
        # Those that are there now: a courier that invents new names must not fill the memory.
        self._strangers = known | strange
        refused: Counter[str] = Counter({Reason.NOT_A_FILE: len(strange)} if strange else {})
        some_read = False
        for number in waiting:
            if worker.stopping.is_set():
                return False
            worker.beat()
            content: bytes | Unreadable
            try:
                content = spool.open(number)
            except Unreadable as error:
                content = error
            except OSError as error:
                # It stays for later, and does not keep the others waiting.
                log.warning("spool %s: %s", error.filename, error.strerror)
                continue
            if not self._read_bundle(spool, number, content, refused, worker):
                return False
            some_read = True
            refused = Counter()
        if refused:
            self._count(refused, [])
        return some_read

    def _read_bundle(
        self,
        spool: SpoolReader,
        number: int,
        content: bytes | Unreadable,
        refused: Counter[str],
        worker: Worker,
    ) -> bool:
        """Take a bundle in; return False if it has to be read again later."""
        bodies: list[tuple[str, str, bytes]] = []
        items: list[Item] = []
        try:
            if isinstance(content, Unreadable):
                raise content
            items = items_of(content, str(number))
        except Unreadable as error:
            refused[error.word] += 1
            if self._bodies_kept < MAX_REFUSED_BODIES:
                bodies.append((error.word, error.name, b""))
        for start in range(0, len(items), SLICE_ITEMS):
            with self._ledger_store.locked() as ledger:
                if not ledger or not self._take_slice(
                    ledger, items[start : start + SLICE_ITEMS], refused, bodies
                ):
                    return False
            worker.stopping.wait(BREATH_S)
        if not self._count(refused, bodies):
            return False
        try:
            spool.done(number)
        except OSError as error:
            log.warning("spool %s: %s", error.filename, error.strerror)
            return False
        return True

    def _take_slice(
        self,
        ledger: LockedLedger,
        items: Sequence[Item],
        refused: Counter[str],
        bodies: list[tuple[str, str, bytes]],
    ) -> bool:
        for item in items:
            try:
                drafts = self._heard(ledger, item)
                if drafts:
                    ledger.write(drafts)
                    self._tell_news(ledger, drafts)
            except Refused as error:
                refused[error.reason] += 1
                if error.reason is Reason.UNKNOWN_KEY:
                    self._remember(item)
                if self._bodies_kept + len(bodies) < MAX_REFUSED_BODIES:
                    bodies.append((error.reason, error.detail, item.content[: validation.MAX_KEPT_BYTES]))
            except LedgerBroken as error:
                self._ledger_store.report_broken(error)
                return False
        return True

    def _heard(self, ledger: LockedLedger, item: Item) -> list[LedgerEntryDraft]:
        """Return what an item adds to the ledger. Raises Refused, also if the gate itself fails.

        Elsewhere a bug ends the process. Here a stranger could stop the doorbell again and again with one message.
        """
        ledger_store = self._ledger_store
        try:
            return validation.heard(
                item.source,
                item.content,
                ledger_state=ledger.state,
                home=self._home(),
                now=ledger_store.now(),
            )
        except Refused:
            raise
        except Exception as error:
            log.exception("gate_failed source=%s bytes=%d", item.source, len(item.content))
            text = f"a received message made the check fail ({type(error).__name__}); it was refused"
            remedy = "the bell is not affected; please report it, with the output of `doorbell ledger export`"
            why = type(error).__name__
            ledger_store.faults.report(
                Fault(code="gate_failed", active=True, params={"why": why}, text=text, remedy=remedy)
            )
            raise Refused(Reason.GATE_FAILED, type(error).__name__) from error

    def _remember(self, item: Item) -> None:
        """Keep messages of unknown keys for a while: the owner may pin the sender shortly, and the community server
        repeats them only after hours.
        """
        digest = hashlib.sha256(item.content).digest()
        if digest not in self._unknown:
            self._unknown[digest] = item
            self._unknown_bytes += len(item.content)
        while self._unknown_bytes > MAX_UNKNOWN_BYTES:
            _, oldest = self._unknown.popitem(last=False)
            self._unknown_bytes -= len(oldest.content)

    def hear_again(self, ledger: LockedLedger) -> None:
        """Process again the messages that were refused for an unknown key."""
        items = list(self._unknown.values())
        self._unknown.clear()
        self._unknown_bytes = 0
        self._take_slice(ledger, items, Counter(), [])

    def _count(self, refused: Counter[str], bodies: list[tuple[str, str, bytes]]) -> bool:
        if not refused:
            return True
        with self._ledger_store.locked() as ledger:
            if ledger is None:
                return False
            try:
                ledger.count_refused(refused, bodies)
            except LedgerBroken as error:
                self._ledger_store.report_broken(error)
                return False
            self._bodies_kept += len(bodies)
        for reason, number in refused.items():
            log.info("refused reason=%s count=%d", reason, number)
        return True

    def _tell_news(self, ledger: LockedLedger, drafts: Sequence[LedgerEntryDraft]) -> None:
        """Give the controller each new or cancelled notice for this home."""
        for notice in validation.news(drafts, ledger.state):
            if notice.here:
                shown = notice_view(notice, ledger.state, self._ledger_store.now())
                self._ledger_store.inbox(
                    NoticeHeard(mono_us=self._ledger_store.clock.mono_us(), notice=shown)
                )

    def _match(self, ledger: LockedLedger) -> None:
        for case in list(ledger.state.open_cases()):
            if case.state is not State.RECEIVED:
                continue
            window = case.request.window
            try:
                found = self._footage.has(window.start * 1_000_000, window.end * 1_000_000)
            except CommandError as error:
                log.info("match_waits %s", error)
                return  # the index is not there yet: the request stays received
            ledger.write([validation.matched(case.request, home=self._home_or_none(), has_footage=found)])

    def _expire(self, ledger: LockedLedger) -> None:
        now = self._ledger_store.now()
        for case in ledger.state.open_cases():
            if case.state is State.RECEIVED:
                continue
            if case.ends_at:  # approved: while the clock is not known to be right, it waits without a lease
                is_over = self._ledger_store.clock_was_set() and not self._ledger_store.approval_left_s(case)
            else:
                is_over = case.request.exp <= now
            if is_over:
                ledger.write([entries.step(case.key, case.state, Step.EXPIRE)])
        ledger.forget(now)

    def _home(self) -> HomePosition:
        return HomePosition(longitude=self._config.longitude, latitude=self._config.latitude)

    def _home_or_none(self) -> HomePosition | None:
        return self._home() if self._config.enabled else None

    def settings_changed(self) -> None:
        """Mark the courier's settings to be written at the next step."""
        self._settings_due = True


def courier_settings(config: NeighbourhoodConfig, feeds: Mapping[str, str]) -> bytes:
    """Return the courier's settings file: broker, the region's cells, feeds, limits. No position, no key."""
    limits: UploadLimits = {"kbps": config.upload_kbps, "hours": config.upload_hours}
    settings: CourierSettingsFile = {"v": 1, "broker": None, "cells": [], "feeds": {}, "upload": limits}
    if config.enabled:
        ca_pem = _certificates_in(Path(config.broker_ca_file)) if config.broker_ca_file else ""
        settings["broker"] = {"host": config.broker_host, "port": config.broker_port, "ca_pem": ca_pem}
        settings["cells"] = region_cells(config.longitude, config.latitude)
        settings["feeds"] = dict(feeds)
    return json.dumps(settings, indent=1).encode()


def _certificates_in(path: Path) -> str:
    """Return the certificates of a PEM file, and nothing else of it: the courier gets them. Raises OSError."""
    with path.open("rb") as file:
        content = file.read(MAX_CA_BYTES + 1)
    found = _CERTIFICATE.findall(content)
    if len(content) > MAX_CA_BYTES or not found:
        what = (
            f"is larger than {MAX_CA_BYTES} bytes"
            if len(content) > MAX_CA_BYTES
            else "has no certificate (PEM)"
        )
        raise OSError(errno.EINVAL, what, str(path))
    return b"\n".join(found).decode() + "\n"
