"""The code of `scripts/agency`."""
