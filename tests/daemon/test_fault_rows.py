"""A fault that comes and goes gets one row with a count."""

from device.daemon.fault_rows import FaultRow, FaultRows
from device.events import Fault

S = 1_000_000
UP, DOWN = Fault(code="mqtt_down", active=False), Fault(code="mqtt_down", active=True, text="gone")


def test_four_minutes_of_coming_and_going_are_one_row_with_a_count() -> None:
    rows = FaultRows()
    written: list[FaultRow] = []
    for n in range(16):
        row = rows.take(DOWN if n % 2 == 0 else UP, n * 15 * S)
        written += [row] if row else []
        written += rows.tick(n * 15 * S + 1)
    assert written == [FaultRow(DOWN), FaultRow(UP)], "the first time it is written at once"
    assert rows.tick(15 * 15 * S + 59 * S) == []
    assert rows.tick(15 * 15 * S + 60 * S) == [FaultRow(UP, 7)]
    assert rows.tick(1000 * S) == []


def test_a_fault_that_returns_and_stays_is_written_after_a_minute() -> None:
    rows = FaultRows()
    assert rows.take(DOWN, 0)
    assert rows.take(UP, 10 * S)
    assert rows.take(DOWN, 20 * S) is None
    assert rows.tick(80 * S) == [FaultRow(DOWN, 1)]
    assert rows.take(UP, 90 * S) == FaultRow(UP)


def test_a_fault_that_returns_the_next_day_is_written_at_once() -> None:
    rows = FaultRows()
    assert rows.take(DOWN, 0)
    assert rows.take(UP, 10 * S)
    assert rows.take(DOWN, 400 * S) == FaultRow(DOWN)
