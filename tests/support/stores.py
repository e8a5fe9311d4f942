"""A department's store on an island: the real tus server of server/store, over TLS."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from server.dev_processes import NODE, GaveUp, Process, wait_for
from server.dev_server import make_certificates
from server.render import render
from tests.support.network_namespace import Here, Island

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "server/store"
HOST, PORT = "evidence.example", 443


class NoStore(Exception):
    """The store cannot run here; the message says what is missing."""


def require_node() -> None:
    """Raise NoStore unless scripts/setup has brought Node and the store's packages."""
    try:
        subprocess.run([NODE, "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise NoStore("Node does not run: scripts/packages node; scripts/setup --dev") from None
    if not (SERVER / "node_modules/@tus/server").is_dir():
        raise NoStore("the npm packages of server/store are missing: scripts/setup --dev")


class Store:
    """One store; a context manager. Uploads are in `files`."""

    def __init__(self, folder: Path, island: Island | Here, *, host: str = HOST, port: int = PORT) -> None:
        self._folder = folder
        self._island = island
        self._port = port
        self.origin = f"https://{host}" + ("" if port == PORT else f":{port}")
        self.files = folder / "files"
        folder.mkdir(parents=True, exist_ok=True)
        make_certificates(folder, host)
        self.ca = folder / "ca.pem"
        self._process: Process | None = None

    def start(self) -> None:
        """Start it. Raises NoStore."""
        require_node()
        log = self._folder / "store.log"
        log.touch()
        options = {
            "port": self._port,
            "folder": self.files,
            "cert": self._folder / "server.pem",
            "key": self._folder / "server-key.pem",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        before = log.read_bytes().count(b"ready")
        self._process = Process(self._island.command(NODE, SERVER / "server.mjs", *words), log=log)
        try:
            wait_for("the store", lambda: log.read_bytes().count(b"ready") > before)
        except GaveUp as error:
            raise NoStore(f"the store did not start: {error}") from error

    def stop(self) -> None:
        """End it."""
        if self._process:
            self._process.end(signal.SIGKILL)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def parcels(self) -> dict[str, Path]:
        """Return the stored uploads: name → path."""
        if not self.files.is_dir():
            return {}
        return {path.name: path for path in self.files.iterdir() if path.suffix != ".json"}


class S3Store:
    """A department's S3-compatible store on an island: s3rver, the signer that signs, and nginx in front."""

    def __init__(
        self, folder: Path, island: Island | Here, *, host: str = "bucket.example", port: int = 8443
    ) -> None:
        self._folder, self._island, self._port = folder, island, port
        self.origin = f"https://{host}:{port}"
        self.files = folder / "files"
        for name in ("files", "run"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        make_certificates(folder, host)
        self.ca = folder / "ca.pem"
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        require_node()
        folder, store, signer = self._folder, self._port + 1, self._port + 2
        (folder / "secret").write_text("S3RVER")  # s3rver knows one account, and checks its signatures
        values = {
            "run": folder / "run",
            "listen": self._port,
            "cert": folder / "server.pem",
            "key": folder / "server-key.pem",
            "signer": f"http://127.0.0.1:{signer}",
            "store": f"http://127.0.0.1:{store}",
        }
        (folder / "nginx.conf").write_text(render("s3-nginx.conf.in", values))
        nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if nginx is None:
            raise NoStore("nginx is missing: sudo apt install nginx-light")
        options = {"origin": self.origin, "store": values["store"], "bucket": "parcels", "key": "S3RVER"}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        rver = SERVER / "node_modules/.bin/s3rver"
        where = ("-d", self.files, "-a", "127.0.0.1", "-p", store)
        self._start(NODE, rver, *where, "--no-vhost-buckets", "--configure-bucket", "parcels")
        self._start(
            sys.executable,
            "-m",
            "server.s3_signer",
            *words,
            "--secret-file",
            folder / "secret",
            "--port",
            signer,
        )
        self._start(nginx, "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf")
        probe = (
            "import socket,sys; [socket.create_connection(('127.0.0.1', int(p)), 1) for p in sys.argv[1:]]"
        )
        ports = [str(port) for port in (self._port, store, signer)]
        look = self._island.command(sys.executable, "-S", "-c", probe, *ports)
        try:
            wait_for(
                "the S3 store", lambda: not subprocess.run(look, capture_output=True, check=False).returncode
            )
        except GaveUp as error:
            self.__exit__()
            raise NoStore(f"the S3 store did not start: {error}") from error
        return self

    def _start(self, *words: object) -> None:
        command = self._island.command_as_ourselves(*map(str, words))
        self._processes.append(Process(command, log=self._folder / "log", cwd=ROOT))

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.end(signal.SIGKILL)

    def objects(self) -> list[Path]:
        """Return the objects that lie in the bucket."""
        return sorted(self.files.glob("parcels/*._S3rver_object"))
