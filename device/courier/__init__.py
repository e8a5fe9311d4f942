"""The courier, a process of its own: hears the town, fetches feeds, and understands nothing of either.

It can read no clip, no position and no key: it runs as a user of its own, imports nothing of the house, and
is told where to listen by a file in the spool. What it hears it writes down as it came.
"""
