"""Quiet hours: from one time of day to another, perhaps over midnight, the chime does not sound."""

DAY_MINUTES = 1440


def is_quiet(hours: str, minute: int) -> bool:
    """Return whether a minute of the day lies in `hours`: "22:00-07:00", or "" for none.

    The last minute does not count; two equal times are a whole day.
    """
    if not hours:
        return False
    first, last = (int(time[:2]) * 60 + int(time[3:]) for time in hours.split("-"))
    return (minute - first) % DAY_MINUTES < ((last - first) % DAY_MINUTES or DAY_MINUTES)


LOUD_SEVERITIES = ("extreme", "severe")
"""Notices that quiet hours let through; the words are CAP 1.2's in lower case."""
