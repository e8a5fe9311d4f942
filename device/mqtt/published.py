"""What was published to which broker, kept over restarts: what is not published any more is cleared there.

A retained message outlives its publisher: a doorbell that got another id, another prefix or no discovery would stay
in Home Assistant for ever. The file also keeps which version of MQTT a broker took.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from device.config import MqttConfig

log = logging.getLogger(__name__)

MAX_BROKERS = 4
"""How many brokers are remembered; the longest unused one is forgotten first."""
MAX_TOPICS = 200
PROTOCOL_VALID_S = 7 * 86_400
"""For so long a broker's version of MQTT is used without a try of MQTT 5; it may have been updated since."""

Protocol = Literal["5", "3.1.1"]


class _BrokerFile(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    topics: list[str] = Field(max_length=MAX_TOPICS)
    protocol: Protocol = "5"
    protocol_at_s: int = 0


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    brokers: dict[str, _BrokerFile] = Field(max_length=MAX_BROKERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """At one broker: the topics that may hold a retained message of ours, and the version of MQTT that worked."""

    topics: frozenset[str] = frozenset()
    protocol: Protocol = "5"
    protocol_at_s: int = 0


@dataclass(frozen=True, slots=True)
class PublishedRecord:
    """By "host:port", in order of use."""

    brokers: Mapping[str, Published] = field(default_factory=dict)

    def at(self, broker: str) -> Published:
        """Return what is remembered of a broker."""
        return self.brokers.get(broker, Published())

    def with_broker(self, broker: str, published: Published) -> "PublishedRecord":
        """Return the record with another entry, as the last used one."""
        others = {name: kept for name, kept in self.brokers.items() if name != broker}
        kept = dict(list({**others, broker: published}.items())[-MAX_BROKERS:])
        return PublishedRecord(kept)

    def content(self) -> bytes:
        """Return the file."""
        brokers = {
            name: _BrokerFile(
                topics=sorted(kept.topics), protocol=kept.protocol, protocol_at_s=kept.protocol_at_s
            )
            for name, kept in self.brokers.items()
        }
        return _File(brokers=brokers).model_dump_json(indent=1).encode()


def record_from(content: bytes) -> PublishedRecord:
    """Read the file. Raises ValueError if it is anything else."""
    try:
        brokers = _File.model_validate_json(content).brokers
    except ValidationError as error:
        raise ValueError(f"{error.error_count()} mistakes") from error
    return PublishedRecord(
        {
            name: Published(
                topics=frozenset(kept.topics), protocol=kept.protocol, protocol_at_s=kept.protocol_at_s
            )
            for name, kept in brokers.items()
        }
    )


def broker_name(config: MqttConfig) -> str:
    """Return the key of a broker."""
    return f"{config.host}:{config.port}"


def load_record(path: Path) -> PublishedRecord:
    """Read the file; without one, or with a damaged one, nothing is known."""
    try:
        return record_from(path.read_bytes())
    except FileNotFoundError:
        return PublishedRecord()
    except (OSError, ValueError) as error:
        log.warning("mqtt_record_unreadable file=%s error=%r", path, error)
        return PublishedRecord()
