"""scripts/prove subscriptions: the bytes that homes send, and that the comparison can fail."""

import tempfile
from pathlib import Path

import pytest

from scripts.verification import subscriptions

PARIS, BERLIN = (2.2945, 48.8584), (13.4, 52.5)


@pytest.mark.parametrize("region", ["u09", "xbp", "80b", "s00"])
def test_every_home_of_a_region_sends_the_same_bytes(region: str) -> None:
    figures = subscriptions.compare(region, 6)
    assert subscriptions.holds(figures), figures


def test_homes_of_two_regions_do_not() -> None:
    """Shows that the comparison can fail."""
    with tempfile.TemporaryDirectory() as name, subscriptions.RecordingBroker(Path(name)) as broker:
        one, two = (subscriptions.sent_by(broker, Path(name), home) for home in (PARIS, BERLIN))
    assert one.subscribe != two.subscribe
    assert one.settings != two.settings
