"""`doorbell backup`: every clip from now on, sealed to your own key, to a place of your own."""

import argparse
import os
import sys
from getpass import getpass
from typing import Any
from urllib.parse import quote

from device.cli.bar import Bar
from device.cli.client import FAILED, OK, ask, print_json
from device.cli.words import bytes_text
from device.errors import CommandError

GB = 1_000_000_000


def key(arguments: argparse.Namespace) -> int:
    """Make a key: whoever has the file can open the backups, and nobody else."""
    import pyrage  # here: only this command makes one

    identity = pyrage.x25519.Identity.generate()
    try:
        fd = os.open(arguments.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(f"{arguments.file}: {error.strerror}") from error
    with os.fdopen(fd, "w") as file:
        file.write(f"# public key: {identity.to_public()}\n{identity}\n")
    print(identity.to_public())
    print(
        f"{arguments.file} opens your backups; without it nobody can, not even this doorbell. "
        "Keep it elsewhere: on paper, on a stick. Nothing of it is stored here.",
        file=sys.stderr,
    )
    return OK


def add(arguments: argparse.Namespace) -> int:
    """Consent to backups to a place."""
    try:
        secret = (
            arguments.secret_file.read_text().rstrip("\n")
            if arguments.secret_file
            else getpass("password, S3 secret: ")
        )
    except OSError as error:
        raise CommandError(f"{arguments.secret_file}: {error.strerror}") from error
    print(f"From now on every clip goes to {arguments.url}, sealed for {arguments.age}.")
    print("It is the only thing that leaves without being asked each time; `backup remove` ends it at once.")
    print("Type yes: ", end="", flush=True)
    if sys.stdin.readline().strip() != "yes":
        print("nothing was changed")
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
    told = ask(arguments.state, "POST", "/destinations", body)
    where = "outside the home, by the courier" if told["outside"] else "on the home network"
    print(f"{told['name']}: {where}")
    return OK


def list_places(arguments: argparse.Namespace) -> int:
    """Show the places and how far each is."""
    rows: list[dict[str, Any]] = ask(arguments.state, "GET", "/destinations")
    if arguments.json:
        print_json(rows)
        return OK
    if not rows:
        print("no clip is backed up anywhere; `doorbell backup add` would")
    for row in rows:
        where = "courier" if row["outside"] else "home"
        there = f"{row['stored']} clips, {bytes_text(row['stored_bytes'])} there"
        print(f"{row['name']:<16} {row['kind']:<7} {where:<8} {row['url']}")
        print(f"{'':16} {there}, {row['waiting']} on the way")
    return OK


def remove(arguments: argparse.Namespace) -> int:
    """End backups to a place."""
    ask(arguments.state, "DELETE", f"/destinations/{quote(arguments.name, safe='')}")
    print(f"nothing goes to {arguments.name} any more; what lies there is yours to delete")
    return OK


def open_backup(arguments: argparse.Namespace) -> int:
    """Open backups with the key: needs no daemon, and could be done with `age` and `tar`."""
    import io
    import tarfile

    import pyrage

    try:
        identity = pyrage.x25519.Identity.from_str(arguments.key.read_text().split()[-1])
        arguments.out.mkdir(parents=True, exist_ok=True)
        bar = Bar()
        for number, path in enumerate(arguments.files):
            if sys.stderr.isatty():
                bar.show(number, len(arguments.files))
            plain = io.BytesIO()
            with path.open("rb") as sealed:
                pyrage.decrypt_io(sealed, plain, [identity])
            plain.seek(0)
            with tarfile.open(fileobj=plain) as tar:
                tar.extractall(arguments.out, filter="data")
        bar.clear()
    except (OSError, IndexError, tarfile.TarError, pyrage.DecryptError, pyrage.IdentityError) as error:
        raise CommandError(f"cannot be opened: {error}") from error
    print(arguments.out)
    return OK
