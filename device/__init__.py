"""doorbelld: the daemon inside a Raspberry Pi video doorbell."""

__version__ = "0.1.0"
