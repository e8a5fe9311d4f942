"""A department uses `scripts/agency`, from its keys to a request that every doorbell would accept."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.agency.__main__ import main as agency_main
from server.dev_processes import PATIENCE_S
from tests.support import envelopes
from tests.support.commands import run_here
from tests.support.shapes import NARROW
from tests.support.tampering import forged

ROOT = Path(__file__).parents[2]
PATH = {"PYTHONPATH": str(ROOT)}
PLACE = "48.8584,2.2945"


@pytest.fixture
def agency(tmp_path: Path) -> "AgencyTool":
    return AgencyTool(tmp_path)


class AgencyTool:
    """A folder with files, and the tool."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run_here(agency_main, ["--folder", str(self.folder / "keys"), *words], folder=self.folder)

    def good(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def begin(self, *more: str) -> str:
        fingerprint = self.good("keygen").split("\n")[0].removeprefix("fingerprint ")
        self.good(
            "record", "--id", "paris-example", "--name", "Example Police", "--contact", "desk",
            "--upload", "https://evidence.example", "--around", PLACE, *more, "record.jws",
        )  # fmt: skip
        return fingerprint

    def ask(self, *more: str, hours: float = 2, out: str = "request.jws") -> subprocess.CompletedProcess[str]:
        now = datetime.now(UTC)
        times = ["--from", iso(now - timedelta(hours=hours)), "--to", iso(now - timedelta(hours=1))]
        return self.run("request", "--case", "2026/1", "--purpose", "A bicycle.", *times, *more, out)


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def test_a_department_makes_keys_a_record_a_request_and_takes_it_back(agency: AgencyTool) -> None:
    assert len(agency.begin().replace("-", "")) == 26
    assert (agency.folder / "keys/signing-key.pem").stat().st_mode & 0o777 == 0o600
    assert (agency.folder / "keys/sealing-key.txt").stat().st_mode & 0o777 == 0o600
    done = agency.ask("--around", PLACE)
    assert done.returncode == 0, done.stderr
    assert "takes it" in agency.good("validate", "request.jws")
    assert "takes it" in agency.good("validate", "request.jws", "--record", "record.jws")
    assert "Example Police" in agency.good("validate", "record.jws")
    agency.good("cancel", "request.jws", "cancel.jws")
    agency.good("validate", "cancel.jws")


def test_an_area_comes_from_a_geojson_file(agency: AgencyTool) -> None:
    agency.begin()
    ring = [[2.293, 48.857], [2.298, 48.857], [2.298, 48.861], [2.293, 48.861], [2.293, 48.857]]
    polygon = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "properties": {"name": "the square"}, "geometry": polygon}
    collection = {"type": "FeatureCollection", "features": [feature]}
    for name, geojson in (("polygon", polygon), ("feature", feature), ("all", collection)):
        (agency.folder / f"{name}.geojson").write_text(json.dumps(geojson))
        assert agency.ask("--area", f"{name}.geojson", out=f"{name}.jws").returncode == 0
    (agency.folder / "line.geojson").write_text('{"type": "LineString", "coordinates": [[1, 2], [3, 4]]}')
    refused = agency.ask("--area", "line.geojson", out="line.jws")
    assert (refused.returncode, "no GeoJSON" in refused.stderr) == (1, True)


def test_an_area_that_reaches_for_a_house_is_not_written_nor_published(agency: AgencyTool) -> None:
    agency.begin()
    arm = NARROW["an arm to one house"]
    (agency.folder / "arm.geojson").write_text(json.dumps(arm))
    refused = agency.ask("--area", "arm.geojson")
    assert (refused.returncode, "area_shape" in refused.stderr) == (1, True)
    assert "at least 100 m wide everywhere" in refused.stderr
    assert not (agency.folder / "request.jws").exists()
    # Another tool wrote it: it does not reach the community server, which would not report the refusal.
    (agency.folder / "other.jws").write_bytes(envelopes.request(area=arm))
    unpublished = agency.run("publish", "other.jws", "--server", "https://localhost:1")
    assert (unpublished.returncode, "area_shape" in unpublished.stderr) == (1, True)


@pytest.mark.parametrize(
    ("more", "hours", "message"),
    [
        (["--around", "45.7640,4.8357"], 2, "outside_jurisdiction"),
        (["--around", PLACE, "--radius-m", "1000"], 2, "area_size"),
        (["--around", PLACE], 20, "bad_window"),
        (["--around", PLACE, "--days", "30"], 2, "life_too_long"),
        (["--around", "here"], 2, "LATITUDE,LONGITUDE"),
    ],
)
def test_a_request_that_every_doorbell_would_refuse_is_not_written(
    agency: AgencyTool, more: list[str], hours: float, message: str
) -> None:
    agency.begin()
    done = agency.ask(*more, hours=hours)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (agency.folder / "request.jws").exists()


def test_the_command_of_its_own_process_says_the_same(agency: AgencyTool) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "server.agency", "--folder", agency.folder / "keys", "keygen"],
        capture_output=True, text=True, check=False, cwd=agency.folder, timeout=PATIENCE_S, env=PATH,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()[0]) == (0, "fingerprint")
    assert done.stderr == ""


def test_validate_explains_a_refusal(agency: AgencyTool) -> None:
    agency.begin()
    agency.ask("--around", PLACE)
    content = (agency.folder / "request.jws").read_bytes()
    (agency.folder / "cut.jws").write_bytes(content[:-20])
    done = agency.run("validate", "cut.jws")
    assert done.returncode == 1
    assert done.stdout.startswith("refused: ")
    (agency.folder / "forged.jws").write_bytes(forged(content))
    assert "refused: " in agency.run("validate", "forged.jws").stdout


def test_notices_are_written_and_mistakes_are_reported(agency: AgencyTool) -> None:
    assert (
        "keygen"
        in agency.run("record", "--id", "x-y", "--name", "X", "--contact", "c", "--around", PLACE, "r").stderr
    )
    agency.begin()
    words = [
        "notice",
        "--kind",
        "alert",
        "--severity",
        "severe",
        "--headline",
        "Gas leak",
        "--text",
        "Stay in.",
    ]
    agency.good(*words, "--around", PLACE, "notice.jws")
    assert "takes it" in agency.good("validate", "notice.jws")
    again = agency.run(*words, "--around", PLACE, "notice.jws")
    assert "exists already" in again.stderr
    twice = agency.run("keygen")
    assert "made once" in twice.stderr
    unreachable = agency.run("publish", "notice.jws", "--server", "https://localhost:1")
    assert unreachable.returncode == 1
    assert "localhost:1" in unreachable.stderr


@pytest.mark.long
@pytest.mark.server
def test_the_demonstration_comes_about(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.verification.demo", "--folder", tmp_path / "d"],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=2 * PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it waits for the owner of: Anna" in done.stdout
