"""Kills and power cuts on the way from a yes to a receipt; scripts/prove release tries them all."""

import pytest

from scripts.verification.release_crash import WAYS, crash
from scripts.verification.release_path import PLANTS

pytestmark = pytest.mark.strace


@pytest.mark.parametrize("way", WAYS)
def test_a_crash_at_any_step_releases_nothing_unrecorded_or_twice(way: str) -> None:
    found = crash(way, cuts_a_call=2, seed=7, jobs=1, every=3)
    assert found.wrong == []
    assert found.kills >= 7


@pytest.mark.parametrize("plant", list(PLANTS))
def test_a_broken_rule_is_found(plant: str) -> None:
    assert crash("delivered", cuts_a_call=6, seed=7, jobs=1, every=3, plant=plant).wrong
