"""A dishonest store: a real HTTPS server, in its own process, that does one wrong thing.

    python -m tests.courier.hostile_store WHAT PORT CERT KEY LOG

Speaks enough tus to be believed. Each request becomes a line of LOG: method, path, bytes of body.
"""

import http.server
import json
import ssl
import sys
import time
from pathlib import Path

LIES = (
    "honest", "redirects-create", "redirects-patch", "elsewhere", "elsewhere-path", "traversal", "500",
    "stalls", "ahead", "behind", "forgets", "no-offset", "huge-answer", "other-length", "garbage",
    "half-answer", "s3-honest", "s3-elsewhere", "s3-prefix", "s3-tiny", "s3-late-error", "conflict",
    "last-lies",
)  # fmt: skip


class Liar(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    what = "honest"
    log = Path("/dev/null")
    offset = 0
    length = 0
    asked = 0

    def log_message(self, *_: object) -> None: ...

    def note(self, size: int) -> None:
        with self.log.open("a") as file:
            request = {"method": self.command, "path": self.path, "bytes": size, "host": self.headers["host"]}
            file.write(json.dumps(request) + "\n")

    def body(self) -> int:
        left = int(self.headers.get("content-length") or 0)
        size = 0
        while left > 0:
            block = self.rfile.read(min(65536, left))
            if not block:
                break
            size += len(block)
            left -= len(block)
        return size

    def answer(self, status: int, body: bytes = b"", **headers: object) -> None:
        self.send_response(status)
        self.send_header("Tus-Resumable", "1.0.0")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def plan(self) -> None:
        """Answer as an S3 signer whose parts lie elsewhere, or do not fit."""
        length = int(self.headers.get("content-length") or 0)
        offer = json.loads(self.rfile.read(length))
        self.note(0)
        here = f"https://{self.headers['host']}"
        part = {"s3-elsewhere": "https://elsewhere.example", "s3-prefix": f"{here}.elsewhere.example"}
        origin = part.get(self.what, here)
        count = -(-offer["size"] // (8 << 20))
        plan = {
            "upload": "1",
            "part_bytes": 100 if self.what == "s3-tiny" else 8 << 20,
            "parts": [f"{origin}/bucket/1?part={number}" for number in range(count)],
            "complete": f"{here}/complete",
            "abort": f"{here}/bucket/1",
        }
        self.answer(201, json.dumps(plan).encode())

    def do_PUT(self) -> None:
        self.note(self.body())
        self.answer(200, ETag='"0123"')

    def do_POST(self) -> None:
        if self.what.startswith("s3-") and self.path == "/parcels":
            self.plan()
            return
        self.note(self.body())
        cls = type(self)
        cls.offset, cls.length = 0, int(self.headers.get("upload-length") or 0)
        match self.what:
            case "redirects-create":
                self.answer(307, Location="https://elsewhere.example/parcels")
            case "elsewhere":
                self.answer(201, Location="https://elsewhere.example/parcels/1")
            case "elsewhere-path":
                self.answer(201, Location="/public/1")
            case "traversal":
                self.answer(201, Location="/parcels/../public")
            case "500":
                self.answer(500, b"no")
            case "s3-late-error":
                self.answer(200, b"<Error><Code>InternalError</Code></Error>")
            case "huge-answer":
                self.answer(201, b"x" * 3_000_000, Location="/parcels/1")
            case "garbage":
                self.wfile.write(b"\0\1\2 nonsense\r\n" * 50)
                self.close_connection = True
            case _:
                self.answer(201, Location="/parcels/1")

    def do_PATCH(self) -> None:
        cls = type(self)
        if self.what == "stalls":
            self.note(0)
            time.sleep(600)
        if self.what == "redirects-patch":
            self.note(self.body())
            self.answer(308, Location="https://elsewhere.example/parcels/1")
            return
        size = self.body()
        self.note(size)
        cls.offset += size
        match self.what:
            case "ahead":
                self.answer(204, Upload_Offset=cls.offset + 1_000_000)
            case "forgets":
                cls.offset = 0
                self.answer(204, Upload_Offset=int(self.headers["upload-offset"]))
            case "no-offset":
                self.answer(204)
            case "conflict":
                self.answer(409)
            case "half-answer":
                self.wfile.write(b"HTTP/1.1 204 No")
                self.close_connection = True
            case _:
                self.answer(204, Upload_Offset=cls.offset)

    def do_HEAD(self) -> None:
        self.note(0)
        cls = type(self)
        length = cls.length + 1 if self.what == "other-length" else cls.length
        offset = cls.offset
        if self.what == "behind":
            offset = 0
        elif self.what == "last-lies" and cls.offset == cls.length:
            offset -= 1
        self.answer(200, Upload_Offset=offset, Upload_Length=length)

    def do_DELETE(self) -> None:
        self.note(0)
        self.answer(204)


def main() -> None:
    what, port, cert, key, log = sys.argv[1:]
    Liar.what, Liar.log = what, Path(log)
    server = http.server.ThreadingHTTPServer(("", int(port)), Liar)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print("ready", flush=True)  # noqa: T201
    server.serve_forever()


if __name__ == "__main__":
    main()
