"""Checks that age can encrypt for a recipient; done when it is pinned, not when footage waits."""

import pyrage

from device.consent.reasons import Reason, Refused


def check_recipient(age: str) -> None:
    """Raise Refused unless age can seal for it. A point of low order makes pyrage panic, which is no
    Exception.
    """
    try:
        pyrage.encrypt(b"", [pyrage.x25519.Recipient.from_str(age)])
    except Exception as error:  # noqa: BLE001  (a library of another language: whatever it raises)
        raise Refused(Reason.BAD_RECIPIENT, f"{age[:20]}…: {str(error)[:80]}") from None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001  (the panic)
        raise Refused(Reason.BAD_RECIPIENT, f"{age[:20]}…: a point of low order") from None
