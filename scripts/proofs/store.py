"""A department's store on an island: the real tus server of town/store, over TLS."""

import subprocess
import time
from pathlib import Path
from typing import Self

from scripts.proofs.island import Here, Island
from town.laptop import make_certificates

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "town/store"
HOST, PORT = "evidence.example", 443
READY_S = 20.0


class NoStore(Exception):
    """The store cannot run here; the message says what is missing."""


def install() -> None:
    """Fetch the store's packages, as its lock says, once. Raises NoStore."""
    if (SERVER / "node_modules/@tus/server").is_dir():
        return
    try:
        subprocess.run(
            ["npm", "ci", "--no-fund", "--no-audit", "--prefix", SERVER],
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        raise NoStore("npm is missing: sudo apt install nodejs npm") from None
    except subprocess.CalledProcessError as error:
        raise NoStore(f"npm ci failed: {error.stderr[-300:]}") from None


class Store:
    """One store; a context manager. What arrives lies in `files`."""

    def __init__(self, folder: Path, island: Island | Here, *, host: str = HOST, port: int = PORT) -> None:
        self._folder = folder
        self._island = island
        self._port = port
        self.origin = f"https://{host}" + ("" if port == PORT else f":{port}")
        self.files = folder / "files"
        folder.mkdir(parents=True, exist_ok=True)
        make_certificates(folder, host)
        self.ca = folder / "ca.pem"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. Raises NoStore."""
        install()
        log = (self._folder / "store.log").open("ab")
        told = {
            "port": self._port,
            "folder": self.files,
            "cert": self._folder / "server.pem",
            "key": self._folder / "server-key.pem",
        }
        words = [word for name, value in told.items() for word in (f"--{name}", str(value))]
        before = (self._folder / "store.log").read_bytes().count(b"ready")
        self._process = subprocess.Popen(
            self._island.command("node", SERVER / "server.mjs", *words), stdout=log, stderr=log
        )
        until = time.monotonic() + READY_S
        while (self._folder / "store.log").read_bytes().count(b"ready") == before:
            if time.monotonic() > until or self._process.poll() is not None:
                raise NoStore(f"the store did not start: {(self._folder / 'store.log').read_text()[-300:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def parcels(self) -> dict[str, Path]:
        """Return what lies there: the upload's name → its bytes."""
        if not self.files.is_dir():
            return {}
        return {path.name: path for path in self.files.iterdir() if path.suffix != ".json"}
