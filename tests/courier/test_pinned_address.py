"""What the courier holds to be the internet: the same with every Python from Debian 12's own on."""

import pytest

from device.courier.pinned_address import is_public


@pytest.mark.parametrize(
    "address",
    [
        "5.45.45.45", "8.8.8.8", "192.0.1.1", "193.0.0.1", "2a00:1450::1", "2606:4700::1111",
        "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1",
    ],
)  # fmt: skip
def test_what_is_out_there(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "172.16.0.1",  # noqa: S104
        "192.0.0.1", "192.0.0.8", "192.0.0.9", "192.0.0.170", "192.0.0.255", "192.0.2.1", "192.168.1.1",
        "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "100::1", "2001:1::1", "2001:2::1", "2001:20::1",
        "2001:db8::1", "2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd00::1", "fe80::1%eth0",
        "fec0::1", "ff02::1", "::ffff:192.168.1.1", "2001:0:a00:1::1",
    ],
)  # fmt: skip
def test_what_is_not(address: str) -> None:
    assert not is_public(address)
