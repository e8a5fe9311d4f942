"""Starts and stops the daemon; `run` has the order.

The button comes first: it waits for no disk scan and no camera.
"""

import argparse
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from device import __version__
from device.config import Sources, read_sources
from device.daemon.release_runner import ReleaseRunner
from device.daemon.wiring import Daemon
from device.errors import ButtonError, DoorbellError
from device.events import ButtonState, Fault, Inbox, StopAsked
from device.store.files import StateLock
from device.store.layout import Layout
from device.system.clock import SystemClock
from device.system.core_dumps import forbid_core_dumps
from device.system.logs import start_logging
from device.system.sd_notify import Notifier
from device.web.sockets import ListeningSockets

log = logging.getLogger(__name__)

SWITCH_S = 0.0005
M_TRIM_THRESHOLD, TRIM_BYTES = -1, 131_072  # malloc.h; its own default
DEFAULT_CONFIG = Path("/etc/doorbelld/doorbelld.toml")


def run(sources: Sources) -> int:
    """Run until a signal comes; return the exit status. Raises DoorbellError."""
    # A press waits for no more than this while another thread computes (Python's own 5 ms is for throughput).
    sys.setswitchinterval(SWITCH_S)
    _give_memory_back()
    os.umask(0o027)  # other users must not read who came when
    sources, page_trouble = sources.with_page_file(sources.config().device.state_dir)
    config = sources.config()
    notifier = Notifier()
    with ExitStack() as stack:
        stack.callback(StateLock(config.device.state_dir).close)
        settings, settings_trouble = Layout(config.device.state_dir).load_settings()
        daemon = Daemon(sources, SystemClock(), settings, notifier)
        stack.enter_context(_signals(daemon.inbox))
        sockets = ListeningSockets(config.device.runtime_dir, config.page, daemon.inbox)
        stack.callback(sockets.close)
        daemon.open_mqtt()
        stack.callback(daemon.close_mqtt)
        _open_button(daemon)
        stack.callback(daemon.button.close)
        daemon.controller.open()
        notifier.ready("the button is live")
        log.info("ready button=%s pid=%d", daemon.button.kind, os.getpid())
        for trouble in filter(None, (settings_trouble, page_trouble)):
            daemon.inbox(
                Fault(
                    code="settings_unreadable",
                    active=True,
                    params={"detail": trouble},
                    text=trouble,
                    remedy="set them again",
                )
            )

        # From here on nothing is urgent. It loads PyAV and OpenCV, and scans the disk.
        storage_worker = daemon.open_store()
        stack.callback(storage_worker.stop, 2.5)
        stack.callback(daemon.open_press_pictures().stop, 0.5)
        motion_worker = daemon.start_worker("motion", daemon.motion_worker.run, patience_s=30)
        stack.callback(motion_worker.stop, 0.5)
        camera = daemon.open_camera()
        stack.callback(camera.stop, 1.0)
        from device.daemon.api_backend import ApiBackend  # builds the API's models

        commands = ApiBackend(daemon)
        changes = daemon.start_worker(
            "dashboard_changes",
            lambda worker: daemon.dashboard_changes.run(
                worker, lambda changes: commands.settings.change(changes, lambda _effects: None)
            ),
            patience_s=60,
        )
        stack.callback(changes.stop, 1.0)
        consent_service = daemon.open_consent_service(
            commands.footage, ReleaseRunner(daemon), commands.footage
        )
        stack.callback(consent_service.stop, 1.0)
        stack.callback(daemon.open_leases().stop, 1.0)
        stack.callback(daemon.open_releases().stop, 1.0)
        stack.callback(daemon.open_backups().stop, 1.0)
        page = daemon.open_web(sockets, commands, commands.save)
        stack.callback(page.stop, 1.5)
        if rtsp := daemon.open_rtsp():
            stack.callback(rtsp.stop, 1.0)
        status = daemon.loop.run()
        notifier.stopping()
        return status


def _give_memory_back() -> None:
    """Return freed memory to the system at once.

    glibc raises its thresholds with the first large block that is freed, so that one decoded 1080p picture
    (a snapshot, a thumbnail) would cost 20 MB for good. Setting one of them stops that (mallopt(3)).
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, TRIM_BYTES)


def _open_button(daemon: Daemon) -> None:
    try:
        daemon.button.open()
        daemon.controller.button = daemon.button
    except ButtonError as error:
        # A doorbell that rings over MQTT and records is worth more than none, and the fault is reported.
        log.error("button_failed %s", error)  # the message says it all
        daemon.inbox(ButtonState(kind=daemon.button.kind, state="failed", text=str(error)))
        remedy = "fix the button, then restart doorbelld"
        params = {"detail": str(error)}
        daemon.inbox(Fault(code="button_failed", active=True, params=params, text=str(error), remedy=remedy))


@contextmanager
def _signals(inbox: Inbox) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into a fact (SimpleQueue.put may be called in a signal handler)."""
    handlers = {
        number: signal.signal(number, lambda n, _frame: inbox(StopAsked(signal_name=signal.Signals(n).name)))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def main() -> int:
    """`doorbelld`: run a doorbell from a configuration file."""
    parser = argparse.ArgumentParser(prog="doorbelld", description=main.__doc__)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="log as JSON, one object a line")
    parser.add_argument("--version", action="version", version=__version__)
    arguments = parser.parse_args()
    forbid_core_dumps()
    handler = start_logging(as_json=arguments.json)
    try:
        return run(read_sources(arguments.config))
    except DoorbellError as error:
        for line in str(error).splitlines():
            log.error("%s", line)
        return 1
    finally:
        handler.close()


if __name__ == "__main__":
    sys.exit(main())
