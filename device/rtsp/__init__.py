"""The RTSP process: serves the camera's own packets to the owner's readers on the home network.

A process of its own (`python -m device.rtsp`), so that no defect and no crowd of clients costs the bell anything. It
has no file, no key and no clip: what it may send comes through one socket pair (messages.py), and it ends with that.
It loads neither PyAV nor asyncio; see docs/decisions/0022.
"""
