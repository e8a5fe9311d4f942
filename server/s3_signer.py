"""The one endpoint of a department whose parcels go to an S3-compatible store: it hands out signed addresses.

`POST /parcels` with {"sha256", "size", "upload"} → {"upload", "part_bytes", "parts", "complete", "abort"}. It
sees no parcel; the store does, behind the same origin (nginx in front of both). Whoever asks may lay a parcel
down and take back its own, and can read nothing: the addresses are for one object that nobody else knows of.
"""

import argparse
import http.server
import json
import re
import sys
from datetime import timedelta
from typing import Any

import urllib3
from defusedxml.ElementTree import fromstring
from minio import Minio

from device.system.core_dumps import forbid_core_dumps

PART_BYTES = 8 << 20
MAX_PARTS = 10_000
LIFE = timedelta(days=3)
MAX_QUESTION = 2000
_SHA256 = re.compile(r"[0-9a-f]{64}")


class S3Signer:
    """Signs addresses for one bucket. `inside` is how the signer itself reaches the store."""

    def __init__(self, origin: str, inside: str, bucket: str, key: str, secret: str) -> None:
        host = origin.removeprefix("https://")
        # The region is named, so that nothing is asked of the store to find it out.
        self._signer = Minio(host, key, secret, secure=True, region="us-east-1")
        self._origin, self._inside, self._bucket, self._host = origin, inside, bucket, host
        self._pool = urllib3.PoolManager(timeout=20.0)

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return the plan of an upload. Raises ValueError, KeyError, OSError."""
        sha256, size = question["sha256"], question["size"]
        if (
            not _SHA256.fullmatch(sha256)
            or not isinstance(size, int)
            or not 0 < size <= MAX_PARTS * PART_BYTES
        ):
            raise ValueError("no parcel")
        name = f"{sha256}.age"
        upload = question.get("upload") or self._begin(name)
        count = -(-size // PART_BYTES)
        query = {"uploadId": upload}
        return {
            "upload": upload,
            "part_bytes": PART_BYTES,
            "parts": [
                self._signed("PUT", name, {"partNumber": str(number), **query})
                for number in range(1, count + 1)
            ],
            "complete": self._signed("POST", name, query),
            "abort": self._signed("DELETE", name, query),
        }

    def _begin(self, name: str) -> str:
        url = self._signed("POST", name, {"uploads": ""}).replace(self._origin, self._inside, 1)
        answer = self._pool.request("POST", url, headers={"host": self._host}, retries=False)
        if answer.status != 200:
            raise OSError(f"the store answered {answer.status}: {answer.data[:200]!r}")
        found = next(
            (element.text for element in fromstring(answer.data) if element.tag.endswith("UploadId")), None
        )
        if not found:
            raise OSError("the store named no upload")
        return str(found)

    def _signed(self, method: str, name: str, more: dict[str, str]) -> str:
        query: dict[str, str | list[str] | tuple[str]] = dict(more)
        return self._signer.get_presigned_url(method, self._bucket, name, LIFE, extra_query_params=query)


class _Handler(http.server.BaseHTTPRequestHandler):
    signer: S3Signer

    def log_message(self, *_: object) -> None:
        """Keep no log: it would hold the address of whoever shares something."""

    def do_POST(self) -> None:
        """Answer one question."""
        try:
            length = int(self.headers.get("content-length") or 0)
            asked = self.rfile.read(length) if 0 < length <= MAX_QUESTION else b""
            question = json.loads(asked) if self.path == "/parcels" else {}
            content, status = json.dumps(self.signer.answer(question)).encode(), 201
        except (ValueError, KeyError, TypeError):
            content, status = b"{}", 400
        except (OSError, urllib3.exceptions.HTTPError) as error:
            print(f"s3_signer: {error}", file=sys.stderr)
            content, status = b"{}", 503
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m server.s3_signer", description=__doc__.splitlines()[0])
    parser.add_argument("--origin", required=True, help="https://…, as the record names it")
    parser.add_argument(
        "--store", required=True, help="how the store is reached from here: http://127.0.0.1:…"
    )
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--key", required=True, help="an account that may write to the bucket")
    parser.add_argument("--secret-file", required=True, type=argparse.FileType())
    parser.add_argument("--port", type=int, required=True, help="of loopback; nginx is in front")
    arguments = parser.parse_args()
    forbid_core_dumps()
    secret = arguments.secret_file.read().strip()
    _Handler.signer = S3Signer(arguments.origin, arguments.store, arguments.bucket, arguments.key, secret)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), _Handler)
    print("ready", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
