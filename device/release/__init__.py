"""From an approved offer to a sealed parcel: cut, cover, scrub, audit, sign, seal. A process of its own.

The consent service starts it for one release (`python -m device.release`), hands it a job and reads how far it is.
It writes to one folder below the state directory, reaches no network, and can be killed at any moment: what
it left is erased. `audit.py` and what it is made of share no code with the side that writes.
"""
