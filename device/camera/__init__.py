"""Cameras: each kind behind one small protocol, chosen in the configuration."""
