"""The page's own files: compressed for clients that take gzip, each once, and listed for the service worker."""

import gzip
import hashlib
import json
import os
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.staticfiles import StaticFiles

STATIC = Path(str(files("device.web").joinpath("static")))
NOT_IN_SHELL = frozenset({"index.html", "sw.js", "manifest.json", "api.html", "api-docs.js"})
"""Files that the page does not ask for below /static/, and the reference of the API, which needs the doorbell."""
COMPRESSED = (".css", ".js", ".json", ".svg")


class CompressedFiles(StaticFiles):
    """Files that are the same for everybody: compressing them gives nothing away."""

    def file_response(
        self, full_path: Any, stat_result: os.stat_result, scope: Any, status_code: int = 200
    ) -> Response:
        """Return the file, compressed if that is worth it and the client takes it."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        path = str(full_path)
        if not path.endswith(COMPRESSED):
            return response
        response.headers["vary"] = "accept-encoding"
        if response.status_code != status_code or "gzip" not in Headers(scope=scope).get(
            "accept-encoding", ""
        ):
            return response
        kept = {name: response.headers[name] for name in ("content-type", "last-modified", "etag", "vary")}
        body = _compressed(path, stat_result.st_mtime_ns)
        return Response(body, status_code, {**kept, "content-encoding": "gzip"})


@lru_cache(maxsize=100)
def _compressed(path: str, changed_ns: int) -> bytes:
    del changed_ns  # another time is another key
    return gzip.compress(Path(path).read_bytes(), mtime=0)


def service_worker() -> str:
    """Return the service worker with the paths of the page's files and a hash of what is in them.

    A browser installs it again, with all files, when one of them has changed.
    """
    digest, paths = hashlib.sha256(), ["/"]
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
            name = path.relative_to(STATIC).as_posix()
            if name not in NOT_IN_SHELL:
                paths.append(f"/static/{name}")
    shell = json.dumps({"version": digest.hexdigest()[:16], "paths": paths})
    text = (STATIC / "sw.js").read_text()
    return text.replace('{ version: "", paths: [] }', shell, 1)
