"""Every error that a person may read, in one tree.

DoorbellError
├── ConfigError        the configuration file: key, line, correction
├── StateError         the state directory: taken, unreadable, wrong owner
├── CameraError        the world took the camera away; retried with a growing delay
├── ButtonError        the button's line cannot be opened
├── StoreError         a clip or an index could not be written
└── CommandError       a command asked for something that cannot be done

A message says what happened, where, and what to do next. Anything outside this tree is a bug,
and a bug ends the process loudly.
"""


class DoorbellError(Exception):
    """Root of what can go wrong in the world outside the code."""


class ConfigError(DoorbellError):
    """The configuration cannot be used; each line of the message is one mistake.

    `code` and `params` are those of the first mistake, as of a CommandError.
    """

    def __init__(self, text: str, *, code: str = "setting", **params: str | float) -> None:
        super().__init__(text)
        self.code = code
        self.params = params


class StateError(DoorbellError):
    """The state directory cannot be used."""


class CameraError(DoorbellError):
    """The camera is gone, silent, or speaks something that cannot be recorded.

    `reason` and `params` are those of the fault `camera_down` (events.py); no parameter has more of a URL than its
    endpoint.
    """

    def __init__(self, text: str, *, reason: str = "", **params: str | float) -> None:
        super().__init__(text)
        self.reason = reason
        self.params = params


class ButtonError(DoorbellError):
    """The button cannot be opened."""


class StoreError(DoorbellError):
    """A clip, the index or the log could not be written; `full`: for want of space."""

    def __init__(self, text: str, *, full: bool = False) -> None:
        super().__init__(text)
        self.full = full


class CommandError(DoorbellError):
    """A command or the page asked for something that cannot be done.

    The message is English. The page words `code` with `params` in its own language: `error_CODE` in
    web/static/strings/; without such a string it shows the message. Amounts in `params` are in the names' units
    (`size_bytes`, `wait_s`), and the page formats them.
    """

    def __init__(self, text: str, *, code: str = "failed", **params: str | float) -> None:
        super().__init__(text)
        self.code = code
        self.params = params
