"""Sends a message to the community server: a PUT to a spool that can be written but not read."""

import argparse
import secrets

import urllib3

from device.consent import rules
from device.consent.envelope import NOTICE, REQUEST, read
from device.consent.models import FootageRequest, notice_of, request_of
from device.consent.reasons import Refused
from server.agency.paper import AgencyError, explained

TIMEOUT_S = 20.0
_CREATED = (201, 204)


def publish(arguments: argparse.Namespace) -> int:
    """Send it to the community server."""
    url = f"{arguments.server.rstrip('/')}/in/{secrets.token_hex(16)}"
    try:
        content = arguments.file.read_bytes().strip()
        _check(content)
        pool = urllib3.PoolManager(
            ca_certs=str(arguments.ca) if arguments.ca else None, cert_reqs="CERT_REQUIRED"
        )
        answer = pool.request("PUT", url, body=content, timeout=TIMEOUT_S, redirect=False, retries=False)
    except OSError as error:
        raise AgencyError(f"{arguments.file}: {error.strerror}") from error
    except Refused as error:
        raise AgencyError(f"{arguments.file}: every doorbell would refuse it: {explained(error)}") from error
    except urllib3.exceptions.HTTPError as error:
        raise AgencyError(f"{arguments.server}: {error}") from error
    if answer.status not in _CREATED:
        raise AgencyError(f"{arguments.server}: answered {answer.status}")
    print("the community server has received it. You will not learn who receives it, or who has footage")
    return 0


def _check(content: bytes) -> None:
    """Raise Refused for what no doorbell takes: the community server would not say so."""
    envelope = read(content, types=(REQUEST, NOTICE), kids=None)
    message = request_of(envelope.payload) if envelope.typ == REQUEST else notice_of(envelope.payload)
    if isinstance(message, FootageRequest):
        rules.check_area(message)
