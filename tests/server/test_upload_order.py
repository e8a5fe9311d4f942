"""The order in which the publisher takes uploads, with the real nginx: the sender's Date has no influence."""

import http.client
import os
import ssl
from pathlib import Path

from server.dev_processes import PATIENCE_S, wait_for
from server.dev_server import DevServer
from server.publisher import spooled
from tests.support import needs

DATES = (
    "Fri, 01 Jan 2038 00:00:00 GMT",
    None,
    "Thu, 01 Jan 1970 00:00:01 GMT",
    "Mon, 01 Jan 2001 00:00:00 GMT",
)


def _tick(folder: Path) -> None:
    """Wait until the clock of file times has gone on; it moves in steps of some milliseconds."""
    probe = folder / "probe"
    probe.touch()
    before = probe.stat().st_ctime_ns

    def later() -> bool:
        os.utime(probe)
        return probe.stat().st_ctime_ns > before

    wait_for("the next tick", later)


def test_uploads_are_taken_in_the_order_of_arrival_whatever_the_sender_s_date_is(tmp_path: Path) -> None:
    needs.require("server")
    with DevServer(tmp_path, quiet=True) as server:
        server.stop("publisher")
        trusting = ssl.create_default_context(cafile=str(server.ca))
        for number, date in enumerate(DATES):
            connection = http.client.HTTPSConnection(
                "localhost", server.https, context=trusting, timeout=PATIENCE_S
            )
            name = f"{len(DATES) - number:032x}"
            connection.request("PUT", f"/in/{name}", b"%d" % number, {"Date": date} if date else {})
            assert connection.getresponse().status in (201, 204)
            connection.close()
            _tick(tmp_path)
        folder = tmp_path / "spool" / "in"
        dated = {path.stat().st_mtime_ns // 10**9 for path in folder.iterdir()}
        assert {2145916800, 1, 978307200} <= dated, "nginx gives a file the sender's Date"
        assert [content for _, content in spooled(folder, 10)] == [b"0", b"1", b"2", b"3"]
