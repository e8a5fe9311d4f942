"""What a dashboard changes over MQTT."""

from collections.abc import Callable

from server.dev_processes import wait_for
from tests.support.broker import Listener
from tests.support.doorbell import Doorbell


def test_a_dashboard_changes_the_sensitivity_of_motion(
    doorbell: Callable[..., Doorbell], listener: Listener
) -> None:
    door = doorbell().start(camera=False)
    wait_for("the sensitivity", lambda: listener.of("motion_sensitivity")[-1:] == ["0.5"])

    def changed() -> bool:
        listener.say("motion_sensitivity/set", "0.65")  # again, until the daemon has started whole
        return listener.of("motion_sensitivity")[-1] == "0.65"

    wait_for("the change", changed)
    rows = {row["key"]: row for row in door.ask("GET", "/config")}
    assert (rows["motion.sensitivity"]["value"], rows["motion.sensitivity"]["source"]) == (0.65, "page")
    listener.say("motion_sensitivity/set", "65")
    wait_for("the refusal", lambda: listener.of("last_refusal"))
    assert "0 to 1" in listener.of("last_refusal")[-1]
