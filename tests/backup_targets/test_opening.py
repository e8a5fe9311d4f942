"""`doorbell backup open`: what an archive may do to the folder it is opened in; anybody may have made it."""

import argparse
import io
import os
import tarfile
from pathlib import Path

import pyrage
import pytest

from device.cli.backup import open_backup
from device.errors import CommandError

OURS = pyrage.x25519.Identity.generate()
CLIP = "20260101T120000_01KA_press.mp4"


def member(name: str, content: bytes = b"evil", **changes: object) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for field, value in changes.items():
        setattr(made, field, value)
    return made, content


def sealed(folder: Path, *members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=form) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    path = folder / "sealed.age"
    path.write_bytes(pyrage.encrypt(plain.getvalue(), [OURS.to_public()]))
    return path


def opened(path: Path, out: Path) -> None:
    key = path.with_name("key")
    key.write_text(f"# a key\n{OURS}\n")
    open_backup(argparse.Namespace(key=key, out=out, files=[path]))


def test_a_clip_comes_back_and_may_come_back_twice(tmp_path: Path) -> None:
    path = sealed(tmp_path, member(CLIP, b"pictures", mode=0o6777))
    for _ in range(2):
        opened(path, tmp_path / "out")
        (back,) = (tmp_path / "out").iterdir()
        assert back.name == CLIP
        assert back.read_bytes() == b"pictures"
        assert back.stat().st_mode & 0o7133 == 0, "nobody runs it, and others do not write it"


@pytest.mark.parametrize(
    "hostile",
    [
        member("../escaped.mp4"),
        member("/tmp/doorbelld-escaped.mp4"),  # noqa: S108  (the point of it)
        member("folder/clip.mp4"),
        member("./clip.mp4"),
        member(".."),
        member(".profile"),
        member("a\nb.mp4"),
        member("clip\\..\\x.mp4"),
        member("x" * 300),
        member("folder", b"", type=tarfile.DIRTYPE),
        member("link", b"", type=tarfile.SYMTYPE, linkname="/etc"),
        member("hard", b"", type=tarfile.LNKTYPE, linkname=CLIP),
        member("pipe", b"", type=tarfile.FIFOTYPE),
        member("disk", b"", type=tarfile.BLKTYPE, devmajor=8),
        member("giant", b"", pax_headers={"GNU.sparse.map": "0,0", "GNU.sparse.size": "9000000000000"}),
    ],
    ids=lambda made: repr(made[0].name)[:20],
)
def test_a_hostile_archive_writes_nothing_at_all(
    tmp_path: Path, hostile: tuple[tarfile.TarInfo, bytes]
) -> None:
    path = sealed(tmp_path, member(CLIP, b"pictures"), hostile)
    with pytest.raises(CommandError, match="nothing was written"):
        opened(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"key", "out", "sealed.age"}


def test_it_does_not_write_through_an_existing_link(tmp_path: Path) -> None:
    path = sealed(tmp_path, member(CLIP))
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / CLIP).symlink_to(tmp_path / "mine")
    opened(path, tmp_path / "out")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "out" / CLIP).is_symlink()


def test_a_truncated_backup_is_reported(tmp_path: Path) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        info, content = member(CLIP, os.urandom(4096))
        tar.addfile(info, io.BytesIO(content))
    path = tmp_path / "sealed.age"
    path.write_bytes(pyrage.encrypt(plain.getvalue()[:2048], [OURS.to_public()]))
    with pytest.raises(CommandError, match="cannot be opened"):
        opened(path, tmp_path / "out")
