"""Detects faults in reports, and by the time that has passed.

Pure functions: they are handed the time. Each returns its fault active or inactive, so a fault also clears here.
"""

from typing import Protocol

from device.events import CameraReport, Fault, StoreReport

STALLED_US = 4_000_000
"""A camera reports once a second, so a stall is a fault within 5 s of the newest picture."""
OPENING_US = 45_000_000
"""Longer than the slowest camera takes to open, or to report that it cannot."""


class ButtonLine(Protocol):
    """The checks of the button."""

    def healthy(self) -> bool:
        """Return whether an edge would still be heard."""

    def held_us(self, mono_us: int) -> int:
        """Return how long the button has been down at `mono_us`, 0 if it is up."""


def of_camera(report: CameraReport) -> list[Fault]:
    """Return `camera_down`; nothing while the camera is opening, which neither raises nor clears it."""
    if report.state == "opening":
        return []
    remedy = "it is opened again automatically; the bell works without it"
    return [
        Fault(
            code="camera_down",
            active=report.state == "down",
            reason=report.reason,
            params=report.params,
            text=report.text,
            remedy=remedy,
        )
    ]


def camera_stalled(camera: CameraReport | None, now_us: int) -> Fault:
    """Return `camera_stalled`: a live camera without pictures, or one that neither opens nor fails."""
    since_us, patience_us = None, STALLED_US
    if camera and camera.state == "live":
        since_us = camera.last_frame_us
    elif camera and camera.state == "opening":
        since_us, patience_us = camera.mono_us, OPENING_US
    return Fault(
        code="camera_stalled",
        active=since_us is not None and now_us - since_us > patience_us,
        params={"seconds": patience_us // 1_000_000},
        text=f"no picture for {patience_us // 1_000_000} s, and no error from the camera",
        remedy="it is opened again automatically; if that does not help, check its power and its network",
    )


def power_weak(report: StoreReport) -> Fault:
    """Return `power_weak`, by the board's own flags."""
    return Fault(
        code="power_weak",
        active="under_voltage" in (report.throttling or ()),
        text="the board's supply voltage is too low: the board slows down, and the card may be damaged",
        remedy="use the board's own power supply and a short, thick cable",
    )


def of_button(button: ButtonLine, now_us: int, stuck_s: float) -> tuple[Fault, Fault]:
    """Return `button_deaf` (nobody hears the edges) and `button_stuck` (down for more than `stuck_s` seconds)."""
    deaf = Fault(
        code="button_deaf",
        active=not button.healthy(),
        text="the button's thread has ended: presses are not detected",
        remedy="restart doorbelld",
    )
    stuck = Fault(
        code="button_stuck",
        active=button.held_us(now_us) > stuck_s * 1e6,
        params={"seconds": stuck_s},
        text=f"the button has been down for more than {stuck_s:g} s: nobody can ring",
        remedy="free it; if nobody holds it, look for water or ice in it, and for a wire that touches ground",
    )
    return deaf, stuck
