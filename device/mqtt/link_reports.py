"""What the controller learns of the connection: its state, why it ended, and whether a rival uses the client id."""

import logging
from typing import Any

from device.config import MqttConfig
from device.events import Fault, Inbox, MqttReport
from device.mqtt.reasons import ConnectionLost, described
from device.system.clock import Clock

log = logging.getLogger(__name__)

STEADY_US = 10_000_000
"""A connection that ends sooner keeps the delay growing: two clients with the same id end each other's."""
RIVAL_GONE_US = 60_000_000
"""For how long a connection has to last until another client with the same id counts as gone."""


class LinkReports:
    """Belongs to the publisher's thread."""

    def __init__(self, config: MqttConfig, *, client_id: str, root: str, inbox: Inbox, clock: Clock) -> None:
        self._config = config
        self._client_id = client_id
        self._root = root
        self._inbox = inbox
        self._clock = clock
        self._up_us: int | None = None
        self._rival = False
        self._short_lives = 0
        self._reported = ("", "")

    @property
    def is_up(self) -> bool:
        """Whether a connection is up."""
        return self._up_us is not None

    def up(self, protocol: str) -> None:
        """Report that the connection works."""
        self._up_us = self._clock.mono_us()
        self._report("up", protocol=protocol)
        self._inbox(Fault(code="mqtt_down", active=False))

    def down(self, lost: ConnectionLost) -> tuple[ConnectionLost, bool]:
        """Report the end of a connection or of an attempt; return why, and whether the connection was steady."""
        lost, steady = self._judged(lost)
        self._up_us = None
        fault = described(lost, self._config, client_id=self._client_id, root=self._root)
        self._report("down", text=fault["text"])
        self._inbox(Fault(code="mqtt_down", active=True, **fault))
        return lost, steady

    def tick(self) -> None:
        """End the fault of a rival once a connection has lasted."""
        if self._rival and self._up_us is not None and self._clock.mono_us() - self._up_us > RIVAL_GONE_US:
            self._report_rival(active=False)

    def off(self) -> None:
        """Report that MQTT is off, or that its settings are others."""
        self._inbox(MqttReport(mono_us=self._clock.mono_us(), state="off"))
        self._inbox(Fault(code="mqtt_rival", active=False))
        self._inbox(Fault(code="mqtt_down", active=False))

    def _judged(self, lost: ConnectionLost) -> tuple[ConnectionLost, bool]:
        if self._up_us is None:
            return lost, False
        steady = self._clock.mono_us() - self._up_us > STEADY_US
        self._short_lives = 0 if steady else self._short_lives + 1
        if not steady and lost.reason in ("closed", "ended"):
            lost = ConnectionLost("short", lost.detail)
        if lost.reason == "rival" or self._short_lives > 1:
            self._report_rival(active=True, suspected=lost.reason != "rival")
        return lost, steady and lost.reason != "rival"

    def _report_rival(self, *, active: bool, suspected: bool = False) -> None:
        self._rival = active
        name = self._client_id
        text = f"another client logs in to the broker as {name}, and the broker ends one connection for the other"
        if suspected:
            text = f"the broker ends each connection soon; perhaps another doorbell logs in as {name}, too"
        self._inbox(
            Fault(
                code="mqtt_rival",
                active=active,
                reason="suspected" if suspected else "",
                params={"client_id": name},
                text=text,
                remedy="give each doorbell a device.id of its own",
            )
        )

    def _report(self, state: Any, *, protocol: str = "", text: str = "") -> None:
        if (state, text) == self._reported:
            return
        self._reported = (state, text)
        log.info("mqtt state=%s broker=%s:%d %s", state, self._config.host, self._config.port, text)
        self._inbox(MqttReport(mono_us=self._clock.mono_us(), state=state, protocol=protocol, text=text))
