"""Buttons and chimes: each kind behind a small protocol, chosen in the configuration."""
