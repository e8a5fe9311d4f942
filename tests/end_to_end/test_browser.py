"""Recorded clips play in a browser: Debian's Chromium, on a page from a small web server."""

import base64
import re
import signal
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from server.dev_processes import wait_for
from tests.support.doorbell import Doorbell

Make = Callable[..., Doorbell]
Picture = NDArray[np.uint8]

pytestmark = pytest.mark.chromium

PAGE = b"""<!doctype html><video muted preload="auto"></video><script>
const video = document.querySelector("video")
const told = name => new Promise((done, failed) => {
    video.addEventListener(name, done, {once: true})
    video.addEventListener("error", () => failed(video.error.message), {once: true})
})
async function load(url) {
    // A picture that was decoded may not have been presented yet; a canvas would get a black one.
    const presented = new Promise(done => video.requestVideoFrameCallback(done))
    const loaded = told("loadeddata")
    video.src = url
    await loaded
    await presented
    return {duration: video.duration, at: video.currentTime, size: [video.videoWidth, video.videoHeight]}
}
async function seek(second) {
    const sought = told("seeked")
    video.currentTime = second
    await sought
}
function picture() {
    const canvas = document.createElement("canvas")
    canvas.width = video.videoWidth
    canvas.height = video.videoHeight
    canvas.getContext("2d").drawImage(video, 0, 0)
    return canvas.toDataURL("image/png").split(",")[1]
}
async function play() {
    const ended = told("ended")
    video.playbackRate = 4
    await video.play()
    await ended
    return video.currentTime
}
</script>"""


class WebServer(SimpleHTTPRequestHandler):
    """A page, and files by whole or by one range of bytes (RFC 9110, 14.2)."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        content = PAGE if self.path == "/" else path.read_bytes() if path.is_file() else None
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(wanted[1]) if wanted else 0
        last = min(int(wanted[2]) if wanted and wanted[2] else len(content), len(content) - 1)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Type", "text/html" if self.path == "/" else self.guess_type(self.path))
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        try:
            self.wfile.write(content[first : last + 1])
        except ConnectionError:
            return  # a browser lets go of what it does not need


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(WebServer, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        yield page
        page.close()
        server.shutdown()


def decoded(path: str) -> tuple[list[float], list[Picture]]:
    """Return when each picture of a clip is shown (seconds) and what FFmpeg makes of it (BGR)."""
    with av.open(path) as file:
        frames = list(file.decode(file.streams.video[0]))
    return [float(frame.time or 0) for frame in frames], [
        np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in frames
    ]


def bar_px(picture: Picture) -> int:
    """Return how far the bar of `make_video` has walked."""
    return int(np.argmax(picture[90, :, 1] > 130))


def drawn(page: Any) -> Picture:
    """Return what the browser shows (BGR)."""
    png = np.frombuffer(base64.b64decode(page.evaluate("picture()")), np.uint8)
    picture = cv2.imdecode(png, cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.astype(np.uint8)


def plays_from_the_first_picture_to_the_last(page: Any, clip: dict[str, Any], root: Path) -> None:
    times_s, pictures = decoded(clip["file"])
    loaded = page.evaluate(f"load('/{Path(clip['file']).relative_to(root)}')")
    assert (loaded["at"], loaded["size"]) == (0, [320, 180])
    first = drawn(page)
    assert abs(bar_px(first) - bar_px(pictures[0])) <= 1
    assert np.abs(first.astype(int) - pictures[0]).mean() < 4
    frame_s = 1 / 15
    assert loaded["duration"] == pytest.approx(clip["duration_s"], abs=3 * frame_s)
    assert page.evaluate("video.seekable.length") == 1
    assert page.evaluate("video.seekable.start(0)") == 0
    assert page.evaluate("video.seekable.end(0)") == pytest.approx(loaded["duration"], abs=0.01)
    for share in (0.5, 0.95, 0.1):
        index = bisect_right(times_s, times_s[-1] * share) - 1
        page.evaluate(f"seek({times_s[index] + frame_s / 2})")
        assert abs(bar_px(drawn(page)) - bar_px(pictures[index])) <= 1, f"at {times_s[index]} s"
    page.evaluate("seek(0)")
    assert page.evaluate("play()") == pytest.approx(loaded["duration"], abs=0.1)
    assert abs(bar_px(drawn(page)) - bar_px(pictures[-1])) <= 1, "the last picture stays"


def test_a_kept_clip_plays_from_its_first_picture(doorbell: Make, page: Any, tmp_path: Path) -> None:
    door = doorbell().start()
    wait_for("enough pre-roll", lambda: door.status()["uptime_s"] > 4)
    door.ring()
    plays_from_the_first_picture_to_the_last(page, door.clips(1)[0], tmp_path)


def test_a_clip_that_was_cut_off_plays_from_its_first_picture(
    doorbell: Make, page: Any, tmp_path: Path
) -> None:
    door = doorbell(clips={"post_roll_s": 30}).start()
    door.ring()
    folder = door.state / "state" / "clips"
    wait_for("some fragments", lambda: sum(p.stat().st_size for p in folder.iterdir()) > 9_000)
    door.stop(signal.SIGKILL)
    door.start(camera=False)
    clip = door.clips(1)[0]
    assert "moof" in Path(clip["file"]).read_bytes().decode("latin1"), "as it was while it grew"
    plays_from_the_first_picture_to_the_last(page, clip, tmp_path)
