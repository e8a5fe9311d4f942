"""Each setting has a class: what a change of it destroys, exposes, closes or breaks."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.cli.settings import BREAKS
from device.config import EFFECTS, Config, effect_of, effects, flat
from device.config.polygon import covers

SQUARE = [(0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6)]


def test_every_setting_of_the_configuration_has_a_class() -> None:
    assert set(EFFECTS) == set(flat(Config())), "give a new setting its class in device/config/effects.py"


def mask(name: str, points: list[tuple[float, float]]) -> dict[str, Any]:
    return {"name": name, "points": [list(point) for point in points]}


LARGER = [(0.1, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6)]
SMALLER = [(0.2, 0.2), (0.6, 0.2), (0.6, 0.5), (0.2, 0.6)]
ELSEWHERE = [(0.7, 0.7), (0.9, 0.7), (0.9, 0.9)]


@pytest.mark.parametrize(
    ("key", "old", "new", "effect"),
    [
        ("storage.limit_bytes", 8, 7, "destroys"),
        ("storage.limit_bytes", 7, 8, None),
        ("storage.reserve_bytes", 7, 8, "destroys"),
        ("storage.reserve_bytes", 8, 7, None),
        ("masks", [], [mask("a", SQUARE)], "closes"),
        ("masks", [mask("a", SQUARE)], [], "exposes"),
        ("masks", [mask("a", SQUARE)], [mask("a", SMALLER)], "exposes"),
        ("masks", [mask("a", SQUARE)], [mask("a", ELSEWHERE)], "exposes"),
        ("masks", [mask("a", SQUARE)], [mask("b", LARGER)], "closes"),
        ("masks", [mask("a", SQUARE)], [mask("a", SQUARE), mask("b", ELSEWHERE)], "closes"),
        ("masks", [mask("a", SQUARE)], [mask("a", SQUARE)], None),
        ("clips.masked_by", "release", "camera", "exposes"),
        ("clips.masked_by", "camera", "release", "closes"),
        ("camera.stream.audio", False, True, "exposes"),
        ("camera.stream.audio", True, False, "closes"),
        ("mqtt.enabled", False, True, "exposes"),
        ("mqtt.enabled", True, False, "closes"),
        ("mqtt.host", "localhost", "192.168.1.9", "exposes"),
        ("page.port", 0, 8443, "exposes"),
        ("page.port", 8443, 0, "closes"),
        ("page.hosts", ["a"], ["a", "b"], "exposes"),
        ("page.hosts", ["a", "b"], ["a"], "closes"),
        ("mqtt.prefix", "doorbelld", "door", "breaks"),
        ("device.id", "doorbell", "back", "breaks"),
        ("motion.sensitivity", 0.5, 0.6, None),
        ("device.name", "A", "B", None),
    ],
)
def test_the_direction_of_a_change_decides(key: str, old: Any, new: Any, effect: str | None) -> None:
    assert effect_of(key, old, new) == effect


def test_settings_of_a_table_that_is_off_expose_nothing() -> None:
    off = flat(Config.model_validate({"mqtt": {"enabled": False}}))
    other = flat(Config.model_validate({"mqtt": {"enabled": False, "host": "192.168.1.9"}}))
    on = flat(Config.model_validate({"mqtt": {"host": "192.168.1.9"}}))
    assert effects(off, other) == {}
    assert effects(other, on) == {"mqtt.enabled": "exposes"}
    assert effects(on, off) == {"mqtt.enabled": "closes"}


def test_a_polygon_covers_another_only_if_it_covers_the_whole_of_it() -> None:
    notched = [(0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.4, 0.3), (0.1, 0.9)]
    assert covers(SQUARE, SQUARE)
    assert covers(LARGER, SQUARE)
    assert not covers(SQUARE, LARGER)
    assert not covers(notched, SQUARE), "all corners inside are not enough"
    assert not covers(ELSEWHERE, SQUARE)
    assert covers(SQUARE, [*SQUARE[2:], *SQUARE[:2]][::-1])
    assert covers(SQUARE, [(0.4, 0.2), (0.6, 0.4), (0.4, 0.6), (0.2, 0.4)]), "corners on its sides"


def squares() -> st.SearchStrategy[list[tuple[float, float]]]:
    edge = st.integers(0, 8)

    def square(left: int, top: int, width: int, height: int) -> list[tuple[float, float]]:
        xs, ys = (left / 20, (left + width + 1) / 20), (top / 20, (top + height + 1) / 20)
        return [(xs[0], ys[0]), (xs[1], ys[0]), (xs[1], ys[1]), (xs[0], ys[1])]

    return st.builds(square, edge, edge, edge, edge)


@given(squares(), squares())
def test_rectangles_cover_each_other_as_their_edges_say(
    outer: list[tuple[float, float]], inner: list[tuple[float, float]]
) -> None:
    (left, top), (right, bottom) = outer[0], outer[2]
    expected = all(left <= x <= right and top <= y <= bottom for x, y in inner)
    assert covers(outer, inner) is expected


def test_a_question_says_what_each_setting_that_breaks_something_breaks() -> None:
    assert set(BREAKS) == {key for key, rule in EFFECTS.items() if rule.effect == "breaks"}
