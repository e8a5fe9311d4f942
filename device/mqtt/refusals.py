"""Which topics the broker refuses while the connection goes on, as faults: one for each reason."""

from device.events import Fault, Inbox
from device.mqtt.reasons import FAILURE, REFUSALS, refusal

SHOWN = 3
"""How many topics a fault lists."""


class Refusals:
    """Takes each answer of the broker. A topic is taken again as soon as one message to it was acknowledged."""

    def __init__(self, inbox: Inbox, *, user: str, root: str, discovery: str) -> None:
        self._inbox = inbox
        self._names = {"user": user, "root": root, "discovery": discovery}
        self._reasons: dict[str, str] = {}
        self._reported: dict[str, list[str]] = {}

    def published(self, topic: str, code: int) -> None:
        """Take the reason code of a PUBACK."""
        self._take(topic, refusal(code) if code >= FAILURE else None)

    def subscribed(self, topic_filter: str, code: int) -> None:
        """Take the reason code of a SUBACK."""
        self._take(topic_filter, "subscribe" if code >= FAILURE else None)

    def ended_connection(self, topic: str) -> None:
        """Take that the broker ends each connection at this topic, so that it is not sent any more."""
        self._take(topic, "too_large")

    def clear(self) -> None:
        """End every fault; the settings are others now."""
        self._reasons.clear()
        self._report()

    def _take(self, topic: str, reason: str | None) -> None:
        if self._reasons.get(topic) == reason:
            return
        if reason is None:
            del self._reasons[topic]
        else:
            self._reasons[topic] = reason
        self._report()

    def _report(self) -> None:
        for reason, (text, remedy) in REFUSALS.items():
            topics = sorted(topic for topic, why in self._reasons.items() if why == reason)
            if topics == self._reported.get(reason, []):
                continue
            self._reported[reason] = topics
            more = [f"… ({len(topics)})"] if len(topics) > SHOWN else []
            params = {**self._names, "topics": ", ".join([*topics[:SHOWN], *more])}
            self._inbox(
                Fault(
                    code="mqtt_refused",
                    active=bool(topics),
                    subject=reason,
                    reason=reason,
                    params=params,
                    text=text.format(**params),
                    remedy=remedy.format(**params),
                )
            )
