"""What the page's authority can vouch for, as OpenSSL decides."""

import socket
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from device.config import PageConfig
from device.system.clock import SystemClock
from device.web.certificate import Certificate, certificate_names, host_names
from device.web.certificate_authority import authority_good, make_authority, make_certificate

NOW_US = int(datetime.now(UTC).timestamp() * 1e6)
HOSTS = ["camera", "localhost", "camera.local", "front.door.example", "com", "192.168.1.5"]


def verified(folder: Path, ca: bytes, key: bytes, host: str, purpose: str = "sslserver") -> bool:
    """Return whether OpenSSL trusts a certificate for `host` that somebody made with the stolen key."""
    (folder / "ca.pem").write_bytes(ca)
    (folder / "page.pem").write_bytes(make_certificate(ca, key, [host], NOW_US))
    done = subprocess.run(
        ["openssl", "verify", "-purpose", purpose, "-CAfile", folder / "ca.pem", folder / "page.pem"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "OK" in done.stdout or "permitted subtree" in done.stderr or "purpose" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        ("camera", False),
        ("shop.camera", False),
        ("www.shop.camera", False),
        ("com", False),
        ("bank.com", False),
        ("door.example", False),
        ("bank.example", False),
        ("xfront.door.example", False),
        ("8.8.8.8", False),
        ("2001:4860:4860::8888", False),
        ("camera.local", True),
        ("localhost", True),
        ("front.door.example", True),
        ("192.168.1.5", True),
        ("fd00::5", True),
        # What is left, as docs/page.md says: other names and addresses of the home, and names below page.hosts.
        ("nas.local", True),
        ("router.home.arpa", True),
        ("192.168.1.1", True),
        ("a.front.door.example", True),
    ],
)
def test_the_authority_vouches_for_home_names_alone(host: str, tmp_path: Path, *, trusted: bool) -> None:
    ca, key = make_authority("Porch", HOSTS, NOW_US)
    assert verified(tmp_path, ca, key, host) is trusted


def test_the_authority_vouches_for_no_mail_and_no_other_use(tmp_path: Path) -> None:
    ca, key = make_authority("Porch", HOSTS, NOW_US)
    assert verified(tmp_path, ca, key, "camera.local")
    assert not verified(tmp_path, ca, key, "camera.local", "smimesign")
    assert not verified(tmp_path, ca, key, "camera.local", "sslclient")


@pytest.mark.parametrize("machine", ["camera", "bank.com", "camera.fritz.box", "Porch.local"])
def test_the_page_s_certificate_is_trusted_whatever_the_machine_is_called(
    machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network can name a machine (DHCP), so its name is vouched for only below .local and the like."""
    monkeypatch.setattr(socket, "gethostname", lambda: machine)
    config = PageConfig(hosts=["front.door.example", "bare"])

    def keep(name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)

    names = certificate_names(config)
    assert {"localhost", "front.door.example", f"{machine.lower().partition('.')[0]}.local"} == set(names)
    assert {machine.lower(), "bare"} <= set(host_names(config)), "the page still answers to these names"
    page = Certificate(
        config,
        name="Porch",
        state_dir=tmp_path,
        clock=SystemClock(),
        keep=keep,
    )
    assert isinstance(page.context(), ssl.SSLContext)
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", tmp_path / "page-ca.pem", tmp_path / "page.pem"], check=False
    )
    assert done.returncode == 0
    before = (tmp_path / "page-ca.pem").read_bytes()
    page.context()
    assert (tmp_path / "page-ca.pem").read_bytes() == before, "it is kept"


def test_an_authority_that_may_vouch_for_more_is_replaced() -> None:
    ca, _ = make_authority("Porch", ["front.door.example"], NOW_US)
    assert authority_good(ca, ["front.door.example"], NOW_US)
    assert not authority_good(ca, [], NOW_US)
    assert not authority_good(ca, ["back.door.example"], NOW_US)
    constraints = x509.load_pem_x509_certificate(ca).extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
