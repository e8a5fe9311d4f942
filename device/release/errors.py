"""The one error of a release."""


class NotAllowed(ValueError):
    """The release cannot be made, or must not leave; the message is for a person."""
