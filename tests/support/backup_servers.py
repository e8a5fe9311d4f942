"""Real servers for backups: wsgidav, OpenSSH's sftp, s3rver; here, or on an island."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from server.dev_processes import NODE, Process, free_port, user_name, wait_for
from tests.support import needs
from tests.support.network_namespace import Here, Island
from tests.support.stores import SERVER

SBIN = "/usr/sbin/sshd"
PASSWORD = "correct horse"  # noqa: S105  (of a server that lives for a test)


class Server:
    """A process and the folder of its files."""

    def __init__(self, folder: Path, island: Island | Here, address: str = "127.0.0.1") -> None:
        self.folder, self.island, self.address = folder, island, address
        self.files = folder / "files"
        self.files.mkdir(parents=True)
        self.port = free_port()
        self.process: Process | None = None

    def run(self, *words: object) -> None:
        command = self.island.command_as_ourselves(*map(str, words))
        self.process = Process(command, log=self.folder / "log")
        probe = f"import socket; socket.create_connection(('{self.address}', {self.port}), 1)"

        def answers() -> bool:
            command = self.island.command(sys.executable, "-S", "-c", probe)
            return subprocess.run(command, capture_output=True, check=False).returncode == 0

        try:
            wait_for("a server", answers)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self.process:
            self.process.end(signal.SIGKILL)

    def stored(self) -> list[Path]:
        return sorted(path for path in self.files.rglob("*.age*") if path.is_file())


class WebDav(Server):
    """wsgidav, with or without TLS."""

    def start(self, certificate: Path | None = None) -> "WebDav":
        config = {
            "host": self.address,
            "port": self.port,
            "server": "cheroot",
            "provider_mapping": {"/": str(self.files)},
            "simple_dc": {"user_mapping": {"*": {"anna": {"password": PASSWORD}}}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "logging": {"enable_loggers": []},
            **(
                {
                    "ssl_certificate": str(certificate / "server.pem"),
                    "ssl_private_key": str(certificate / "server-key.pem"),
                }
                if certificate
                else {}
            ),
        }
        (self.folder / "wsgidav.json").write_text(json.dumps(config))
        self.run(Path(sys.executable).with_name("wsgidav"), "-c", self.folder / "wsgidav.json")
        return self


class Sftp(Server):
    """OpenSSH's server, for the user that runs the tests, with a key."""

    def start(self) -> "Sftp":
        needs.require("sftp")
        for name in ("host", "user"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
            subprocess.run(command, check=True)
        (self.folder / "authorized").write_text((self.folder / "user.pub").read_text())
        if os.geteuid() == 0:  # only then does sshd ask for it
            Path("/run/sshd").mkdir(exist_ok=True)
        (self.folder / "config").write_text(
            f"Port {self.port}\nListenAddress {self.address}\nHostKey {self.folder}/host\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nStrictModes no\nUsePAM no\n"
            f"PermitRootLogin prohibit-password\nPidFile none\nSubsystem sftp internal-sftp\n"
        )
        self.run(SBIN, "-D", "-e", "-f", self.folder / "config")
        return self

    @property
    def user(self) -> str:
        return user_name()

    @property
    def key(self) -> str:
        return (self.folder / "user").read_text()

    @property
    def host_key(self) -> str:
        command = ["ssh-keygen", "-lf", str(self.folder / "host.pub")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[1]


class Bucket(Server):
    """s3rver, without TLS."""

    def start(self) -> "Bucket":
        needs.require("node")
        rver = SERVER / "node_modules/.bin/s3rver"
        where = ("-d", self.files, "-a", self.address, "-p", self.port, "--no-vhost-buckets")
        self.run(NODE, rver, *where, "--configure-bucket", "clips")
        return self


def opened(path: Path, folder: Path, identity: object) -> bytes:
    """Return what is sealed in a backup: the clip's bytes."""
    import tarfile

    import pyrage

    plain = folder / f"plain-{time.monotonic_ns()}"
    plain.write_bytes(pyrage.decrypt(path.read_bytes(), [identity]))
    with tarfile.open(plain) as tar:
        (member,) = tar.getmembers()
        assert member.mtime == 0
        file = tar.extractfile(member)
        assert file
        return file.read()
