"""The phone app, as Home Assistant sees it: it registers, and is sent each notification."""

import http.server
import json
import threading
import time
from typing import Any, Self

from server.dev_processes import wait_for
from tests.support.home_assistant import HomeAssistant


class Phone:
    """A phone that keeps each notification with the time of its arrival."""

    def __init__(self) -> None:
        self.notifications: list[tuple[float, dict[str, Any]]] = []
        """(wall time in seconds, the notification), in order of arrival."""
        phone = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                phone.notifications.append((time.time(), body))
                answer = json.dumps({"status": "sent"}).encode()
                self.send_response(201)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def register(self, home_assistant: HomeAssistant, name: str = "Phone") -> str:
        """Register as the app does after its login; return the action that notifies it."""
        url = f"http://127.0.0.1:{self._server.server_address[1]}/push"
        words = {
            "app_id": "test",
            "app_name": "Test",
            "app_version": "1",
            "manufacturer": "Test",
            "model": "1",
        }
        words |= {"os_name": "Android", "os_version": "16", "device_id": name, "device_name": name}
        push = {"app_data": {"push_token": "1", "push_url": url}, "supports_encryption": False}
        home_assistant.request("POST", "/api/mobile_app/registrations", {**words, **push})
        action = f"mobile_app_{name.lower().replace(' ', '_')}"
        wait_for("the phone's action", lambda: action in self._notify_actions(home_assistant))
        return f"notify.{action}"

    @staticmethod
    def _notify_actions(home_assistant: HomeAssistant) -> dict[str, Any]:
        rows = home_assistant.request("GET", "/api/services")
        found: dict[str, Any] = next(row["services"] for row in rows if row["domain"] == "notify")
        return found
