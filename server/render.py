"""Fills in the templates of nginx and mosquitto beside this file.

python -m server.render --into DIR --host community.example --cert FILE --key FILE --ca FILE [--bind ADDRESS] ...
"""

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
READERS_ACL = "topic read hood/cell/#\n"
PUBLISHER_ACL = "topic write hood/cell/#\n"
_PLACE = re.compile(r"@(\w+)@")


def render(name: str, values: Mapping[str, object]) -> str:
    """Return a template with its places filled in. Raises KeyError."""
    return _PLACE.sub(lambda match: str(values[match[1]]), (HERE / name).read_text())


def write_all(into: Path, values: Mapping[str, object]) -> None:
    """Write both configurations and the broker's two access lists; make the folders that they name."""
    for folder in ("spool", "run", "state"):
        Path(str(values[folder])).mkdir(parents=True, exist_ok=True)
    for folder in ("in", "part"):
        (Path(str(values["spool"])) / folder).mkdir(exist_ok=True)
    (into / "nginx.conf").write_text(render("nginx.conf.in", values))
    (into / "mosquitto.conf").write_text(render("mosquitto.conf.in", values))
    (Path(str(values["state"])) / "readers.acl").write_text(READERS_ACL)
    (Path(str(values["state"])) / "publisher.acl").write_text(PUBLISHER_ACL)


def main() -> int:
    """Write the configurations of a community server."""
    parser = argparse.ArgumentParser(prog="server.render", description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=Path("/etc/doorbell-server"))
    parser.add_argument("--host", required=True, help="the server's name in the certificate")
    for name in ("cert", "key", "ca"):
        parser.add_argument(f"--{name}", required=True, help="PEM")
    parser.add_argument("--bind", default="", help="the broker's address (default: all)")
    parser.add_argument("--https", type=int, default=443)
    parser.add_argument("--mqtts", type=int, default=8883)
    parser.add_argument("--spool", default="/var/spool/doorbell-server")
    parser.add_argument("--run", default="/run/doorbell-server")
    parser.add_argument("--state", default="/var/lib/doorbell-server-broker")
    parser.add_argument("--nginx-user", default="www-data")
    parser.add_argument("--broker-user", default="mosquitto")
    arguments = vars(parser.parse_args())
    write_all(arguments["into"], arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
