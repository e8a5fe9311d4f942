"""A real Home Assistant on loopback, used through its own API as its page and its phone app use it.

`scripts/home-assistant setup` installs it, in a Debian system of its own, because it needs a newer Python than the
doorbell. It is entered by chroot, so this needs root. It resolves no names, and its configuration has only
integrations that stay on this machine: all its connections go to loopback.
"""

import http
import http.client
import json
import shlex
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import connect

from server.dev_processes import GaveUp, Process, free_port, wait_for
from tests.support.broker import Broker
from tests.support.doorbell import Doorbell

SYSTEM = Path(__file__).resolve().parents[2] / "var/home-assistant/system"
BIN = "/opt/home-assistant/bin"
OWNER, PASSWORD = "anna", "a test's password"
DOORBELL_ENTITY = "event.porch_press"
CLIENT_ID = "http://127.0.0.1/"
REQUEST_S = 60.0
STARTS = 4
"""Waits for a start, each as long as `wait_for` waits: the first start compiles, and a busy machine takes minutes."""

# default_config without the integrations that look for devices, or send something to the internet. `demo` brings
# media players.
CONFIGURATION = """\
homeassistant:
  time_zone: UTC
  country: DE
  unit_system: metric
config:
demo:
frontend:
history:
image_upload:
logbook:
media_source:
mobile_app:
my:
person:
stream:
sun:
webhook:
automation: !include automations.yaml
scene: !include scenes.yaml
script: !include scripts.yaml
"""


class Refused(Exception):
    """Home Assistant answered with an error; the message has its text."""


class HomeAssistant:
    """One Home Assistant with a folder of its own; may be stopped and started again."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.log = folder / "home-assistant.out"
        self._token = ""
        self._process: Process | None = None
        storage = folder / "config/.storage"
        if storage.exists():
            return
        storage.mkdir(parents=True)
        (folder / "config/configuration.yaml").write_text(CONFIGURATION)
        for name, empty in (("automations", "[]"), ("scenes", "[]"), ("scripts", "{}")):
            (folder / f"config/{name}.yaml").write_text(f"{empty}\n")
        # What it stores when its user chose this address; it no longer reads it from configuration.yaml.
        address: dict[str, Any] = {"server_host": ["127.0.0.1"], "server_port": self.port}
        address |= {"ssl_profile": "intermediate_v6", "cors_allowed_origins": [], "use_x_frame_options": True}
        address |= {
            "login_attempts_threshold": -1,
            "ip_ban_enabled": True,
            "created_at": "2026-11-01T00:00:00+00:00",
        }
        address |= {"error": None, "error_message": None}
        data = {"stable": address, "pending": None, "yaml_migration_done": True}
        content = {"version": 3, "minor_version": 1, "key": "http", "data": data}
        (storage / "http").write_text(json.dumps(content))

    def start(self) -> Self:
        """Start it, and wait until it has started completely and answers."""
        self.launch()
        self.wait_until_started()
        return self

    def launch(self) -> None:
        """Start it, without waiting."""
        system, config = shlex.quote(str(SYSTEM)), shlex.quote(str(self.folder / "config"))
        enter = (
            f"mount -t proc proc {system}/proc && mount --rbind /dev {system}/dev && "
            f"mount --bind {config} {system}/config && exec chroot {system} env --ignore-environment "
            f"PATH={BIN}:/usr/bin:/bin HOME=/config LANG=C.UTF-8 {BIN}/hass --config /config --skip-pip"
        )
        # Each word of it replaces the one before: the process that runs is Home Assistant, and gets our signals.
        self._process = Process(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", enter], log=self.log
        )

    def wait_until_started(self) -> None:
        """Wait until all integrations and automations are at work (state RUNNING)."""
        for attempt in range(STARTS):
            try:
                wait_for("Home Assistant", self._has_started)
                break
            except GaveUp:
                if attempt == STARTS - 1 or not self.runs:
                    raise

    @property
    def runs(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop it in order, as its own restart does."""
        if self._process:
            self._process.end()
            self._process = None

    def _has_started(self) -> bool:
        try:
            if not self._token:
                self.request("GET", "/api/onboarding")
                return True
            return bool(self.request("GET", "/api/config")["state"] == "RUNNING")
        except (OSError, Refused):
            return False

    def onboard(self) -> None:
        """Create the owner and answer the questions of the first start, as its page does."""
        names = {"name": OWNER.title(), "username": OWNER, "password": PASSWORD, "language": "en"}
        answer = self.request("POST", "/api/onboarding/users", {"client_id": CLIENT_ID, **names})
        form = {"grant_type": "authorization_code", "code": answer["auth_code"], "client_id": CLIENT_ID}
        refresh = self._token_for(form)
        for step in ("core_config", "analytics"):
            self.request("POST", f"/api/onboarding/{step}", {})
        redirect = {"client_id": CLIENT_ID, "redirect_uri": f"{CLIENT_ID}?auth_callback=1"}
        self.request("POST", "/api/onboarding/integration", redirect)
        # The first token is good for half an hour.
        self._token_for({"grant_type": "refresh_token", "refresh_token": refresh, "client_id": CLIENT_ID})
        self._token = self.command("auth/long_lived_access_token", client_name="test", lifespan=30)
        wait_for("the end of the start", self._has_started)

    def _token_for(self, form: dict[str, str]) -> str:
        kind = "application/x-www-form-urlencoded"
        tokens = json.loads(self._exchange("POST", "/auth/token", urllib.parse.urlencode(form), kind))
        self._token = tokens["access_token"]
        return str(tokens.get("refresh_token", ""))

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Ask its REST API; return the JSON. Raises Refused, or OSError if it is not reached."""
        content = self.read(method, path, body)
        return json.loads(content) if content else None

    def read(self, method: str, path: str, body: Any = None) -> bytes:
        """Ask its REST API; return the bytes. Raises as `request`."""
        return self._exchange(method, path, None if body is None else json.dumps(body), "application/json")

    def _exchange(self, method: str, path: str, body: str | None, kind: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_S)
        headers = {"Content-Type": kind}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:  # it is about to end
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise Refused(f"{method} {path}: {answer.status} {content.decode(errors='replace')}")
        return content

    def command(self, kind: str, **fields: Any) -> Any:
        """Give a command of its WebSocket API; return its result. Raises Refused."""
        with connect(f"ws://127.0.0.1:{self.port}/api/websocket", max_size=None, proxy=None) as socket:
            socket.recv(REQUEST_S)
            socket.send(json.dumps({"type": "auth", "access_token": self._token}))
            if json.loads(socket.recv(REQUEST_S))["type"] != "auth_ok":
                raise Refused(f"{kind}: the token was not accepted")
            socket.send(json.dumps({"id": 1, "type": kind, **fields}))
            answer = json.loads(socket.recv(REQUEST_S))
        if not answer["success"]:
            raise Refused(f"{kind}: {answer['error']}")
        return answer["result"]

    def add_integration(self, handler: str, *answers: dict[str, Any]) -> dict[str, Any]:
        """Add an integration by its dialog; `answers` are what the user enters in each step.

        Raises Refused if it does not end with a new entry.
        """
        flow: dict[str, Any] = self.request("POST", "/api/config/config_entries/flow", {"handler": handler})
        for answer in answers:
            flow = self.request("POST", f"/api/config/config_entries/flow/{flow['flow_id']}", answer)
        if flow["type"] != "create_entry":
            raise Refused(f"the dialog of {handler} ended with {flow}")
        return flow

    def add_broker(self, port: int) -> None:
        """Add the MQTT integration with a broker on loopback."""
        preset = {"set_client_cert": False, "set_ca_cert": "off"}
        self.add_integration("mqtt", {"broker": "127.0.0.1", "port": port, "other_settings": preset})

    def act(self, action: str, **data: Any) -> Any:
        """Perform an action, such as `switch.turn_on`."""
        return self.request("POST", f"/api/services/{action.replace('.', '/')}", data)

    def states(self) -> dict[str, dict[str, Any]]:
        """Return the state of every entity: {entity id: {state, attributes, …}}."""
        return {state["entity_id"]: state for state in self.request("GET", "/api/states")}

    def state(self, entity: str) -> dict[str, Any] | None:
        """Return the state of an entity; None if it does not exist."""
        return self.states().get(entity)

    def device(self, manufacturer: str = "doorbelld") -> dict[str, Any] | None:
        """Return the doorbell's row of the device registry; None if it has none."""
        rows: list[dict[str, Any]] = self.command("config/device_registry/list")
        return next((row for row in rows if row["manufacturer"] == manufacturer), None)

    def entities(self, device_id: str) -> dict[str, dict[str, Any]]:
        """Return the entity registry's rows of a device, by entity id."""
        rows: list[dict[str, Any]] = self.command("config/entity_registry/list")
        return {row["entity_id"]: row for row in rows if row["device_id"] == device_id}

    def add_automation(self, name: str, **content: Any) -> None:
        """Add an automation, or replace it, as its editor does. `content` is what the editor saves."""
        self.request("POST", f"/api/config/automation/config/{name}", {"alias": name, **content})
        wait_for(f"the automation {name}", lambda: self._is_on(f"automation.{name}"))

    def remove_automation(self, name: str) -> None:
        """Remove an automation."""
        self.request("DELETE", f"/api/config/automation/config/{name}")

    def device_named(self, name: str) -> dict[str, Any]:
        """Return the device registry's row of a device. Raises StopIteration if there is none."""
        rows: list[dict[str, Any]] = self.command("config/device_registry/list")
        return next(row for row in rows if row["name"] == name)

    def is_available(self, entity: str) -> bool:
        """Return whether an entity exists and its device is connected."""
        state = self.state(entity)
        return state is not None and state["state"] != "unavailable"

    def _is_on(self, entity: str) -> bool:
        state = self.state(entity)
        return state is not None and state["state"] == "on"

    def problems(self, since: int = 0) -> list[str]:
        """Return its warnings and errors about MQTT, templates and automations, from a byte of its log on."""
        lines = self.log.read_bytes()[since:].decode(errors="replace").splitlines()
        wanted = ("components.mqtt", "components.automation", "components.blueprint", "helpers.template")
        grave = [line for line in lines if " ERROR " in line or " WARNING " in line]
        return [line for line in grave if any(name in line for name in wanted)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A doorbell and a Home Assistant at one broker."""

    broker: Broker
    doorbell: Doorbell
    home_assistant: HomeAssistant
    device_id: str
    """The doorbell's, in Home Assistant."""


@contextmanager
def run_home(folder: Path, port: int | None = None, **tables: Any) -> Iterator[Home]:
    """Run all three, with Home Assistant set up as its user would; yield them when the doorbell is available there.

    `port` is Home Assistant's; `tables` and `program` are the doorbell's, as in `Doorbell`.
    """
    scene = {"kind": "scene", "scene": {"visitor_presses": False}}
    broker = Broker(folder)
    doorbell = Doorbell(folder / "doorbell", broker.port, tables.pop("camera", scene), **tables)
    home_assistant = HomeAssistant(folder / "home-assistant", port)
    try:
        doorbell.start()
        home_assistant.start()
        home_assistant.onboard()
        home_assistant.add_broker(broker.port)
        device = wait_for("the doorbell in Home Assistant", home_assistant.device)
        wait_for("its availability", lambda: home_assistant.is_available(DOORBELL_ENTITY))
        yield Home(broker=broker, doorbell=doorbell, home_assistant=home_assistant, device_id=device["id"])
    finally:
        home_assistant.stop()
        if doorbell.process:
            doorbell.stop()
        broker.stop()
