"""`doorbell backup`: every clip from now on, sealed to your own key, to a place of your own."""

import argparse
import re
import shutil
import sys
from getpass import getpass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from device.backup_targets import refuse_credentials
from device.cli.client import FAILED, OK, ask, print_json
from device.cli.formatting import bytes_text, confirmed
from device.cli.progress_bar import Bar
from device.consent.views import DestinationView
from device.errors import CommandError
from device.system.durable_files import PRIVATE, PRIVATE_FOLDER, new_private_file, replacing

GB = 1_000_000_000
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}")
"""No folder, nothing hidden: as clips are called."""


def key(arguments: argparse.Namespace) -> int:
    """Make a key. Only its file can open the backups."""
    import pyrage  # here: only this command makes one

    identity = pyrage.x25519.Identity.generate()
    try:
        with new_private_file(arguments.file) as file:
            file.write(f"# public key: {identity.to_public()}\n{identity}\n".encode())
    except OSError as error:
        raise CommandError(f"{arguments.file}: {error.strerror}") from error
    print(identity.to_public())
    print(
        f"{arguments.file} decrypts your backups; nobody can without it, not even this doorbell. "
        "Keep it elsewhere: on paper, on a USB stick. It is not stored here.",
        file=sys.stderr,
    )
    return OK


def add(arguments: argparse.Namespace) -> int:
    """Consent to backups to a place."""
    try:
        refuse_credentials(arguments.url)
    except ValueError as error:
        raise CommandError(str(error)) from error
    try:
        secret = (
            arguments.secret_file.read_text().rstrip("\n")
            if arguments.secret_file
            else getpass("password, S3 secret: ")
        )
    except OSError as error:
        raise CommandError(f"{arguments.secret_file}: {error.strerror}") from error
    print(f"From now on every clip is sent to {arguments.url}, encrypted for {arguments.age}.")
    print("Nothing else is ever sent without asking you each time; `doorbell backup remove` ends it at once.")
    if not confirmed():
        return FAILED
    body = {
        "name": arguments.name,
        "kind": arguments.kind,
        "url": arguments.url,
        "user": arguments.user,
        "secret": secret,
        "age": arguments.age,
        "host_key": arguments.host_key,
        "limit_bytes": round(arguments.limit_gb * GB),
    }
    added = ask(arguments.state, "POST", "/destinations", body)
    where = "outside the home, by the courier" if added["outside"] else "on the home network"
    print(f"{added['name']}: {where}")
    return OK


def list_places(arguments: argparse.Namespace) -> int:
    """Show the places and how far each is."""
    rows: list[DestinationView] = ask(arguments.state, "GET", "/destinations")
    if arguments.json:
        print_json(rows)
        return OK
    if not rows:
        print("no backup target; add one with `doorbell backup add`")
    for row in rows:
        where = "courier" if row["outside"] else "home"
        there = f"{row['stored']} clips, {bytes_text(row['stored_bytes'])} there"
        print(f"{row['name']:<16} {row['kind']:<7} {where:<8} {row['url']}")
        print(f"{'':16} {there}, {row['waiting']} waiting")
    return OK


def remove(arguments: argparse.Namespace) -> int:
    """End backups to a place."""
    ask(arguments.state, "DELETE", f"/destinations/{quote(arguments.name, safe='')}")
    print(f"no more backups are sent to {arguments.name}; delete the existing ones there yourself")
    return OK


def open_backup(arguments: argparse.Namespace) -> int:
    """Open backups with the key: needs no daemon, and could be done with `age` and `tar`."""
    import io

    import pyrage

    try:
        identity = pyrage.x25519.Identity.from_str(arguments.key.read_text().split()[-1])
        arguments.out.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        bar = Bar()
        for number, path in enumerate(arguments.files):
            if sys.stderr.isatty():
                bar.show(number, len(arguments.files))
            plain = io.BytesIO()
            with path.open("rb") as sealed:
                pyrage.decrypt_io(sealed, plain, [identity])
            plain.seek(0)
            _unpack(plain, arguments.out)
        bar.clear()
    except (OSError, IndexError, pyrage.DecryptError, pyrage.IdentityError) as error:
        raise CommandError(f"cannot be opened: {error}") from error
    print(arguments.out)
    return OK


def _unpack(plain: IO[bytes], out: Path) -> None:
    """Write the files of an archive, those with plain names only: who knows the public key may have made it.

    By hand, because `extractall` has its filters only from Python 3.11.4 on, and without them does what an
    archive says. All is looked at before anything is written. Raises CommandError, OSError.
    """
    import tarfile

    try:
        with tarfile.open(fileobj=plain, mode="r:") as tar:
            members = tar.getmembers()
            for member in members:
                if not member.isreg() or member.issparse() or not PLAIN_NAME.fullmatch(member.name):
                    raise CommandError(
                        f"cannot be opened: {member.name!r} in it is no plain file; nothing was written"
                    )
            for member in members:
                content = tar.extractfile(member)
                assert content  # noqa: S101  (a regular file)
                # Replaces an existing file or symbolic link of that name, and follows none.
                with replacing(out / member.name, mode=PRIVATE) as copy:
                    shutil.copyfileobj(content, copy)
    except tarfile.TarError as error:
        raise CommandError(f"cannot be opened: {error}") from error
