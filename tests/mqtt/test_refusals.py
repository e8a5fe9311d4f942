"""What a broker refuses, and what each refusal costs: real mosquitto with access lists, passwords, limits and TLS."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from device.config import MqttConfig
from device.errors import CommandError
from device.mqtt.reasons import ENDINGS, REFUSALS, described, disconnected
from device.mqtt.single_connection import try_broker
from server.dev_processes import wait_for
from tests.mqtt.link import Link
from tests.support.broker import Broker, Listener
from tests.support.certificates import Authority

DISCOVERY = ("homeassistant/device/porch/config", "x" * 4383)
LISTENER_ACL = "topic read #\ntopic readwrite doorbelld/#\n"

Make = Callable[..., Link]


@pytest.fixture
def link() -> Iterator[Make]:
    links: list[Link] = []

    def make(*words: Any, **options: Any) -> Link:
        links.append(Link(*words, **options))
        return links[-1]

    yield make
    for made in links:
        made.stop()


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    running: list[Broker] = []

    def make(*lines: str, **options: Any) -> Broker:
        running.append(Broker(tmp_path, *lines, **options))
        return running[-1]

    yield make
    for broker in running:
        broker.stop()


def ten_rings(link: Link, port: int) -> list[str]:
    """Ring ten times; return the ids that a subscriber hears."""
    listener = Listener(port)
    link.wait_up()
    for _ in range(10):
        link.press()
    wait_for("ten settled presses", lambda: len(link.settled()) == 10)
    heard = [json.loads(press)["event_id"] for press in listener.of("press")]
    listener.close()
    return heard


def test_an_access_list_that_forbids_discovery_costs_discovery_alone(
    brokers: Callable[..., Broker], link: Make
) -> None:
    broker = brokers(acl=LISTENER_ACL)
    door = link(port=broker.port, messages=(DISCOVERY,))
    assert ten_rings(door, broker.port) == [str(n) for n in range(1, 11)]
    assert set(door.settled().values()) == {True}
    fault = door.fault("mqtt_refused")
    assert fault.reason == "publish"
    assert "doorbelld-porch" in fault.text
    assert DISCOVERY[0] in fault.text
    assert "mqtt_down" not in {code for code, _ in door.faults()}


@pytest.mark.parametrize("limit", ["max_packet_size 4000", "message_size_limit 4000"])
def test_a_discovery_message_over_the_packet_limit_costs_discovery_alone(
    brokers: Callable[..., Broker], link: Make, limit: str
) -> None:
    broker = brokers(limit)
    door = link(port=broker.port, messages=(DISCOVERY,))
    assert ten_rings(door, broker.port) == [str(n) for n in range(1, 11)]
    assert door.fault("mqtt_refused").reason == "too_large"


def test_a_press_that_the_access_list_forbids_is_missed_and_nothing_else(
    brokers: Callable[..., Broker], link: Make
) -> None:
    broker = brokers(
        acl="topic read #\ntopic write doorbelld/porch/state\ntopic write doorbelld/porch/availability\n"
    )
    door = link(port=broker.port)
    door.wait_up()
    door.press()
    wait_for("the press to be settled", lambda: door.settled() == {1: False})
    assert door.missed() == [(1, "refused")]
    assert "doorbelld/porch/press" in door.fault("mqtt_refused").text
    listener = Listener(broker.port)
    door.publisher.retain("state", "{}")
    wait_for("the state", lambda: listener.of("state"))
    listener.close()
    assert door.state() == "up"


def test_a_refused_log_waits_and_everything_else_goes_on(brokers: Callable[..., Broker], link: Make) -> None:
    broker = brokers(
        acl="topic read #\ntopic write doorbelld/porch/press\ntopic write doorbelld/porch/availability\n"
    )
    door = link(port=broker.port)
    listener = Listener(broker.port)
    door.wait_up()
    door.publisher.replay.grew()
    wait_for("a question for the log", lambda: door.asked_log)
    from device.mqtt.log_replay import LogPage

    door.publisher.replay.page(LogPage(after_seq=None, acked_seq=0, rows=[(1, "{}"), (2, "{}")]))
    assert "doorbelld/porch/log" in door.fault("mqtt_refused").text
    door.press()
    wait_for("the press", lambda: listener.of("press"))
    listener.close()


def test_a_subscription_that_is_refused_costs_only_what_it_brings(
    brokers: Callable[..., Broker], link: Make, tmp_path: Path
) -> None:
    """An access list cannot refuse a subscription in mosquitto; its plugin for dynamic security can."""
    plugin = next(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"))
    access = {
        "publishClientSend": True,
        "publishClientReceive": True,
        "subscribe": False,
        "unsubscribe": True,
    }
    rules = tmp_path / "dynamic.json"
    rules.write_text(json.dumps({"defaultACLAccess": access, "clients": [], "groups": [], "roles": []}))
    broker = brokers(f"plugin {plugin}", f"plugin_opt_config_file {rules}")
    door = link(port=broker.port, messages=(DISCOVERY,))
    door.wait_up()
    fault = door.fault("mqtt_refused")
    assert fault.reason == "subscribe"
    wait_for(
        "both subscriptions in one fault",
        lambda: (
            {"doorbelld/porch/+/set", "homeassistant/status"}
            <= set(str(door.fault("mqtt_refused").params["topics"]).split(", "))
        ),
    )
    door.press()
    wait_for("the press to be given up", lambda: door.settled() == {1: False})
    assert door.missed() == [(1, "no_subscriber")]
    assert door.state() == "up"


@pytest.mark.parametrize(
    ("code", "reason"),
    [(139, "stopped"), (142, "rival"), (149, "packet"), (151, "rate"), (152, "ended"), (200, "ended")],
)
def test_each_reason_of_a_disconnection_is_told_apart(code: int, reason: str) -> None:
    lost = disconnected(code, "detail")
    assert lost.reason == reason
    fault = described(lost, MqttConfig(), client_id="doorbelld-porch", root="doorbelld/porch")
    assert "{" not in fault["text"] + fault["remedy"]


def test_every_reason_code_can_be_read_in_every_answer() -> None:
    for packet in (PacketTypes.CONNACK, PacketTypes.PUBACK, PacketTypes.SUBACK, PacketTypes.DISCONNECT):
        for code in range(256):
            read = ReasonCode(packet, "Unspecified error")
            read.unpack(bytes([code]))
            assert read.value == code
            assert read.is_failure == (code >= 128)
            assert read.getName()


def password_file(folder: Path, name: str, word: str) -> Path:
    file = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", file, name, word], check=True)
    return file


def test_a_wrong_password_and_a_missing_one_are_told_apart(
    brokers: Callable[..., Broker], link: Make, tmp_path: Path
) -> None:
    broker = brokers(f"password_file {password_file(tmp_path, 'bell', 'right')}", anonymous=False)
    (tmp_path / "wrong").write_text("wrong")
    wrong = link(port=broker.port, username="bell", password_file=str(tmp_path / "wrong"))
    assert (fault := wrong.fault("mqtt_down")).reason == "login"
    assert "bell" in fault.text
    assert "password" in fault.remedy
    assert link("yard", port=broker.port).fault("mqtt_down").reason == "login_missing"
    with pytest.raises(CommandError) as refused:
        try_broker(MqttConfig(host="127.0.0.1", port=broker.port, username="bell"), "porch", "wrong")
    assert (refused.value.code, refused.value.params["reason"]) == ("mqtt_down", "login")


@pytest.mark.parametrize(("line", "reason"), [("retain_available false", "retain"), ("max_qos 0", "qos")])
def test_a_broker_without_a_needed_ability_is_named(
    brokers: Callable[..., Broker], link: Make, line: str, reason: str
) -> None:
    broker = brokers(line)
    assert link(port=broker.port).fault("mqtt_down").reason == reason


def test_two_doorbells_with_one_id_both_name_it(brokers: Callable[..., Broker], link: Make) -> None:
    broker = brokers()
    one = link(port=broker.port)
    one.wait_up()
    two = link(port=broker.port)
    for door in (one, two):
        fault = door.fault("mqtt_rival")
        assert "doorbelld-porch" in fault.text
        assert "device.id" in fault.remedy
    assert one.fault("mqtt_rival").params["client_id"] == "doorbelld-porch"


def test_a_broker_that_is_stopped_is_no_rival(brokers: Callable[..., Broker], link: Make) -> None:
    broker = brokers()
    door = link(port=broker.port)
    door.wait_up()
    broker.stop()
    door.fault("mqtt_down")
    assert "mqtt_rival" not in {code for code, _ in door.faults()}
    broker.start()
    door.wait_up()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls(authority: Authority, name: str = "127.0.0.1", *, days: int = 20) -> tuple[str, ...]:
    """Return mosquitto's settings for TLS."""
    certificate, key = authority.sign(name, days=days)
    return f"cafile {authority.file}", f"certfile {certificate}", f"keyfile {key}"


def test_a_connection_with_tls_works(
    brokers: Callable[..., Broker], link: Make, authority: Authority
) -> None:
    broker = brokers(*tls(authority))
    link(port=broker.port, ca_file=str(authority.file)).wait_up()


def test_a_certificate_for_another_name_is_named(
    brokers: Callable[..., Broker], link: Make, authority: Authority
) -> None:
    broker = brokers(*tls(authority, "elsewhere.example"))
    fault = link(port=broker.port, ca_file=str(authority.file)).fault("mqtt_down")
    assert fault.reason == "certificate_name"
    assert "127.0.0.1" in fault.text


def test_an_expired_certificate_is_named(
    brokers: Callable[..., Broker], link: Make, authority: Authority
) -> None:
    broker = brokers(*tls(authority, days=-5))
    assert link(port=broker.port, ca_file=str(authority.file)).fault("mqtt_down").reason == "certificate_time"


def test_an_unknown_authority_is_named(
    brokers: Callable[..., Broker], link: Make, authority: Authority, tmp_path: Path
) -> None:
    broker = brokers(*tls(authority))
    other = Authority(tmp_path, "other")
    assert link(port=broker.port, ca_file=str(other.file)).fault("mqtt_down").reason == "unknown_ca"


def test_a_missing_client_certificate_and_a_wrong_one_are_told_apart(
    brokers: Callable[..., Broker], link: Make, authority: Authority, tmp_path: Path
) -> None:
    broker = brokers(*tls(authority), "require_certificate true")
    ca = str(authority.file)
    assert link(port=broker.port, ca_file=ca).fault("mqtt_down").reason == "client_certificate_missing"
    files = [str(file) for file in Authority(tmp_path, "other").sign("porch")]
    wrong = link("yard", port=broker.port, ca_file=ca, cert_file=files[0], key_file=files[1])
    assert wrong.fault("mqtt_down").reason == "client_certificate"
    files = [str(file) for file in authority.sign("shed")]
    link("shed", port=broker.port, ca_file=ca, cert_file=files[0], key_file=files[1]).wait_up()


def test_a_port_with_tls_and_one_without_are_told_apart(
    brokers: Callable[..., Broker], link: Make, authority: Authority, tmp_path: Path
) -> None:
    with_tls = brokers(*tls(authority))
    assert link(port=with_tls.port).fault("mqtt_down").reason == "tls_required"
    with_tls.stop()
    plain = brokers()
    assert (
        link("yard", port=plain.port, ca_file=str(authority.file)).fault("mqtt_down").reason == "tls_unknown"
    )


def test_a_port_where_nothing_listens_is_named_with_tls_too(link: Make, authority: Authority) -> None:
    fault = link(port=9, ca_file=str(authority.file)).fault("mqtt_down")
    assert fault.reason == "unreachable"
    assert "refused" in fault.text


def test_every_reason_is_worded_on_the_page() -> None:
    folder = Path(__file__).parents[2] / "device/web/static/strings"
    for language in ("en", "de"):
        strings = json.loads((folder / f"{language}.json").read_text())
        for kind in ("fault", "remedy"):
            assert {f"{kind}_mqtt_down_{reason}" for reason in ENDINGS} <= strings.keys()
            assert {f"{kind}_mqtt_refused_{reason}" for reason in REFUSALS} <= strings.keys()
