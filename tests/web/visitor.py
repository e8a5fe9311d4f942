"""A browser without a screen: HTTP and WebSocket as a page speaks them, and as nobody should."""

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

from websockets.sync.client import ClientConnection, connect

from server.dev_processes import PATIENCE_S
from tests.support.doorbell import Doorbell
from tests.web.description import Description

PASSWORD = "correct horse battery"  # noqa: S105  (of a doorbell that lives for a test)


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Visitor:
    """One browser: keeps its cookie, and sends Origin and token like the page does.

    Once somebody has signed in, whatever the API answers must fit its own description.
    """

    description: Description | None = None

    def __init__(self, url: str, *, source: str = "") -> None:
        """`source`: the address to connect from; all of 127.0.0.0/8 are this machine's, and different peers."""
        self._source = (source, 0) if source else None
        self.url = url
        self.host = urlsplit(url).netloc
        self.cookie = ""
        self.token = ""

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE_S, source_address=self._source)
        sent = {"Origin": self.url, "X-Doorbell-Token": self.token, "Cookie": self.cookie}
        content = None
        if body is not None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, content, {k: v for k, v in sent.items() if v})
            answer = Answer(connection.getresponse())
        finally:
            connection.close()
        found = answer.headers.get("set-cookie", "")
        if found:
            self.cookie = found.split(";")[0]
        if Visitor.description:
            media_type = answer.headers.get("content-type", "")
            Visitor.description.check(method, path, answer.status, media_type, answer.body)
        return answer

    def enter(self, path: str, **body: str) -> Answer:
        answer = self.ask("POST", path, body)
        if answer.status == 200:
            self.token = answer.json["token"]
            if Visitor.description is None:
                Visitor.description = Description(self.ask("GET", "/api/openapi.json").json)
        return answer

    def claim(self, door: Doorbell) -> "Visitor":
        assert self.enter("/api/claim", code=door.claim_code(), password=PASSWORD).status == 200
        return self

    def login(self) -> "Visitor":
        assert self.enter("/api/login", password=PASSWORD).status == 200
        return self

    def step_up(self) -> "Visitor":
        assert self.ask("POST", "/api/step-up", {"password": PASSWORD}).status == 200
        return self

    def socket(self, path: str, **headers: str) -> ClientConnection:
        sent = {"Cookie": self.cookie, **headers}
        return connect(
            f"ws://{self.host}{path}",
            origin=None if "Origin" in headers else self.url,  # type: ignore[arg-type]
            additional_headers=sent,
            open_timeout=PATIENCE_S,
            proxy=None,
        )

    def raw(self, data: bytes, *, timeout_s: float = PATIENCE_S) -> bytes:
        """Send bytes and return what comes until the doorbell closes."""
        host, _, port = self.host.partition(":")
        answer = b""
        with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
            connection.sendall(data)
            try:
                while more := connection.recv(65_536):
                    answer += more
            except TimeoutError:
                return answer + b"(still open)"
            except ConnectionResetError:
                return answer
        return answer
