"""Opens sources with FFmpeg, and explains why one cannot be opened."""

import errno
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from device.errors import CameraError
from device.system.urls import endpoint

FAILURES = (av.error.FFmpegError, OSError, ValueError)
"""PyAV raises an OSError or a ValueError where FFmpeg's error is of that kind, else an FFmpegError alone."""


def source_name(url: str) -> str:
    """Return what messages call a source: the path of a file or device, or a URL's scheme, host and port."""
    return endpoint(url) if "://" in url else url


def camera_error(url: str, reason: str, text: str, **params: str | float) -> CameraError:
    """Return the error of a source: its message and its parameters name the source without a password."""
    source = source_name(url)
    return CameraError(f"camera {source}: {text}", reason=reason, source=source, **params)


_BAD_LOGIN = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)


def failure(error: Exception, url: str) -> CameraError:
    """Return FFmpeg's error without the URL that it repeats, and with what to check."""
    reason, text = _why(error, url)
    detail = {"detail": text} if reason == "other" else {}
    return camera_error(url, reason, text, **detail)


def _why(error: Exception, url: str) -> tuple[str, str]:
    if isinstance(error, (av.error.ExitError, TimeoutError)):  # ours, or the kernel's
        return "silent", "nothing came in time; is it switched on and connected?"
    if isinstance(error, ConnectionRefusedError):
        return "refused", f"{error.strerror}; is the address right?"
    if isinstance(error, FileNotFoundError):
        return "no_file", f"{error.strerror}; is the address right?"
    if isinstance(error, _BAD_LOGIN):
        return "login", "it refuses user and password"
    if isinstance(error, av.error.HTTPNotFoundError):
        return "no_path", "it has nothing at this path; is the address right?"
    if isinstance(error, av.error.InvalidDataError) and is_file(url):
        return "no_video", "FFmpeg finds no video in it"
    if isinstance(error, av.error.InvalidDataError):  # RTSP's own answer to a time-out, too
        return "no_video", "no video came from it; is it switched on, and is the address right?"
    number = getattr(error, "errno", None)
    if number == errno.EINVAL:
        return "address", "FFmpeg cannot read this address; in a password write / as %2F, @ as %40, : as %3A"
    if number in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EIO):  # FFmpeg's answer to an unknown name
        return (
            "unreachable",
            f"{getattr(error, 'strerror', '')}; is it on this network, and is the address right?",
        )
    return "other", str(getattr(error, "strerror", None) or type(error).__name__)


def is_file(url: str) -> bool:
    """Return whether a URL names a file of this machine (and no device)."""
    return "://" not in url and not url.startswith("/dev/video")


class Microseconds:
    """Turns a stream's own ticks into microseconds; whole numbers, since it is done for every packet."""

    def __init__(self, time_base: Fraction) -> None:
        self._numerator, self._denominator = time_base.numerator * 1_000_000, time_base.denominator

    def __call__(self, ticks: int | None) -> int | None:
        """Return a number of ticks in microseconds; None for None."""
        return None if ticks is None else ticks * self._numerator // self._denominator


def open_source(url: str, *, timeout_s: float, fps: float, audio: bool = False) -> Any:
    """Open with PyAV. Raises CameraError; no message holds a password.

    Without `audio` no sound is requested from an RTSP camera. With it the reader must time out by itself when only
    sound comes: FFmpeg's time-out ends a connection that sends nothing at all.
    """
    options: dict[str, str] = {}
    form = None
    if is_file(url) and Path(url).exists() and not Path(url).is_file():
        # Opening a pipe without a writer would block for ever.
        raise camera_error(url, "no_file", "is not a video file; name a file, /dev/videoN or an address")
    if url.startswith("rtsp"):
        options = {
            "rtsp_transport": "tcp",
            "allowed_media_types": "video+audio" if audio else "video",
            "timeout": str(int(timeout_s * 1e6)),
            "fpsprobesize": "0",  # opens in 0.3 s instead of 1.6
        }
    elif url.startswith("/dev/video"):
        form, options = "v4l2", {"framerate": str(fps)}
    try:
        # A file never stalls, and reading the clock for every read costs time.
        timeout = None if is_file(url) else (timeout_s, timeout_s)
        container = av.open(url, format=form, options=options, timeout=timeout)  # egress: camera
    except FAILURES as error:
        raise failure(error, url) from error
    if not container.streams.video:
        container.close()
        raise camera_error(url, "no_video", "there is no video in it")
    return container
