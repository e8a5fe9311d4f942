"""A doorbell that has heard one request; what makes its parcels is a stand-in."""

from pathlib import Path

import pytest

from tests.support import envelopes
from tests.support.consent import ConsentHarness
from tests.support.release_backend import FakeReleaseBackend


@pytest.fixture
def release_backend() -> FakeReleaseBackend:
    return FakeReleaseBackend()


@pytest.fixture
def doorbell(tmp_path: Path, release_backend: FakeReleaseBackend) -> ConsentHarness:
    made = ConsentHarness(tmp_path, release_backend)
    made.pin()
    made.hear(("request", envelopes.request()))
    return made


def turn(doorbell: ConsentHarness, times: int = 1) -> None:
    for _ in range(times):
        doorbell.consent_service.release_worker.step()
